package verify

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

// decision puts a subject's results together.
func (v *Verifier) decision(s *subject, results []Result, notes []string) Decision {
	d := Decision{Reference: s.ref.String(), Digest: s.location.digest, Verdict: Denied, Results: results, Notes: notes}
	if s.rule != nil {
		d.Policy, d.Verdict = s.rule.Name, s.rule.verdict(results)
	}
	return d
}

// verdict combines the results of the rule's publishers. "No" beats "could
// not be found out", which beats "yes".
//
// A withdrawal by any publisher that the rule names denies, whatever the
// threshold of an agreement. So one that cannot be asked leaves everything
// open, also where the others would do: it may have withdrawn the artifact,
// and who wants that hidden only has to cut the line.
func (r *Rule) verdict(results []Result) Verdict {
	if r.Level != Enforce {
		return Allowed
	}
	if len(r.Require) == 0 {
		return Denied
	}
	out := Allowed
	for _, res := range results {
		switch res.Reason {
		case Revoked:
			return Denied
		case Unreachable:
			out = Undecided
		}
	}
	for i := range r.Require {
		n := max(1, len(r.Require[i].Any))
		if part := results[:n]; !r.Require[i].reachable(part) {
			return Denied
		}
		results = results[n:]
	}
	return out
}

// reachable reports whether the requirement holds, or may hold once those
// have answered that could not be asked.
func (q *Requirement) reachable(results []Result) bool {
	count := 0
	for _, r := range results {
		if r.Satisfied || r.Reason == Unreachable {
			count++
		}
	}
	return count >= max(1, q.Threshold)
}

// agree sees to it that all satisfied results are about one digest (TAP 4).
// They are where the location or the reference has one; only a tag whose
// authority are the signed entries can differ. If the rule holds for just one
// of the digests, those who vouch for others disagree; else all do.
func (s *subject) agree(results []Result) {
	var digests []digest.Digest
	seen := map[digest.Digest]bool{}
	for _, r := range results {
		if r.Satisfied && !seen[r.SignedDigest] {
			seen[r.SignedDigest] = true
			digests = append(digests, r.SignedDigest)
		}
	}
	if len(digests) < 2 {
		return
	}
	var agreed []digest.Digest
	for _, d := range digests {
		if s.rule.holdsFor(d, results) {
			agreed = append(agreed, d)
		}
	}
	for i := range results {
		r := &results[i]
		if r.Satisfied && (len(agreed) != 1 || r.SignedDigest != agreed[0]) {
			r.Satisfied, r.Reason = false, Disagreement
			r.Message = fmt.Sprintf("%s vouches for %s at %s, and another publisher for another digest", r.Publisher, r.SignedDigest, r.Target)
		}
	}
}

// holdsFor reports whether the satisfied results for one digest suffice.
func (r *Rule) holdsFor(d digest.Digest, results []Result) bool {
	for i := range r.Require {
		n, count := max(1, len(r.Require[i].Any)), 0
		for _, res := range results[:n] {
			if res.Satisfied && res.SignedDigest == d {
				count++
			}
		}
		if count < max(1, r.Require[i].Threshold) {
			return false
		}
		results = results[n:]
	}
	return true
}
