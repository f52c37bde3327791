package tuf

import (
	"context"

	"github.com/carnet-project/carnet/metadata"
)

// Settled is the newest publication that a refresher's timestamp seals: a key
// that is used from time to time for nothing else, so that what it sealed
// stays in what it seals next (docs/spec.md, "Freshness").
type Settled struct {
	Version int64
	rev     *revision
}

// Contains reports whether the publication with this identity is settled.
func (s *Settled) Contains(identity string) bool { return s != nil && s.rev.contains(identity) }

// Settled returns what is settled in now: its own publication, or the newest
// of its kept ancestors that a refresher sealed; nil for none. A refresher is
// one that the present root lists.
func (r *Repository) Settled(ctx context.Context, now *State) (*Settled, error) {
	if refreshed(now, now.Timestamp()) {
		return &Settled{now.Timestamp().Version, now.rev}, nil
	}
	roots, err := r.Roots(ctx, now)
	if err != nil {
		return nil, err
	}
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range states(entries) {
		if !now.rev.knows(e) || e.Version == now.rev.version {
			continue
		}
		k, err := r.kept(ctx, roots, e)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && now.rev.descends(k.rev) && refreshed(now, k.Timestamp) {
			return &Settled{k.Version(), k.rev}, nil
		}
	}
	return nil, nil
}

// refreshed reports whether a key that now's root lists as a refresher signed
// timestamp.
func refreshed(now *State, timestamp *metadata.File) bool {
	root := now.Root().Root
	if root.Carnet == nil {
		return false
	}
	rk := metadata.RoleKeys{KeyIDs: root.Carnet.Refreshers, Threshold: 1}
	return VerifyThreshold(metadata.RoleTimestamp, timestamp, root.Keys, rk) == nil
}
