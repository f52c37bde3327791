package tuf_test

import (
	"context"
	"errors"
	mathrand "math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// rotates gives role other keys, in place of what it has.
func rotates(role string, keys ...*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		all := metadata.Keys{}
		for _, k := range keys {
			all[k.Key().ID()] = k.Key()
		}
		return d.SetKeys(ctx, role, all, 1)
	}
}

// TestNewRootUnderManyInterleavings lets one writer publish a new root while
// another one signs: whatever was acknowledged is there, whoever looks on sees
// one valid state after the other.
func TestNewRootUnderManyInterleavings(t *testing.T) {
	w := newWorld(t)
	old, spare := w.keys[0].(*tuf.SoftKey), newKey(t)
	w.keys = append(w.keys, spare)
	for name, changes := range map[string]func(context.Context, *tuf.Draft) error{
		"a root key is added":                rotates(metadata.RoleRoot, old, spare),
		"the keys of targets are replaced":   rotates(metadata.RoleTargets, spare),
		"a timestamp key is added":           rotates(metadata.RoleTimestamp, old, spare),
		"the keys of snapshot are replaced":  rotates(metadata.RoleSnapshot, spare),
		"the keys of timestamp are replaced": rotates(metadata.RoleTimestamp, spare),
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			cfg := search{writers: 2, seed: 7, change: func(writer int) func(context.Context, *tuf.Draft) error {
				if writer == 1 {
					return changes
				}
				return signs(0)
			}}
			runs, complete := w.exploreRoots(cfg, 2, 250)
			t.Logf("%d runs, all: %v", runs, complete)
		})
	}
}

// TestTwoNewRoots lets two writers publish another new root each: both are
// published one after the other, or one is told that the other is at it.
func TestTwoNewRoots(t *testing.T) {
	w := newWorld(t)
	a, b := newKey(t), newKey(t)
	w.keys = append(w.keys, a, b)
	add := func(k *tuf.SoftKey) func(context.Context, *tuf.Draft) error {
		return func(ctx context.Context, d *tuf.Draft) error {
			keys, _, err := d.KeysOf(ctx, metadata.RoleRoot)
			if err != nil {
				return err
			}
			keys[k.Key().ID()] = k.Key()
			return d.SetKeys(ctx, metadata.RoleRoot, keys, 1)
		}
	}
	for name, deletes := range map[string]bool{"drafts can be deleted": true, "drafts stay": false} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t = t
			cfg := search{writers: 2, delete: deletes, seed: 1, change: func(writer int) func(context.Context, *tuf.Draft) error {
				return add([]*tuf.SoftKey{a, b}[writer])
			}}
			w.exploreRoots(cfg, 3, 300)
		})
	}
}

// exploreRoots runs schedules. Writers may fail only because others were at
// it; if all are acknowledged there are roots up to that version.
func (w *world) exploreRoots(cfg search, roots int64, limit int) (runs int, complete bool) {
	s := &schedule{}
	if underRace {
		limit = min(limit, 100)
	}
	for runs = 1; ; runs++ {
		if s.at = 0; cfg.seed != 0 {
			s.choices, s.random = nil, mathrand.New(mathrand.NewPCG(cfg.seed, uint64(runs)))
		}
		out := w.run(s, cfg)
		newRoots := 0
		for i, err := range out.errs {
			if err != nil {
				require.ErrorIs(w.t, err, tuf.ErrContended, "%v", out.trace)
			} else if roots == 3 || i == 1 {
				newRoots++
			}
		}
		c, err := w.reader(out.reg, tuf.MemoryStore{})
		require.NoError(w.t, err, "%v", out.trace)
		require.EqualValues(w.t, 1+newRoots, c.Root().Version, "%v %v", out.errs, out.trace)
		if !errors.Is(out.errs[0], tuf.ErrContended) && roots == 2 {
			f, err := c.Lookup(w.t.Context(), "app:0")
			require.NoError(w.t, err)
			require.True(w.t, f.Listed, "acknowledged and not there: %v", out.trace)
		}
		if cfg.seed == 0 && !s.next() {
			return runs, true
		}
		if runs == limit {
			return runs, false
		}
	}
}
