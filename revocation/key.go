package revocation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

var (
	// ErrKeyUnused says that no role lists the key.
	ErrKeyUnused = errors.New("no role has this key")
	// ErrTopLevelKey says that the key is one of root's own or of the roles
	// that root names: only a new root takes it away.
	ErrTopLevelKey = errors.New("the key belongs to a top-level role")
	// ErrBelowThreshold says that the role would keep too few keys.
	ErrBelowThreshold = errors.New("the role would be left without enough keys")
)

// Impact says what taking a key from one role means.
type Impact struct {
	Role      string
	Delegator string
	Threshold int
	Remaining int // keys that the role keeps, by material
	// AtHand are how many of those this machine has.
	AtHand int
	// Signed reports that the role's present file carries the key's signature.
	Signed bool
	// Alone reports that without the key's signature the present file does
	// not meet the threshold: what it lists is vouched for by this key.
	Alone bool
	// Paths are the target paths that the role lists.
	Paths []string
	// Keys are what the role keeps.
	Keys metadata.Keys
}

// Possible reports whether the role can go on without the key at once.
func (i Impact) Possible() bool {
	return i.Remaining >= i.Threshold && (!i.Alone || i.AtHand >= i.Threshold)
}

// Impacts says what revoking the key with the material identity (see
// [tuf.KeyIdentity]) means, role by role. Role restricts it to one; "" is
// all. It changes nothing.
func Impacts(ctx context.Context, d *tuf.Draft, ring tuf.Keyring, identity, role string) ([]Impact, error) {
	if err := refuseTopLevel(d.Root(), identity); err != nil && role == "" {
		return nil, err
	}
	if role != "" {
		if _, err := d.Edge(ctx, role); err != nil {
			return nil, err
		}
	}
	var out []Impact
	err := d.Walk(ctx, func(e delegations.Edge) error {
		keep, has := without(e, identity)
		if !has || role != "" && role != e.Role {
			return nil
		}
		i, err := impact(ctx, d, ring, e, keep, identity)
		out = append(out, i)
		return err
	})
	if err == nil && len(out) == 0 {
		err = ErrKeyUnused
	}
	return out, err
}

func refuseTopLevel(root *metadata.Root, identity string) error {
	for _, role := range []string{metadata.RoleRoot, metadata.RoleTargets, metadata.RoleSnapshot, metadata.RoleTimestamp} {
		for _, id := range root.Roles[role].KeyIDs {
			if got, err := tuf.KeyIdentity(root.Keys[id]); err == nil && got == identity {
				return fmt.Errorf("%w: %s", ErrTopLevelKey, role)
			}
		}
	}
	return nil
}

// without returns the keys of e's role but the one with identity, and whether
// that was among them.
func without(e delegations.Edge, identity string) (metadata.Keys, bool) {
	keep, has := metadata.Keys{}, false
	for _, id := range e.RoleKeys.KeyIDs {
		if got, err := tuf.KeyIdentity(e.Keys[id]); err == nil && got == identity {
			has = true
			continue
		}
		if key, ok := e.Keys[id]; ok {
			keep[id] = key
		}
	}
	return keep, has
}

func impact(ctx context.Context, d *tuf.Draft, ring tuf.Keyring, e delegations.Edge, keep metadata.Keys, identity string) (Impact, error) {
	i := Impact{Role: e.Role, Delegator: e.Parent, Threshold: e.RoleKeys.Threshold, Keys: keep}
	i.Remaining, i.AtHand = count(keep, nil), count(keep, ring)
	f, err := d.State().Client().OpenFile(ctx, e)
	if err != nil {
		return i, err
	}
	signers, err := tuf.Signers(f, e.Keys, e.RoleKeys)
	if err != nil {
		return i, err
	}
	_, i.Signed = signers[identity]
	delete(signers, identity)
	i.Alone = len(signers) < i.Threshold
	i.Paths = slices.Sorted(maps.Keys(f.Targets.Targets))
	return i, nil
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

// RevokeKey takes the key from the roles of impacts: their delegators list it
// no longer, and their files are signed again by the keys that remain, all in
// one publication.
func RevokeKey(ctx context.Context, d *tuf.Draft, impacts []Impact) error {
	for _, i := range impacts {
		if i.Remaining < i.Threshold {
			return fmt.Errorf("%w: %q has a threshold of %d and would keep %d: give it another key first with `carnet rotate %s --add KEY`",
				ErrBelowThreshold, i.Role, i.Threshold, i.Remaining, i.Role)
		}
		if err := d.SetKeys(ctx, i.Role, i.Keys, i.Threshold); err != nil {
			return err
		}
	}
	return nil
}
