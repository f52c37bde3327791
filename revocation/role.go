package revocation

import (
	"context"
	"errors"
	"slices"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// GiveUp lets a role give itself up, see [tuf.Draft.GiveUp], and returns what
// that does to everything that it, or a role below it, lists.
func GiveUp(ctx context.Context, d *tuf.Draft, role string) ([]Effect, error) {
	var listings []Listing
	if e, err := d.Edge(ctx, role); err == nil {
		if listings, err = below(ctx, d, e); err != nil {
			return nil, err
		}
	}
	if err := d.GiveUp(ctx, role); err != nil {
		return nil, err
	}
	return Effects(ctx, d, listings)
}

// below returns what the role at the end of e lists, and all roles to which
// it delegates, as far as verifiers accept their files.
func below(ctx context.Context, d *tuf.Draft, e delegations.Edge) ([]Listing, error) {
	all := map[Listing]bool{}
	seen := map[string]bool{e.Role: true}
	for queue := []delegations.Edge{e}; len(queue) > 0; queue = queue[1:] {
		t, err := d.Open(ctx, queue[0])
		if errors.Is(err, tuf.ErrInvalid) || errors.Is(err, tuf.ErrThreshold) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, l := range Listings(t) {
			all[l] = true
		}
		for _, child := range delegated(queue[0], t.Delegations) {
			if !seen[child.Role] {
				seen[child.Role] = true
				queue = append(queue, child)
			}
		}
	}
	return sorted(all), nil
}

// delegated returns the delegations of a role but hash bins.
func delegated(from delegations.Edge, d *metadata.Delegations) []delegations.Edge {
	if d == nil {
		return nil
	}
	out := make([]delegations.Edge, len(d.Roles))
	for i, r := range d.Roles {
		out[i] = delegations.Edge{
			Parent: from.Role, Role: r.Name, Keys: d.Keys, RoleKeys: r.RoleKeys, Chain: append(slices.Clone(from.Chain), r.Name),
		}
	}
	return out
}
