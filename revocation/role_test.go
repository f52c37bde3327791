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

// words are the effects by path, as "before -> after".
func words(effects []revocation.Effect) map[string]string {
	out := map[string]string{}
	for _, e := range effects {
		out[e.Path] = e.Before.String() + " -> " + e.After.String()
	}
	return out
}

// What a role that gives itself up means, for what it lists and for what the
// roles below it list.
func TestGiveUpSaysWhatStopsPassing(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "dev")
	p.Delegate("nightly", "net-monitor", "nightly")
	sign := func(role, path, content string) {
		t.Helper()
		_, err := p.Sign(role, path, content)
		require.NoError(t, err)
	}
	sign("releases", "net-monitor:1", "one")
	sign("releases", "net-monitor:2", "two")
	sign("releases", "net-monitor:3", "three")
	sign("nightly", "net-monitor:2", "two")
	sign("nightly", "net-monitor:3", "another")
	k := p.Key("deep").Key()
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		return d.Delegate(ctx, "releases", metadata.Delegation{
			Name: "deep", Paths: []string{"net-monitor:*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1},
		}, metadata.Keys{k.ID(): k})
	})
	require.NoError(t, err)
	sign("deep", "net-monitor:4", "four")
	withdraw(t, p, revocation.Withdrawal{Digest: fixtures.Target("one").Hashes.Digest(), Reason: "bad"})

	var effects []revocation.Effect
	_, err = p.Publish(func(ctx context.Context, d *tuf.Draft) (err error) {
		effects, err = revocation.GiveUp(ctx, d, "releases")
		return err
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"net-monitor:1": "revoked -> revoked",
		"net-monitor:2": "ok by releases -> ok by nightly",
		"net-monitor:3": "ok by releases -> digest-mismatch by nightly",
		"net-monitor:4": "ok by deep -> not-listed",
	}, words(effects))
	for path, listed := range map[string]bool{"net-monitor:2": true, "net-monitor:3": true, "net-monitor:4": false} {
		f, err := p.Client().Lookup(t.Context(), path)
		require.NoError(t, err)
		require.Equal(t, listed, f.Listed, path)
	}
}

// A role whose file nobody accepts any more can be given up too.
func TestGiveUpOfARoleThatVerifiersRefuse(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "dev")
	k := p.Key("ghost").Key()
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		f, err := d.Edit(ctx, "releases")
		if err != nil {
			return err
		}
		f.Delegations = &metadata.Delegations{Keys: metadata.Keys{k.ID(): k}, Roles: []metadata.Delegation{
			{Name: "ghost", Paths: []string{"net-monitor:*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1}},
		}}
		return nil
	})
	require.NoError(t, err)
	_, err = p.Client().Lookup(t.Context(), "net-monitor:1")
	require.Error(t, err)
	_, err = p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		_, err := revocation.GiveUp(ctx, d, "ghost")
		return err
	})
	require.NoError(t, err)
	f, err := p.Client().Lookup(t.Context(), "net-monitor:1")
	require.NoError(t, err)
	require.False(t, f.Listed)
}

// Where roles must agree, one that gives itself up takes its word along.
func TestGiveUpOfARoleWhoseAgreementIsDemanded(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("dev", "net-monitor", "dev")
	p.Delegate("security", "net-monitor", "sec")
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		return d.SetAgreement(ctx, "security", &metadata.Agreement{Roles: []string{"dev", "security"}, Min: 2})
	})
	require.NoError(t, err)
	for path, roles := range map[string][]string{"net-monitor:1": {"dev", "security"}, "net-monitor:2": {"dev"}} {
		for _, role := range roles {
			_, err := p.Sign(role, path, path)
			require.NoError(t, err)
		}
	}
	var effects []revocation.Effect
	_, err = p.Publish(func(ctx context.Context, d *tuf.Draft) (err error) {
		effects, err = revocation.GiveUp(ctx, d, "dev")
		return err
	})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"net-monitor:1": "ok by dev -> disagreement",
		"net-monitor:2": "disagreement -> not-listed",
	}, words(effects))
}
