package revocation

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Audit is all that a key ever did, as far as the kept history tells
// (docs/spec.md, "Audit").
type Audit struct {
	Key  string    // its identity, see [tuf.KeyIdentity]
	Past *tuf.Past // the history that was read
	// Vouched are the entries that first appeared in a file that the key
	// signed, in the order of the states.
	Vouched []Vouched
	// Carried counts by role, at their most in one file, the entries that the
	// key signed again after somebody else had vouched for them first.
	Carried     map[string]int
	Withdrawals []Withdrawn
	Delegations []Delegated
	GivenUp     []Moment // roles that gave themselves up by the key
	Roots       []int64  // versions of root that it signed
	Sealed      []int64  // versions of states whose snapshot or timestamp it signed
	// Unread are the states, or files of states, that could not be read: what
	// the key did there is not known.
	Unread []tuf.Unread

	since map[aloneKey]Moment
	// others says of each digest which roles vouched for it first, the key
	// aside: the first entry of each.
	others map[digest.Digest][]Earlier
	trust  []trusting
}

// Moment is where in the history something is first seen.
type Moment struct {
	State *tuf.Kept
	Role  string
	// AtOrBefore reports that the history does not reach back, or has a gap:
	// it happened with State or before it, and then after all of State's
	// Parents.
	AtOrBefore bool
}

// Vouched is one entry that the key vouched for.
type Vouched struct {
	Moment
	Listing
	// Alone reports that without the key's signature the file did not meet the
	// role's threshold.
	Alone bool
	// Before is who vouched for the same digest earlier, or nil.
	Before *Earlier
	// Now is what the present state has: the entry is listed still, and the
	// digest withdrawn.
	Listed, Withdrawn bool
}

// Earlier is an entry of the same digest by others.
type Earlier struct {
	Moment
	Path string
}

// Withdrawn is a withdrawal by the key, or one that it lifted.
type Withdrawn struct {
	Moment
	Digest digest.Digest
	Reason string // of the notice
	Lifted bool
}

// Delegated is a delegation that a file signed by the key made, changed or
// took away.
type Delegated struct {
	Moment
	To   string // the role that is trusted
	What string // "made", "changed" or "removed"
}

// MakeAudit reads the kept history and finds out what the key with this
// identity did. Every role file is read once, when it first appears. Progress,
// if not nil, is told how many states of how many were looked at.
func MakeAudit(ctx context.Context, past *tuf.Past, identity string, progress func(done, of int)) (*Audit, error) {
	a := &Audit{
		Key: identity, Past: past, Carried: map[string]int{}, since: map[aloneKey]Moment{}, others: map[digest.Digest][]Earlier{},
	}
	w := newWalk(past, a.step)
	if err := w.run(ctx, progress); err != nil {
		return nil, err
	}
	a.Unread = append(slices.Clone(past.Unread), w.lost...)
	a.topLevel()
	if err := a.present(ctx); err != nil {
		return nil, err
	}
	a.sort()
	return a, nil
}

// step takes in a role's file that is new in a state.
func (a *Audit) step(s *step) {
	signed, alone := s.by(a.Key)
	a.trusts(s, alone)
	if s.withdrawal {
		if signed {
			a.withdrawals(s)
		}
		return
	}
	if signed {
		a.delegations(s)
		if s.file.Targets.Revoked && !s.revokedBefore() {
			a.GivenUp = append(a.GivenUp, s.moment())
		}
	}
	carried := 0
	// In an order: which entry of a digest stands for a role must not be chance.
	for _, path := range slices.Sorted(maps.Keys(s.file.Targets.Targets)) {
		d := s.file.Targets.Targets[path].Hashes.Digest()
		if d == "" {
			continue
		}
		if alone {
			a.aloneSince(s, Listing{path, d})
		}
		switch {
		case !s.isNew(path):
			if signed {
				carried++
			}
		case signed:
			a.Vouched = append(a.Vouched, Vouched{Moment: s.moment(), Listing: Listing{path, d}, Alone: alone})
		}
		if !alone && s.isNew(path) && !s.state.Aside {
			if !slices.ContainsFunc(a.others[d], func(e Earlier) bool { return e.Role == s.role }) {
				a.others[d] = append(a.others[d], Earlier{Moment: s.moment(), Path: path})
			}
		}
	}
	if carried > 0 {
		a.Carried[s.role] = max(a.Carried[s.role], carried)
	}
}

