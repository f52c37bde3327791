package tuf_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func (w *world) settled(id string) bool {
	w.t.Helper()
	repo := tuf.NewRepository(w.options(&seat{reg: w.reg}))
	state, err := repo.Load(w.t.Context())
	require.NoError(w.t, err)
	s, err := repo.Settled(w.t.Context(), state)
	require.NoError(w.t, err)
	return s.Contains(id)
}

func refreshes(_ context.Context, d *tuf.Draft) error { d.Force(); return nil }

// What a writer seals that is no refresher is settled when a refresher seals a
// successor, and stays so when the writer goes on.
func TestSettledByARefresher(t *testing.T) {
	w := newWorld(t)
	cron, ci := w.keys[0].(*tuf.SoftKey), newKey(t)
	dev := w.keys
	w.must(func(ctx context.Context, d *tuf.Draft) error {
		keys := metadata.Keys{cron.Key().ID(): cron.Key(), ci.Key().ID(): ci.Key()}
		return d.SetWriters(ctx, keys, []string{cron.Key().ID()})
	})
	require.True(t, w.settled(w.newest().Identity()), "sealed by the refresher itself")

	// The key of a role signs, the writer's own seals.
	app := newKey(t)
	w.keys = append(tuf.Keys{app}, dev...)
	w.must(w.delegation("apps", "app", 1, app))
	require.NoError(t, w.with(tuf.Keys{app, ci}, target("apps", "app:1", "one")))
	id := w.newest().Identity()
	require.False(t, w.settled(id))
	require.NoError(t, w.with(tuf.Keys{cron}, refreshes))
	require.True(t, w.settled(id))
	require.NoError(t, w.with(tuf.Keys{app, ci}, target("apps", "app:2", "two")))
	require.True(t, w.settled(id), "what a refresher sealed once is settled")
	require.False(t, w.settled(w.newest().Identity()))

	// A key that is a refresher no longer settles nothing.
	w.must(func(ctx context.Context, d *tuf.Draft) error {
		keys := metadata.Keys{cron.Key().ID(): cron.Key(), ci.Key().ID(): ci.Key()}
		return d.SetWriters(ctx, keys, []string{ci.Key().ID()})
	})
	require.NoError(t, w.with(tuf.Keys{cron}, refreshes))
	require.False(t, w.settled(w.newest().Identity()))
}

// That the present state contains what a refresher sealed is a claim: one that
// lists older files does not.
func TestWhatIsRolledBackIsNotSettled(t *testing.T) {
	w := newWorld(t)
	cron, thief := w.keys[0].(*tuf.SoftKey), newKey(t)
	before := w.file("releases")
	w.must(func(ctx context.Context, d *tuf.Draft) error {
		keys := metadata.Keys{cron.Key().ID(): cron.Key(), thief.Key().ID(): thief.Key()}
		return d.SetWriters(ctx, keys, []string{cron.Key().ID()})
	})
	w.must(target("releases", "app:1", "one"))
	good := w.newest()
	w.keys = append(tuf.Keys{thief}, w.keys...) // who forges signs with the first
	w.forge(forged{like: good, version: good.Snapshot.Version + 1, parents: claims(good), roles: map[string]tuf.File{"releases": before}, state: true})
	w.reg.latest = w.newest()
	require.False(t, w.settled(good.Identity()))
}
