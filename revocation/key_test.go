package revocation_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

func identity(t *testing.T, k metadata.Key) string {
	id, err := tuf.KeyIdentity(k)
	require.NoError(t, err)
	return id
}

// revoke takes key from its roles, as a writer who has the keys of ring.
func revoke(p *fixtures.Publisher, ring tuf.Keys, id string) (impacts []revocation.Impact, err error) {
	opts := p.Options()
	opts.Keys = ring
	_, err = tuf.NewRepository(opts).Publish(context.Background(), nil, func(ctx context.Context, d *tuf.Draft) (err error) {
		if impacts, err = revocation.Impacts(ctx, d, ring, id, ""); err != nil {
			return err
		}
		return revocation.RevokeKey(ctx, d, id, impacts)
	})
	return impacts, err
}

func TestRevokeKeyLeavesTheRoleSigned(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "thief", "dev")
	opts := p.Options()
	opts.Keys = p.Keyring("thief", "online")
	_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		_, err := d.Vouch(ctx, tuf.Vouching{}, artifact("1.0", "a"))
		return err
	})
	require.NoError(t, err)

	impacts, err := revoke(p, p.Keyring("targets", "dev", "online"), identity(t, p.Key("thief").Key()))
	require.NoError(t, err)
	require.Len(t, impacts, 1)
	require.True(t, impacts[0].Alone)
	require.True(t, impacts[0].Signed)
	require.Equal(t, 1, impacts[0].Remaining)
	require.Len(t, impacts[0].Listings, 2)
	f, err := p.Client().Lookup(t.Context(), "net-monitor:1.0")
	require.NoError(t, err)
	require.True(t, f.Listed)

	_, err = revoke(p, p.Keyring(), identity(t, p.Key("thief").Key()))
	require.ErrorIs(t, err, revocation.ErrKeyUnused)
}

func TestRevokeKeyIsRefusedRatherThanBreakingTheRole(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "dev")
	_, err := revoke(p, p.Keyring(), identity(t, p.Key("dev").Key()))
	require.ErrorIs(t, err, revocation.ErrBelowThreshold)

	p.Delegate("tools", "tool", "ann", "bob")
	opts := p.Options()
	opts.Keys = p.Keyring("ann", "online")
	_, err = tuf.NewRepository(opts).Publish(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		a := artifact("1.0", "a")
		a.Name = "tool"
		_, err := d.Vouch(ctx, tuf.Vouching{}, a)
		return err
	})
	require.NoError(t, err)
	_, err = revoke(p, p.Keyring("targets", "online"), identity(t, p.Key("ann").Key()))
	require.ErrorIs(t, err, tuf.ErrNoKey, "bob's key would be needed to sign again")
	var missing *tuf.MissingKeysError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, "tools", missing.Role)

	_, err = revoke(p, p.Keyring(), identity(t, p.Key("online").Key()))
	require.ErrorIs(t, err, revocation.ErrBelowThreshold)
	require.ErrorContains(t, err, "carnet rotate timestamp --add NEW --remove KEY")
}
