package revocation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

var (
	// ErrKeyUnused says that no role lists the key.
	ErrKeyUnused = errors.New("no role has this key")
	// ErrBelowThreshold says that a role would keep too few keys.
	ErrBelowThreshold = errors.New("a role would be left without enough keys")
)

// Impact says what taking a key from one role means.
type Impact struct {
	Role      string
	Delegator string // "root" for a top-level role
	Threshold int
	Remaining int // keys that the role keeps, by material
	// AtHand are how many of those this machine has.
	AtHand int
	// Signed reports that the role's present file carries the key's signature.
	Signed bool
	// Alone reports that without the key's signature the present file does
	// not meet the threshold: what it lists is vouched for by this key.
	Alone bool
	// Listings are the artifacts that the role vouches for, and Delegates the
	// roles that it trusts.
	Listings  []Listing
	Delegates []string
	// Keys are what the role keeps.
	Keys metadata.Keys

	withdraws bool
}

// Possible reports whether the role's keys at hand can go on without the key
// at once. Else the rest has to sign a proposal.
func (i Impact) Possible() bool {
	return i.Remaining >= i.Threshold && (!i.Alone || i.AtHand >= i.Threshold)
}

// Impacts says what revoking the key with the material identity (see
// [tuf.KeyIdentity]) means, role by role, TUF's own first. Role restricts it
// to one; "" is all. It changes nothing.
func Impacts(ctx context.Context, d *tuf.Draft, ring tuf.Keyring, identity, role string) ([]Impact, error) {
	if role != "" && !metadata.IsTopLevel(role) {
		if _, err := d.Edge(ctx, role); err != nil {
			return nil, err
		}
	}
	out, err := topLevel(ctx, d, ring, identity, role)
	if err != nil {
		return nil, err
	}
	err = d.Walk(ctx, func(e delegations.Edge) error {
		keep, has := without(e.Keys, e.RoleKeys, identity)
		if !has || role != "" && role != e.Role {
			return nil
		}
		i := newImpact(e.Role, e.Parent, e.RoleKeys.Threshold, keep, ring)
		i.withdraws = e.Withdrawal
		f, err := d.State().Client().OpenFile(ctx, e)
		if errors.Is(err, tuf.ErrInvalid) || errors.Is(err, tuf.ErrThreshold) {
			i.Alone = true // verifiers refuse it: it has to be signed again
			out = append(out, i)
			return nil
		}
		if err != nil {
			return err
		}
		err = i.describe(f, e.Keys, e.RoleKeys, identity)
		out = append(out, i)
		return err
	})
	if err == nil && len(out) == 0 {
		err = ErrKeyUnused
	}
	return out, err
}

// topRoles are TUF's own, in the order in which verifiers read them.
var topRoles = []string{metadata.RoleRoot, metadata.RoleTimestamp, metadata.RoleSnapshot, metadata.RoleTargets}

