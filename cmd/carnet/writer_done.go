package main

import (
	"context"
	"maps"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// writersChanged reports whether add are writers now and each of remove was one
// under an earlier root and is none now: the command was run before. A name
// that never was a writer's is more likely a mistake.
func (c *command) writersChanged(ctx context.Context, p *publisher, d *tuf.Draft, now metadata.Keys, add []metadata.Key, remove []string) (bool, error) {
	if len(remove) == 0 {
		return false, nil
	}
	for _, k := range add {
		if id, err := tuf.KeyIdentity(k); err != nil || !holds(now, id) {
			return false, nil
		}
	}
	former, err := formerWriters(ctx, p, d)
	if err != nil {
		return false, err
	}
	for _, name := range remove {
		if id, err := c.identityIn(ctx, name, former); err != nil || !holds(former, id) || holds(now, id) {
			return false, nil
		}
	}
	return true, nil
}

// formerWriters returns every key that any root since the pinned one listed for
// snapshot or timestamp.
func formerWriters(ctx context.Context, p *publisher, d *tuf.Draft) (metadata.Keys, error) {
	roots, err := p.repo.Roots(ctx, d.State())
	out := metadata.Keys{}
	for _, f := range roots {
		for _, role := range []string{metadata.RoleSnapshot, metadata.RoleTimestamp} {
			for _, id := range f.Root.Roles[role].KeyIDs {
				out[id] = f.Root.Keys[id]
			}
		}
	}
	return out, err
}

// holds reports whether one of the keys has the material identity.
func holds(keys metadata.Keys, identity string) bool {
	n := len(keys)
	left := maps.Clone(keys)
	dropKey(left, identity)
	return len(left) < n
}
