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

func artifact(tag, content string) tuf.Artifact {
	return tuf.Artifact{Name: "net-monitor", Tag: tag, Digest: digest.FromString(content), Size: int64(len(content))}
}

func publisher(t *testing.T, artifacts ...tuf.Artifact) *fixtures.Publisher {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "dev")
	_, err := p.Vouch(tuf.Vouching{}, artifacts...)
	require.NoError(t, err)
	return p
}

func withdraw(t *testing.T, p *fixtures.Publisher, w revocation.Withdrawal) (out *revocation.Outcome) {
	t.Helper()
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) (err error) {
		out, err = revocation.Withdraw(ctx, d, w)
		return err
	})
	require.NoError(t, err)
	return out
}

func lift(p *fixtures.Publisher, d digest.Digest) (out *revocation.Outcome, err error) {
	_, err = p.Publish(func(ctx context.Context, draft *tuf.Draft) (err error) {
		out, err = revocation.Lift(ctx, draft, d)
		return err
	})
	return out, err
}

func notice(t *testing.T, p *fixtures.Publisher, d digest.Digest) *metadata.Notice {
	t.Helper()
	n, err := p.Client().Withdrawn(t.Context(), d)
	require.NoError(t, err)
	return n
}

func TestWithdrawalBindsEveryPath(t *testing.T) {
	bad, good := artifact("1.0", "bad"), artifact("1.1", "good")
	again := artifact("stable", "bad")
	p := publisher(t, bad, good, again)
	out := withdraw(t, p, revocation.Withdrawal{Digest: bad.Digest, Reason: "leaks", Advisory: "CVE-2026-1", ReplacedBy: "net-monitor:1.1", By: "ann"})
	require.Equal(t, []string{"net-monitor:1.0", "net-monitor:stable", "net-monitor@" + bad.Digest.String()}, out.Paths)

	n := notice(t, p, bad.Digest)
	require.NotNil(t, n)
	require.Equal(t, "leaks", n.Reason)
	require.Equal(t, "CVE-2026-1", n.Advisory)
	require.Equal(t, "net-monitor:1.1", n.ReplacedBy)
	require.Equal(t, fixtures.Epoch, n.At)
	require.Nil(t, notice(t, p, good.Digest), "every other artifact stays")

	f, err := p.Client().Lookup(t.Context(), "net-monitor:stable")
	require.NoError(t, err)
	require.True(t, f.Denied, "other clients refuse the path")
}

func TestLiftTakesAllOfAWithdrawalBack(t *testing.T) {
	bad := artifact("1.0", "bad")
	p := publisher(t, bad)
	withdraw(t, p, revocation.Withdrawal{Digest: bad.Digest, Reason: "oops"})
	_, err := lift(p, bad.Digest)
	require.NoError(t, err)
	require.Nil(t, notice(t, p, bad.Digest))
	f, err := p.Client().Lookup(t.Context(), "net-monitor:1.0")
	require.NoError(t, err)
	require.True(t, f.Listed)
	require.False(t, f.Denied)

	_, err = lift(p, bad.Digest)
	require.ErrorIs(t, err, revocation.ErrNotWithdrawn)
}

func TestIndexTakesItsUnsharedChildrenAlong(t *testing.T) {
	own, shared := artifact("", "amd64"), artifact("", "shared")
	one, two := artifact("1.0", "index one"), artifact("2.0", "index two")
	one.Manifests = []tuf.Artifact{own, shared}
	two.Manifests = []tuf.Artifact{shared}
	p := publisher(t, one, two)
	out := withdraw(t, p, revocation.Withdrawal{Digest: one.Digest, Reason: "bad build"})
	require.ElementsMatch(t, []digest.Digest{one.Digest, own.Digest}, out.Digests)
	require.NotNil(t, notice(t, p, own.Digest))
	require.Nil(t, notice(t, p, shared.Digest), "another index needs it")

	out, err := lift(p, one.Digest)
	require.NoError(t, err)
	require.ElementsMatch(t, []digest.Digest{one.Digest, own.Digest}, out.Digests)
	require.Nil(t, notice(t, p, own.Digest))
}

func TestSignRefusesWhatIsWithdrawn(t *testing.T) {
	bad, child := artifact("1.0", "bad"), artifact("", "child")
	p := publisher(t, bad)
	withdraw(t, p, revocation.Withdrawal{Digest: bad.Digest, Reason: "bad"})
	_, err := p.Vouch(tuf.Vouching{}, artifact("2.0", "bad"))
	require.ErrorIs(t, err, tuf.ErrWithdrawn)

	withdraw(t, p, revocation.Withdrawal{Digest: child.Digest, Reason: "bad child"})
	index := artifact("3.0", "an index")
	index.Manifests = []tuf.Artifact{child}
	_, err = p.Vouch(tuf.Vouching{}, index)
	require.ErrorIs(t, err, tuf.ErrWithdrawn)
}

func TestWithdrawingAgainBringsThePathsUpToDate(t *testing.T) {
	bad := artifact("latest", "bad")
	p := publisher(t, bad)
	withdraw(t, p, revocation.Withdrawal{Digest: bad.Digest, Reason: "bad"})
	good := artifact("latest", "good")
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		if _, err := d.Vouch(ctx, tuf.Vouching{}, good); err != nil {
			return err
		}
		denied, err := d.DeniedPaths(ctx, good)
		require.Equal(t, []string{"net-monitor:latest"}, denied)
		return err
	})
	require.NoError(t, err)
	withdraw(t, p, revocation.Withdrawal{Digest: bad.Digest, Reason: "really bad"})
	f, err := p.Client().Lookup(t.Context(), "net-monitor:latest")
	require.NoError(t, err)
	require.False(t, f.Denied)
	require.Equal(t, "really bad", notice(t, p, bad.Digest).Reason)
}

func TestWithdrawalIsRefused(t *testing.T) {
	p := publisher(t, artifact("1.0", "a"))
	for name, w := range map[string]revocation.Withdrawal{
		"no reason": {Digest: digest.FromString("a")},
		"no digest": {Reason: "r"},
		"sha512":    {Reason: "r", Digest: digest.SHA512.FromString("a")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
				_, err := revocation.Withdraw(ctx, d, w)
				return err
			})
			require.Error(t, err)
		})
	}
}
