package revocation_test

import (
	"context"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

// In the tests below a delegated role is in the hands of somebody who wants
// that withdrawals fail, or that they strike others.

// team adds a role that the publisher's other writers do not trust much.
func team(t *testing.T, p *fixtures.Publisher, edit func(ctx context.Context, d *tuf.Draft) error) {
	t.Helper()
	p.Delegate("team", "team", "team")
	_, err := p.Publish(edit)
	require.NoError(t, err)
}

func entry(role, path string, target metadata.Target) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return err
		}
		return d.SetTarget(ctx, e, path, target)
	}
}

func TestStatementThatCannotBeReadHindersNoWithdrawal(t *testing.T) {
	bad, evil := artifact("1.0", "bad"), digest.FromString("evil")
	p := publisher(t, bad)
	unreadable := metadata.NewTarget(4, evil)
	unreadable.Custom = metadata.Struct(metadata.Member{Name: "carnet", Value: metadata.Struct(metadata.Member{Name: "critical", Value: metadata.List(metadata.Text("from-the-future"))})})
	team(t, p, entry("team", "team:1", unreadable))
	withdraw(t, p, revocation.Withdrawal{Digest: bad.Digest, Reason: "leaks"})
	out := withdraw(t, p, revocation.Withdrawal{Digest: evil, Reason: "evil"})
	require.Equal(t, []string{"team:1"}, out.Paths)
	require.NotNil(t, notice(t, p, bad.Digest))
	require.NotNil(t, notice(t, p, evil))
}