func (a *Audit) withdrawals(s *step) {
	for path, target := range s.file.Targets.Targets {
		if n := target.Notice(); n != nil && path == metadata.WithdrawnPath(n.Digest) && s.isNew(path) {
			a.Withdrawals = append(a.Withdrawals, Withdrawn{Moment: s.moment(), Digest: n.Digest, Reason: n.Reason})
		}
	}
	for _, path := range s.gone() {
		if d, ok := metadata.WithdrawnDigest(path); ok {
			a.Withdrawals = append(a.Withdrawals, Withdrawn{Moment: s.moment(), Digest: d, Lifted: true})
		}
	}
}

func (a *Audit) delegations(s *step) {
	now := delegationsOf(s.file.Targets)
	for name, d := range now {
		known, same := s.delegatedBefore(name, d)
		switch {
		case !known:
			a.Delegations = append(a.Delegations, Delegated{s.moment(), name, "made"})
		case !same:
			a.Delegations = append(a.Delegations, Delegated{s.moment(), name, "changed"})
		}
	}
	for _, name := range s.undelegated(now) {
		a.Delegations = append(a.Delegations, Delegated{s.moment(), name, "removed"})
	}
}

// topLevel finds the roots, snapshots and timestamps that the key signed.
func (a *Audit) topLevel() {
	for version, f := range a.Past.Roots {
		signed := a.signed(f, f.Root, metadata.RoleRoot)
		if before := a.Past.Roots[version-1]; before != nil {
			signed = signed || a.signed(f, before.Root, metadata.RoleRoot)
		}
		if signed {
			a.Roots = append(a.Roots, version)
		}
	}
	slices.Sort(a.Roots)
	for _, k := range a.Past.States {
		if a.signed(k.Timestamp, k.Root.Root, metadata.RoleTimestamp) || a.signed(k.Snapshot, k.Root.Root, metadata.RoleSnapshot) {
			a.Sealed = append(a.Sealed, k.Version())
		}
	}
}

func (a *Audit) signed(f *metadata.File, root *metadata.Root, role string) bool {
	signers, err := tuf.Signers(f, root.Keys, root.Roles[role])
	return err == nil && signers[a.Key] != ""
}

// sort puts everything in the order of the states. A state that is aside comes
// last: what version it claims to have is the word of whoever made it.
func (a *Audit) sort() {
	byMoment := func(x, y Moment) int {
		return cmp.Or(cmp.Compare(number(x.State.Aside), number(y.State.Aside)),
			cmp.Compare(x.State.Root.Version, y.State.Root.Version), cmp.Compare(x.State.Version(), y.State.Version()),
			strings.Compare(x.Role, y.Role))
	}
	slices.SortFunc(a.Vouched, func(x, y Vouched) int { return cmp.Or(byMoment(x.Moment, y.Moment), strings.Compare(x.Path, y.Path)) })
	slices.SortFunc(a.Withdrawals, func(x, y Withdrawn) int {
		return cmp.Or(byMoment(x.Moment, y.Moment), strings.Compare(string(x.Digest), string(y.Digest)))
	})
	slices.SortFunc(a.Delegations, func(x, y Delegated) int { return cmp.Or(byMoment(x.Moment, y.Moment), strings.Compare(x.To, y.To)) })
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

type aloneKey struct {
	role string
	Listing
}

func (a *Audit) aloneSince(s *step, l Listing) {
	k := aloneKey{s.role, l}
	if _, known := a.since[k]; !known && !s.state.Aside {
		a.since[k] = s.moment()
	}
}

// AloneSince returns the first kept state in which role lists l in a file that
// the key signed and not enough others.
func (a *Audit) AloneSince(role string, l Listing) (Moment, bool) {
	m, ok := a.since[aloneKey{role, l}]
	return m, ok
}
