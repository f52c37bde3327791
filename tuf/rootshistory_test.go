package tuf_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// replaceOnline gives snapshot and timestamp the named key and no other.
func replaceOnline(t *testing.T, p *fixtures.Publisher, name string) {
	t.Helper()
	k := p.Key(name).Key()
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		return d.SetWriters(ctx, metadata.Keys{k.ID(): k}, []string{k.ID()})
	})
	require.NoError(t, err)
}

// States of before a rotation are verified by the root of their time: they stay
// in the history, and are pruned by age and not as garbage.
func TestStatesOfAnOlderRootAreNoGarbage(t *testing.T) {
	p := publisherOn(t, fixtures.Distribution(t))
	_, err := p.Sign("releases", "app:1", "x")
	require.NoError(t, err)
	old := statesOf(tags(t, p))
	replaceOnline(t, p, "online-2")

	list, err := tuf.NewRepository(p.Options()).History(t.Context(), 20)
	require.NoError(t, err)
	require.Len(t, list, len(old)+1)
	for _, c := range list {
		require.NoError(t, c.Err, c.Tag)
	}
	require.EqualValues(t, 2, list[0].Root)
	require.EqualValues(t, 1, list[1].Root)

	_, err = prune(t, p, 1)
	require.NoError(t, err)
	require.Subset(t, tags(t, p), old, "they are minutes old")

	p.Sleep(2 * time.Hour)
	gone, err := prune(t, p, 1)
	require.NoError(t, err)
	require.Subset(t, gone, old)
	requireListed(t, p, "app:1", "x")
	require.EqualValues(t, 2, p.Client().Root().Version, "no root is lost")
}

func statesOf(tags []string) (out []string) {
	for _, tag := range tags {
		if strings.HasPrefix(tag, "state.") {
			out = append(out, tag)
		}
	}
	return out
}
