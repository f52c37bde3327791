package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// testCommand is a command in a home of its own whose clock is the publisher's.
func testCommand(t *testing.T, p *fixtures.Publisher) *command {
	c := newCommand(strings.NewReader(""), io.Discard, io.Discard)
	c.flags.config, c.flags.cache, c.now = t.TempDir(), t.TempDir(), p.Now
	pins, err := c.pins()
	require.NoError(t, err)
	require.NoError(t, pins.Add(verify.Pin{Name: "wabbit", Root: p.Root, Repositories: []string{p.Trust}}))
	return c
}

func TestPublisherPublishesWithStoredKeys(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	c := testCommand(t, p)
	keys, err := c.keys()
	require.NoError(t, err)
	for _, name := range []string{"targets", "online"} {
		_, err := keys.Add(name, p.Key(name), nil)
		require.NoError(t, err)
	}
	k, err := c.publicKey(t.Context(), "targets")
	require.NoError(t, err)

	pub, err := c.openPublisher(p.Trust)
	require.NoError(t, err)
	assert.Equal(t, "wabbit", pub.pin.Name)
	res, err := pub.publish(t.Context(), nil, func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil })
	require.NoError(t, err)
	assert.EqualValues(t, 2, res.Timestamp)
	assert.Equal(t, p.Key("targets").Key().ID(), k.ID())

	// What was published is remembered: an older state is a rollback from now on.
	states, err := c.states()
	require.NoError(t, err)
	state, err := states.Load(p.Root, nil)
	require.NoError(t, err)
	raw, err := state.Get(metadata.RoleTimestamp)
	require.NoError(t, err)
	f, err := metadata.Decode(metadata.RoleTimestamp, raw)
	require.NoError(t, err)
	assert.EqualValues(t, 2, f.Version)
}

func TestPublisherMustBePinned(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	c := testCommand(t, p)
	for trust, want := range map[string]string{
		"oci:elsewhere":          "no pinned publisher has its metadata in oci:elsewhere",
		"registry.example/trust": "no pinned publisher",
		"trust":                  "no registry is assumed",
		p.Trust + "/../other":    "no pinned publisher",
	} {
		_, err := c.openPublisher(trust)
		assert.ErrorContains(t, err, want)
		c.started = true
		assert.Equal(t, exitUsage, c.exitCode(err), trust)
	}

	_, err := c.openPublisher("")
	require.NoError(t, err, "the only one that is pinned")
	t.Setenv("CARNET_TRUST", "oci:elsewhere")
	_, err = c.openPublisher("")
	require.ErrorContains(t, err, "elsewhere")

	// The same layout by another path.
	link := filepath.Join(t.TempDir(), "trust")
	require.NoError(t, os.Symlink(strings.TrimPrefix(p.Trust, "oci:"), link))
	_, err = c.openPublisher("oci:" + link)
	require.NoError(t, err)
}

func TestPublicKeyOfAFile(t *testing.T) {
	c := testCommand(t, fixtures.NewLayoutPublisher(t))
	k := fixtures.ECDSAKey(t, "alice").Key()
	path := filepath.Join(t.TempDir(), "alice.json")
	require.NoError(t, os.WriteFile(path, k.JSON(), 0o600))
	got, err := c.publicKey(t.Context(), "file:"+path)
	require.NoError(t, err)
	assert.Equal(t, k.ID(), got.ID())
	_, err = c.publicKey(t.Context(), "alice")
	assert.ErrorIs(t, err, tuf.ErrUnknownName)
	_, err = c.publicKey(t.Context(), "file:./missing.pub")
	assert.ErrorIs(t, err, tuf.ErrNoKey)
	assert.ErrorContains(t, err, "no such file")
}
