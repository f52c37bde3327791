package verify_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// A verifier that pinned root 1 follows to root 40 in two rounds: the state,
// then all roots at once, the older ones in one pack.
func TestBudgetOfFortyRoots(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	for n := 2; n <= 40; n++ {
		next := w.wabbit.Key(fmt.Sprintf("root-%d", n))
		_, err := w.wabbit.Publish(func(ctx context.Context, d *tuf.Draft) error {
			return d.SetKeys(ctx, metadata.RoleRoot, metadata.Keys{next.Key().ID(): next.Key()}, 1)
		})
		require.NoError(t, err)
	}
	rounds := fixtures.CountRounds(t, w.reg)
	w.reg.Reset()
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.EqualValues(t, 40, d.Results[0].RootVersion)
	require.Equal(t, 2, rounds.Count(), w.reg.Requests())
	require.Len(t, w.reg.Requests(), 2+1+tuf.MaxRootFiles, "the state, the tag, the pack, the newest roots")

	rounds.Reset()
	w.reg.Reset()
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, 1, rounds.Count(), "warm")
	require.Len(t, w.reg.Requests(), 2)
}