func TestRoleThatCannotBeOpenedHindersNoWithdrawal(t *testing.T) {
	for name, delegates := range map[string]string{"a role that is nowhere": "ghost", "somebody else's role with other keys": "deep"} {
		t.Run(name, func(t *testing.T) {
			bad := artifact("1.0", "bad")
			p := fixtures.NewLayoutPublisher(t)
			key := p.Key("team").Key()
			rk := metadata.RoleKeys{KeyIDs: []string{key.ID()}, Threshold: 1}
			team(t, p, func(ctx context.Context, d *tuf.Draft) error {
				f, err := d.Edit(ctx, "team")
				if err != nil {
					return err
				}
				f.Delegations = &metadata.Delegations{
					Keys:  metadata.Keys{key.ID(): key},
					Roles: []metadata.Delegation{{Name: delegates, Paths: []string{"team:*"}, RoleKeys: rk}},
				}
				return nil
			})
			p.Delegate("releases", "net-monitor", "dev")
			_, err := p.Vouch(tuf.Vouching{}, bad)
			require.NoError(t, err)
			dev := p.Key("dev").Key()
			_, err = p.Publish(func(ctx context.Context, d *tuf.Draft) error {
				if _, err := d.Edge(ctx, "deep"); err == nil {
					return nil // the team's delegation hides the name: no role can have it
				}
				return d.Delegate(ctx, "releases", metadata.Delegation{
					Name: "deep", Paths: []string{"net-monitor:*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{dev.ID()}, Threshold: 1},
				}, metadata.Keys{dev.ID(): dev})
			})
			require.NoError(t, err)
			out := withdraw(t, p, revocation.Withdrawal{Digest: bad.Digest, Reason: "leaks"})
			require.Len(t, out.Paths, 2)
			require.NotNil(t, notice(t, p, bad.Digest))
		})
	}
}

// An index takes no manifest along that stands for itself, whoever says that
// it came through the index.
func TestIndexTakesNobodyElsesManifestAlong(t *testing.T) {
	good := artifact("1.0", "good")
	p := publisher(t, good)
	index := digest.FromString("an index of the team")
	team(t, p, func(ctx context.Context, d *tuf.Draft) error {
		claim := metadata.NewTarget(4, good.Digest).WithStatement(metadata.Statement{Index: index})
		if err := entry("team", metadata.DigestPath("team", good.Digest), claim)(ctx, d); err != nil {
			return err
		}
		return entry("team", "team:1", metadata.NewTarget(4, index))(ctx, d)
	})
	out := withdraw(t, p, revocation.Withdrawal{Digest: index, Reason: "bad build"})
	require.Equal(t, []digest.Digest{index}, out.Digests)
	require.Nil(t, notice(t, p, good.Digest))
}

func TestLiftOfAnIndexLeavesAWithdrawalOfItsManifest(t *testing.T) {
	for name, first := range map[string]bool{"withdrawn before the index": true, "withdrawn after it": false} {
		t.Run(name, func(t *testing.T) {
			child, index := artifact("", "child"), artifact("1.0", "index")
			index.Manifests = []tuf.Artifact{child}
			p := publisher(t, index)
			steps := []revocation.Withdrawal{{Digest: child.Digest, Reason: "leaks"}, {Digest: index.Digest, Reason: "bad build"}}
			if !first {
				steps[0], steps[1] = steps[1], steps[0]
			}
			for _, w := range steps {
				withdraw(t, p, w)
			}
			require.Equal(t, "leaks", notice(t, p, child.Digest).Reason)
			out, err := lift(p, index.Digest)
			require.NoError(t, err)
			require.Equal(t, []digest.Digest{index.Digest}, out.Digests)
			require.NotNil(t, notice(t, p, child.Digest), "what was withdrawn for itself passes again")
		})
	}
}

// A publisher that another tool made may list files in targets itself.
func TestWithdrawalFindsWhatTargetsListsItself(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	bad := digest.FromString("bad")
	_, err := p.Publish(entry("targets", "net-monitor:1", metadata.NewTarget(3, bad)))
	require.NoError(t, err)
	require.Equal(t, []string{"net-monitor:1"}, withdraw(t, p, revocation.Withdrawal{Digest: bad, Reason: "bad"}).Paths)
}

// A thief hides behind a role that nobody can open: the key goes all the same.
func TestKeyOfAHostileRoleIsRevoked(t *testing.T) {
	p := publisher(t, artifact("1.0", "a"))
	p.Key("other")
	p.Delegate("late", "late", "team", "other")
	team(t, p, func(ctx context.Context, d *tuf.Draft) error {
		f, err := d.Edit(ctx, "team")
		if err != nil {
			return err
		}
		key := p.Key("ghost").Key()
		f.Delegations = &metadata.Delegations{Keys: metadata.Keys{key.ID(): key}, Roles: []metadata.Delegation{
			{Name: "ghost", Paths: []string{"team:*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{key.ID()}, Threshold: 1}},
			{Name: "odd", Purpose: metadata.PurposeWithdrawal, Paths: []string{"*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{key.ID()}, Threshold: 1}},
		}}
		return nil
	})
	identity, err := tuf.KeyIdentity(p.Key("team").Key())
	require.NoError(t, err)
	_, err = p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		impacts, err := revocation.Impacts(ctx, d, p.Keyring(), identity, "late")
		if err != nil {
			return err
		}
		return revocation.RevokeKey(ctx, d, identity, impacts)
	})
	require.NoError(t, err)
}

// An index and its manifest are withdrawn together: lifting the index's
// withdrawal lifts both. Who lies about indexes gets nothing spared.
func TestIndexAndItsManifestAreWithdrawnTogether(t *testing.T) {
	all := func(p *fixtures.Publisher, digests ...digest.Digest) {
		t.Helper()
		var list []revocation.Withdrawal
		for _, d := range digests {
			list = append(list, revocation.Withdrawal{Digest: d, Reason: "stolen key"})
		}
		_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
			_, err := revocation.WithdrawAll(ctx, d, list)
			return err
		})
		require.NoError(t, err)
		for _, d := range digests {
			require.NotNil(t, notice(t, p, d))
		}
	}
	child, index, other := artifact("", "child"), artifact("1.0", "index"), artifact("2.0", "other")
	index.Manifests = []tuf.Artifact{child}
	p := publisher(t, index, other)
	all(p, child.Digest, index.Digest, other.Digest)
	_, err := lift(p, index.Digest)
	require.NoError(t, err)
	require.Nil(t, notice(t, p, child.Digest))
	require.NotNil(t, notice(t, p, other.Digest))

	a, b := digest.FromString("a"), digest.FromString("b")
	team(t, p, func(ctx context.Context, d *tuf.Draft) error {
		if err := entry("team", "team:a", metadata.NewTarget(1, a).WithStatement(metadata.Statement{Index: b}))(ctx, d); err != nil {
			return err
		}
		return entry("team", "team:b", metadata.NewTarget(1, b).WithStatement(metadata.Statement{Index: a}))(ctx, d)
	})
	all(p, a, b)
}
