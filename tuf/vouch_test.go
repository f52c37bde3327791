package tuf_test

import (
	"context"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func artifact(name, tag, content string) tuf.Artifact {
	return tuf.Artifact{Name: name, Tag: tag, Digest: digest.FromString(content), Size: int64(len(content)), MediaType: "application/vnd.oci.image.manifest.v1+json"}
}

// vouchAs vouches with the keys of these names at hand.
func vouchAs(t *testing.T, p *fixtures.Publisher, v tuf.Vouching, a tuf.Artifact, keys ...string) (role string, err error) {
	opts := p.Options()
	opts.Keys = p.Keyring(keys...)
	_, err = tuf.NewRepository(opts).Publish(t.Context(), a.Paths(), func(ctx context.Context, d *tuf.Draft) (err error) {
		role, err = d.Vouch(ctx, v, a)
		return err
	})
	return role, err
}

func TestVouchWritesTagDigestAndChildren(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "networking/**", "dev")
	a := artifact("networking/net-monitor", "1.0", "index")
	a.ArtifactType = "application/vnd.example"
	a.Manifests = []tuf.Artifact{artifact("", "", "amd64"), artifact("", "", "arm64")}
	_, err := vouchAs(t, p, tuf.Vouching{Claims: map[string]string{"stage": "prod"}}, a)
	require.NoError(t, err)

	c := p.Client()
	for _, path := range []string{"networking/net-monitor:1.0", "networking/net-monitor@" + a.Digest.String()} {
		f, err := c.Lookup(t.Context(), path)
		require.NoError(t, err)
		require.True(t, f.Listed, path)
		require.Equal(t, []string{"root", "targets", "releases"}, f.Chain)
		require.Equal(t, a.Digest, f.Target.Hashes.Digest())
		require.EqualValues(t, a.Size, f.Target.Length)
		s, err := f.Target.Statement()
		require.NoError(t, err)
		require.Equal(t, map[string]string{"stage": "prod"}, s.Claims)
		require.Equal(t, a.ArtifactType, s.ArtifactType)
		require.Equal(t, fixtures.Epoch, s.Signed)
	}
	f, err := c.Lookup(t.Context(), "networking/net-monitor@"+a.Manifests[0].Digest.String())
	require.NoError(t, err)
	s, err := f.Target.Statement()
	require.NoError(t, err)
	require.Equal(t, a.Digest, s.Index)
}

func TestVouchChoosesTheRole(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "rel")
	p.Delegate("nightly", "net-monitor", "night")
	p.Delegate("tools", "tool", "tool")
	a := artifact("net-monitor", "1.0", "a")

	role, err := vouchAs(t, p, tuf.Vouching{}, a, "night", "online")
	require.NoError(t, err)
	require.Equal(t, "nightly", role, "the only candidate whose key is at hand")

	_, err = vouchAs(t, p, tuf.Vouching{}, a, "rel", "night", "online")
	require.ErrorIs(t, err, tuf.ErrAmbiguousRole)
	require.ErrorContains(t, err, "releases, nightly")

	_, err = vouchAs(t, p, tuf.Vouching{}, a, "tool", "online")
	require.ErrorIs(t, err, tuf.ErrNoKey)

	_, err = vouchAs(t, p, tuf.Vouching{Role: "tools"}, a)
	require.ErrorIs(t, err, tuf.ErrOutside)
	_, err = vouchAs(t, p, tuf.Vouching{Role: "nobody"}, a)
	require.ErrorIs(t, err, tuf.ErrUnknownRole)
	_, err = vouchAs(t, p, tuf.Vouching{}, artifact("other", "1.0", "a"))
	require.ErrorIs(t, err, tuf.ErrOutside)
	_, err = vouchAs(t, p, tuf.Vouching{}, artifact("UPPER", "1.0", "a"))
	require.ErrorIs(t, err, metadata.ErrPath)
}

func TestVouchRefusesAnEntryThatNobodyWouldFind(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "rel")
	p.Delegate("nightly", "net-monitor", "night")
	_, err := vouchAs(t, p, tuf.Vouching{Role: "releases"}, artifact("net-monitor", "1.0", "a"))
	require.NoError(t, err)
	_, err = vouchAs(t, p, tuf.Vouching{Role: "nightly"}, artifact("net-monitor", "1.0", "b"))
	require.ErrorIs(t, err, tuf.ErrShadowed)
	_, err = vouchAs(t, p, tuf.Vouching{Role: "nightly"}, artifact("net-monitor", "1.0", "a"))
	require.NoError(t, err, "a second opinion that agrees is welcome")
}

func TestVouchingAgainIsNoChange(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "rel")
	a := artifact("net-monitor", "1.0", "a")
	_, err := p.Vouch(tuf.Vouching{}, a)
	require.NoError(t, err)
	p.Sleep(1)
	res, err := p.Vouch(tuf.Vouching{}, a)
	require.NoError(t, err)
	require.False(t, res.Changed)
	res, err = p.Vouch(tuf.Vouching{Claims: map[string]string{"stage": "prod"}}, a)
	require.NoError(t, err)
	require.True(t, res.Changed, "new claims are a change")
}
