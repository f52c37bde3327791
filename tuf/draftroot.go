package tuf

import (
	"context"
	"maps"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// EditRoot returns the root to be changed. The publication has a new version
// of it, signed by as many keys of the present root and of the new one as each
// demands (TUF 5.3.4), and all roots before it.
func (d *Draft) EditRoot() *metadata.Root {
	if d.root == nil {
		d.root = d.state.Root().Root.Clone()
	}
	return d.root
}

// Renew signs the file of a role again though it says the same: it lives
// longer then. Snapshot and timestamp are new in every publication.
func (d *Draft) Renew(ctx context.Context, role string) error {
	switch role {
	case metadata.RoleRoot:
		d.EditRoot()
	case metadata.RoleSnapshot, metadata.RoleTimestamp:
		d.Force()
	default:
		if _, err := d.Edit(ctx, role); err != nil {
			return err
		}
	}
	d.renewed[role] = true
	return nil
}

// KeysOf returns the keys and the threshold of a role, top-level or
// delegated, with the draft's changes. It fails with ErrUnknownRole.
func (d *Draft) KeysOf(ctx context.Context, role string) (metadata.Keys, metadata.RoleKeys, error) {
	keys, rk := d.Root().Keys, d.Root().Roles[role]
	if !metadata.IsTopLevel(role) {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return nil, rk, err
		}
		keys, rk = e.Keys, e.RoleKeys
	}
	out := metadata.Keys{}
	for _, id := range rk.KeyIDs {
		if k, ok := keys[id]; ok {
			out[id] = k
		}
	}
	return out, rk, nil
}

// setTopKeys is SetKeys for the roles whose keys root lists. Targets is signed
// again; snapshot and timestamp are new in every publication.
func (d *Draft) setTopKeys(ctx context.Context, role string, keys metadata.Keys, threshold int) error {
	if role == metadata.RoleTargets {
		if _, err := d.Edit(ctx, role); err != nil {
			return err
		}
	}
	root := d.EditRoot()
	rk := root.Roles[role]
	rk.KeyIDs, rk.Threshold = slices.Sorted(maps.Keys(keys)), threshold
	root.Roles[role] = rk
	maps.Copy(root.Keys, keys)
	root.DropUnusedKeys()
	if role == metadata.RoleTimestamp {
		keepRefreshers(root)
	}
	return nil
}

// keepRefreshers drops refreshers that are timestamp keys no longer. Some key
// must settle withdrawals: where none is left all of them do.
func keepRefreshers(root *metadata.Root) {
	x := root.Carnet
	if x == nil {
		return
	}
	ids := root.Roles[metadata.RoleTimestamp].KeyIDs
	x.Refreshers = slices.DeleteFunc(x.Refreshers, func(id string) bool { return !slices.Contains(ids, id) })
	if len(x.Refreshers) == 0 {
		x.Refreshers = slices.Clone(ids)
	}
}

// distinct counts keys by their material. One that cannot verify anything
// counts for nothing.
func distinct(keys metadata.Keys) int {
	seen := map[string]bool{}
	for _, k := range keys {
		if id, err := KeyIdentity(k); err == nil {
			seen[id] = true
		}
	}
	return len(seen)
}

// SetWriters replaces the keys of snapshot and of timestamp together, in one
// new root: each writer has a key of its own for both, and one signature
// suffices (docs/spec.md, "Publication"). Refreshers, by ID, are those whose
// timestamps settle withdrawals; there must be one.
func (d *Draft) SetWriters(ctx context.Context, keys metadata.Keys, refreshers []string) error {
	for _, role := range []string{metadata.RoleSnapshot, metadata.RoleTimestamp} {
		_, rk, err := d.KeysOf(ctx, role)
		if err != nil {
			return err
		}
		if err := d.SetKeys(ctx, role, keys, min(rk.Threshold, max(distinct(keys), 1))); err != nil {
			return err
		}
	}
	if x := d.EditRoot().Carnet; x != nil {
		x.Refreshers = slices.Clone(refreshers)
		keepRefreshers(d.root)
	}
	return nil
}
