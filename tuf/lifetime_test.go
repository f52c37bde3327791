package tuf_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

const day = 24 * time.Hour

// renews signs the files of roles again.
func renews(roles ...string) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		for _, role := range roles {
			if err := d.Renew(ctx, role); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestRenewMovesTheExpiryAndNothingElse(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	_, err := p.Sign("releases", "app:1", "x")
	require.NoError(t, err)
	before := p.Client()
	p.Sleep(10 * day)
	_, err = p.Publish(renews("releases", "revocations", "targets"))
	require.NoError(t, err)

	c := p.Client()
	requireListed(t, p, "app:1", "x")
	for _, role := range []string{"releases", "revocations", "targets"} {
		require.Equal(t, before.Snapshot().Snapshot.Meta[role].Version+1, c.Snapshot().Snapshot.Meta[role].Version, role)
		e, err := c.Edge(t.Context(), role)
		require.NoError(t, err)
		if role == "targets" {
			continue
		}
		f, err := c.Open(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, p.Now().Add(365*day), f.Expires, role)
	}
	top, err := c.Targets(t.Context())
	require.NoError(t, err)
	require.Equal(t, p.Now().Add(365*day), top.Expires)
}

// Signatures that are there make no new file: without the key it fails.
func TestRenewNeedsTheKeys(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	opts := p.Options()
	opts.Keys = p.Keyring("online", "targets")
	_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, renews("releases"))
	require.ErrorIs(t, err, tuf.ErrNoKey)
	require.EqualValues(t, 2, p.Client().Timestamp().Version, "nothing was published")
}

func TestLifetimeIsWhatRootSays(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	s, err := tuf.NewRepository(p.Options()).Load(t.Context())
	require.NoError(t, err)
	for role, want := range map[string]time.Duration{"timestamp": day, "snapshot": 7 * day, "root": 365 * day, "targets": 365 * day, "releases": 365 * day} {
		require.Equal(t, want, s.Lifetime(role), role)
	}
}

func TestHintTellsHowFarLatestIsBehind(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	hint := func() tuf.Hint {
		t.Helper()
		repo := tuf.NewRepository(p.Options())
		s, err := repo.Load(t.Context())
		require.NoError(t, err)
		h, err := repo.Hint(t.Context(), s)
		require.NoError(t, err)
		return h
	}
	require.Equal(t, tuf.Hint{Latest: 2, Newest: 2}, hint())
	fault := reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/latest"), Then: fixtures.Status(403)})
	for _, path := range []string{"app:1", "app:2"} {
		_, err := p.Sign("releases", path, "x")
		require.NoError(t, err)
	}
	require.Equal(t, tuf.Hint{Latest: 2, Newest: 4, Behind: true}, hint())
	fault.Remove()
	// A writer that starts from latest finds the newest in the list, and a
	// refresh is one all the same.
	p.Sleep(time.Hour)
	res, err := p.Publish(renews(metadata.RoleTimestamp))
	require.NoError(t, err)
	require.Equal(t, p.Now().Add(day), res.Expires)
	require.Equal(t, tuf.Hint{Latest: 5, Newest: 5}, hint())
}

func TestHintWhereTagsCannotBeMoved(t *testing.T) {
	p := fixtures.NewPublisher(t, fixtures.Distribution(t, fixtures.WithImmutableTags(409)).Host+"/trust", registrystore.Options{})
	repo := tuf.NewRepository(p.Options())
	s, err := repo.Load(t.Context())
	require.NoError(t, err)
	h, err := repo.Hint(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, tuf.Hint{Newest: 1}, h, "latest names a draft for ever")
}