func topLevel(ctx context.Context, d *tuf.Draft, ring tuf.Keyring, identity, only string) ([]Impact, error) {
	s := d.State()
	root := s.Root().Root
	var out []Impact
	for _, role := range topRoles {
		rk := root.Roles[role]
		keep, has := without(root.Keys, rk, identity)
		if !has || only != "" && only != role {
			continue
		}
		f := map[string]*metadata.File{
			metadata.RoleRoot: s.Root(), metadata.RoleTimestamp: s.Timestamp(), metadata.RoleSnapshot: s.Snapshot(),
		}[role]
		if f == nil {
			var err error
			if f, err = s.Client().OpenFile(ctx, delegations.Edge{Role: role}); err != nil {
				return nil, err
			}
		}
		i := newImpact(role, metadata.RoleRoot, rk.Threshold, keep, ring)
		if err := i.describe(f, root.Keys, rk, identity); err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

// without returns the keys of a role but the one with identity, and whether
// that was among them.
func without(keys metadata.Keys, rk metadata.RoleKeys, identity string) (metadata.Keys, bool) {
	keep, has := metadata.Keys{}, false
	for _, id := range rk.KeyIDs {
		if got, err := tuf.KeyIdentity(keys[id]); err == nil && got == identity {
			has = true
			continue
		}
		if key, ok := keys[id]; ok {
			keep[id] = key
		}
	}
	return keep, has
}

func newImpact(role, delegator string, threshold int, keep metadata.Keys, ring tuf.Keyring) Impact {
	return Impact{
		Role: role, Delegator: delegator, Threshold: threshold, Keys: keep, Remaining: count(keep, nil), AtHand: count(keep, ring),
	}
}

// describe says what the role's present file is without the key.
func (i *Impact) describe(f *metadata.File, keys metadata.Keys, rk metadata.RoleKeys, identity string) error {
	signers, err := tuf.Signers(f, keys, rk)
	if err != nil {
		return err
	}
	_, i.Signed = signers[identity]
	delete(signers, identity)
	i.Alone = len(signers) < i.Threshold
	if f.Targets == nil {
		return nil
	}
	if !i.withdraws { // what it lists is denied
		i.Listings = Listings(f.Targets)
	}
	i.Delegates = slices.Sorted(maps.Keys(delegationsOf(f.Targets)))
	return nil
}

// count counts keys by material, those that ring has if it is not nil.
func count(keys metadata.Keys, ring tuf.Keyring) int {
	seen := map[string]bool{}
	for _, k := range keys {
		if id, err := tuf.KeyIdentity(k); err == nil && (ring == nil || ring.Has(k)) {
			seen[id] = true
		}
	}
	return len(seen)
}

// RevokeKey takes the key from the roles of impacts: whoever delegates to them
// lists it no longer, and their files are signed again by the keys that
// remain, all in one publication. It is refused as a whole if one role would
// keep too few.
func RevokeKey(ctx context.Context, d *tuf.Draft, identity string, impacts []Impact) error {
	var errs []error
	for _, i := range impacts {
		if i.Remaining < i.Threshold {
			errs = append(errs, i.tooFew())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	roles := map[string]bool{}
	for _, i := range impacts {
		roles[i.Role] = true
		if err := d.SetKeys(ctx, i.Role, i.Keys, i.Threshold); err != nil {
			return err
		}
	}
	return elsewhere(ctx, d, identity, roles)
}

// tooFew says what to do instead.
func (i Impact) tooFew() error {
	way := fmt.Sprintf("give it another key in the same step with `carnet rotate %s --add NEW --remove KEY`", i.Role)
	if !metadata.IsTopLevel(i.Role) && !i.withdraws {
		way += fmt.Sprintf(", or trust it no longer with `carnet delegate remove %s`", i.Role)
	}
	return fmt.Errorf("%w: %q has a threshold of %d and would keep %d: %s", ErrBelowThreshold, i.Role, i.Threshold, i.Remaining, way)
}

// elsewhere takes the key from further delegations to the same roles: one role
// may have several delegators.
func elsewhere(ctx context.Context, d *tuf.Draft, identity string, roles map[string]bool) error {
	delegators := []string{metadata.RoleTargets}
	if err := d.Walk(ctx, func(e delegations.Edge) error { delegators = append(delegators, e.Role); return nil }); err != nil {
		return err
	}
	for _, delegator := range delegators {
		e, err := d.Edge(ctx, delegator)
		if err != nil {
			return err
		}
		t, err := d.Open(ctx, e)
		if errors.Is(err, tuf.ErrInvalid) || errors.Is(err, tuf.ErrThreshold) {
			continue
		}
		if err != nil {
			return err
		}
		if err := takeFrom(ctx, d, delegator, t.Delegations, identity, roles); err != nil {
			return err
		}
	}
	return nil
}

func takeFrom(ctx context.Context, d *tuf.Draft, delegator string, trusts *metadata.Delegations, identity string, roles map[string]bool) error {
	if trusts == nil {
		return nil
	}
	if trusts.Succinct != nil {
		if _, has := without(trusts.Keys, trusts.Succinct.RoleKeys, identity); has {
			return fmt.Errorf("%w: %q delegates hash bins to the key, whose files cannot be signed anew by this version: name one role with --role", tuf.ErrImpossible, delegator)
		}
	}
	for i, r := range trusts.Roles {
		keep, has := without(trusts.Keys, r.RoleKeys, identity)
		if !has || !roles[r.Name] {
			continue
		}
		if count(keep, nil) < r.Threshold {
			return fmt.Errorf("%w: %q, as %q delegates to it, has a threshold of %d and would keep %d", ErrBelowThreshold, r.Name, delegator, r.Threshold, count(keep, nil))
		}
		t, err := d.Edit(ctx, delegator)
		if err != nil {
			return err
		}
		t.Delegations.Roles[i].KeyIDs = slices.Sorted(maps.Keys(keep))
		maps.DeleteFunc(t.Delegations.Keys, func(id string, _ metadata.Key) bool { return !lists(t.Delegations, id) })
	}
	return nil
}

func lists(d *metadata.Delegations, id string) bool {
	return slices.ContainsFunc(d.Roles, func(r metadata.Delegation) bool { return slices.Contains(r.KeyIDs, id) })
}

// Need is how many signatures a file must have that a change makes, and how
// many of its keys are at hand.
type Need struct {
	Role string
	Want int
	Have int
	// Stands reports that the signatures which the file has suffice.
	Stands bool
}

// Met reports whether the file can be signed here.
func (n Need) Met() bool { return n.Stands || n.Have >= n.Want }

// Needs returns what has to be signed when the key of impacts goes, after
// [RevokeKey]: the roles' files and those of their delegators.
func Needs(ctx context.Context, d *tuf.Draft, ring tuf.Keyring, impacts []Impact) ([]Need, error) {
	stands := map[string]bool{}
	for _, i := range impacts {
		stands[i.Delegator] = false
	}
	for _, i := range impacts {
		if _, delegates := stands[i.Role]; !delegates {
			stands[i.Role] = !i.Alone && !metadata.IsTopLevel(i.Role)
		}
	}
	stands[metadata.RoleSnapshot], stands[metadata.RoleTimestamp] = false, false
	var out []Need
	for _, role := range slices.SortedFunc(maps.Keys(stands), byRank) {
		keys, rk, err := d.KeysOf(ctx, role)
		if err != nil {
			return nil, err
		}
		out = append(out, Need{Role: role, Want: rk.Threshold, Have: count(keys, ring), Stands: stands[role]})
	}
	return out, nil
}

// byRank orders roles as verifiers read them.
func byRank(a, b string) int {
	rank := func(role string) int {
		if i := slices.Index(topRoles, role); i >= 0 {
			return i
		}
		return len(topRoles)
	}
	if x, y := rank(a), rank(b); x != y {
		return x - y
	}
	return strings.Compare(a, b)
}

// Affected returns the artifacts of which a verifier asks a file that impacts
// concern: what those roles list, and if one of them is a top-level role, what
// every role lists.
func Affected(ctx context.Context, d *tuf.Draft, impacts []Impact) ([]Listing, error) {
	all := map[Listing]bool{}
	for _, i := range impacts {
		if metadata.IsTopLevel(i.Role) {
			vouched, err := vouchings(ctx, d)
			for _, v := range vouched {
				all[Listing{v.path, v.digest}] = true
			}
			return sorted(all), err
		}
		for _, l := range i.Listings {
			all[l] = true
		}
	}
	return sorted(all), nil
}

func sorted(all map[Listing]bool) []Listing {
	return slices.SortedFunc(maps.Keys(all), func(a, b Listing) int {
		return strings.Compare(a.Path+string(a.Digest), b.Path+string(b.Digest))
	})
}
