package delegations

import (
	"fmt"
	"slices"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// Disagreement says why an entry that was found does not count: too few of the
// roles that must agree list the same.
type Disagreement struct {
	Hit       Hit    // the first entry in order of search
	Delegator string // who demands the agreement
	Min       int    // of Votes
	Votes     []Vote // one for each role, in the order in which they are named
}

// Vote is what one of the roles that must agree says of a path.
type Vote struct {
	Role string
	// Agrees says that it lists what was found, in another role's file than
	// those that agreed before it.
	Agrees bool
	// Listed is the entry that the role, or one below it, lists; nil if there
	// is none, or none that counts.
	Listed *Hit
	// Outside says that the delegator does not trust the role with the path.
	Outside bool
	// Dispute is why what the role lists does not count below it.
	Dispute *Disagreement
	wanted  metadata.Target
}

// String says who lists what, in one line.
func (d *Disagreement) String() string {
	roles, says := make([]string, len(d.Votes)), make([]string, len(d.Votes))
	for i, v := range d.Votes {
		roles[i], says[i] = v.Role, v.String()
	}
	return fmt.Sprintf("%s demands that %d of %s list the same: %s", d.Delegator, d.Min, strings.Join(roles, ", "), strings.Join(says, ", "))
}

// String says what the role lists.
func (v Vote) String() string {
	switch {
	case v.Outside:
		return v.Role + " is not trusted with it"
	case v.Dispute != nil:
		return fmt.Sprintf("what %s lists does not count (%s)", v.Role, v.Dispute)
	case v.Listed == nil:
		return v.Role + " does not list it"
	}
	t := v.Listed.Target
	says := fmt.Sprintf("%s lists %s", v.Role, listed(t))
	if listed(t) == listed(v.wanted) && t.Length != v.wanted.Length {
		says += fmt.Sprintf(" with %d bytes and not %d", t.Length, v.wanted.Length)
	} else if !v.Agrees && sameArtifact(t, v.wanted) {
		says += fmt.Sprintf(" by the word of %s, which counts once", v.Listed.Role)
	}
	return says
}

func listed(t metadata.Target) string {
	if d := t.Hashes.Digest(); d != "" {
		return d.String()
	}
	return "something without sha256"
}

// sameArtifact compares what TAP 3 wants to be the same: hashes and length.
func sameArtifact(a, b metadata.Target) bool {
	return a.Length == b.Length && a.Hashes.Equal(b.Hashes)
}

// ballot is one agreement that an entry needs, and how far it was asked for.
type ballot struct {
	delegator string
	min       int
	voters    []voter
	votes     []Vote
}

// voter is a role that must agree; without an edge it is not trusted with the
// path.
type voter struct {
	role string
	edge *Edge
}

// ballots returns the agreements that one role's matching delegations demand,
// each once. Only roles with a matching delegation of their own can agree.
func ballots(edges []Edge) []*ballot {
	if !slices.ContainsFunc(edges, func(e Edge) bool { return e.Agreement != nil }) {
		return nil
	}
	var out []*ballot
	at, seen := map[string]*Edge{}, map[string]bool{}
	for i, e := range edges {
		at[e.Role] = &edges[i]
	}
	for _, e := range edges {
		if e.Agreement == nil || seen[string(e.Agreement.Canonical())] {
			continue
		}
		seen[string(e.Agreement.Canonical())] = true
		b := &ballot{delegator: e.Parent, min: e.Agreement.Min}
		for _, role := range e.Agreement.Roles {
			b.voters = append(b.voters, voter{role, at[role]})
		}
		out = append(out, b)
	}
	return out
}

// next returns the role to be asked next, unless enough agreed.
func (b *ballot) next() (Edge, bool) {
	for !b.agreed() && len(b.votes) < len(b.voters) {
		v := b.voters[len(b.votes)]
		if v.edge != nil {
			return *v.edge, true
		}
		b.votes = append(b.votes, Vote{Role: v.role, Outside: true})
	}
	return Edge{}, false
}

// count takes the answer of the role that next returned. One role's file
// speaks once, whoever delegates to it: else a single key could make several
// agree.
func (b *ballot) count(found, hit *Hit, dispute *Disagreement) {
	v := Vote{Role: b.voters[len(b.votes)].role, Listed: hit, Dispute: dispute, wanted: found.Target}
	spoke := func(other Vote) bool { return other.Agrees && other.Listed.Role == hit.Role }
	v.Agrees = hit != nil && sameArtifact(hit.Target, found.Target) && !slices.ContainsFunc(b.votes, spoke)
	b.votes = append(b.votes, v)
}

func (b *ballot) agreed() bool { return len(b.agreeing()) >= b.min }

func (b *ballot) parties() []string {
	out := make([]string, len(b.voters))
	for i, v := range b.voters {
		out[i] = v.role
	}
	return out
}

func (b *ballot) agreeing() []string {
	var out []string
	for _, v := range b.votes {
		if v.Agrees {
			out = append(out, v.Role)
		}
	}
	return out
}
