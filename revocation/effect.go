package revocation

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// What a verifier says, in the words of verify's reasons.
const (
	OK              = "ok"
	NotListed       = "not-listed"
	Disagreement    = "disagreement"
	DigestMismatch  = "digest-mismatch"
	Revoked         = "revoked"
	Expired         = "expired"
	Threshold       = "threshold"
	InvalidMetadata = "invalid-metadata"
)

// Word is what a verifier says of one artifact at one path.
type Word struct {
	Reason string // a reason of verify
	Role   string // that vouches, "" for none
}

func (w Word) String() string {
	if w.Role == "" {
		return w.Reason
	}
	return w.Reason + " by " + w.Role
}

// Effect is what a change does to one artifact: what a verifier without a
// policy of its own says of it before and after.
type Effect struct {
	Path   string
	Digest digest.Digest // that the role vouches for
	Before Word
	After  Word
}

// Changes reports whether the verdict is another one afterwards.
func (e Effect) Changes() bool { return e.Before.Reason != e.After.Reason }

// Listing is an entry that vouches.
type Listing struct {
	Path   string
	Digest digest.Digest
}

// Listings returns the entries of a file that name artifacts, sorted by path.
func Listings(t *metadata.Targets) []Listing {
	out := make([]Listing, 0, len(t.Targets))
	for path, target := range t.Targets {
		if d := target.Hashes.Digest(); d != "" {
			out = append(out, Listing{path, d})
		}
	}
	slices.SortFunc(out, func(a, b Listing) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// Under returns what all roles list at the paths of one delegation, sorted,
// each once. The withdrawal role lists nothing.
func Under(ctx context.Context, d *tuf.Draft, r metadata.Delegation) ([]Listing, error) {
	vouched, err := vouchings(ctx, d)
	var out []Listing
	for _, v := range vouched {
		l := Listing{v.path, v.digest}
		if v.digest != "" && delegations.Match(r, v.path) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b Listing) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(string(a.Digest), string(b.Digest)))
	})
	return slices.Compact(out), err
}

// Effects says of each listing what verifiers say of it in the state that d
// started from, and what they will say once d is published and signed. It
// searches as they do, and asks for nothing that they would not.
func Effects(ctx context.Context, d *tuf.Draft, listings []Listing) ([]Effect, error) {
	before, after := judgeBefore(ctx, d), judgeAfter(ctx, d)
	out := make([]Effect, len(listings))
	for i, l := range listings {
		var err error
		out[i] = Effect{Path: l.Path, Digest: l.Digest}
		if out[i].Before, err = before.word(l); err != nil {
			return nil, err
		}
		if out[i].After, err = after.word(l); err != nil {
			return nil, err
		}
	}
	return out, nil
}
