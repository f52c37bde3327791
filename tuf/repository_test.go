package tuf_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// publisher is a publisher under test: all its keys in memory, one trust
// repository.
type publisher struct {
	t     testing.TB
	root  []byte
	keys  map[string]*tuf.SoftKey
	trust string
	now   time.Time
	regs  registrystore.Options
}

var epoch = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newPublisher(t testing.TB, trust string, opts registrystore.Options) *publisher {
	t.Helper()
	p := &publisher{t: t, keys: map[string]*tuf.SoftKey{}, trust: trust, now: epoch, regs: opts}
	list := func(name string) []metadata.Key { return []metadata.Key{p.key(name).Key()} }
	spec := tuf.Spec{
		Name: "Wabbit Networks", Root: list("root"), Targets: list("targets"), Withdrawals: list("revocations"),
		Snapshot: list("online"), Timestamp: list("online"),
	}
	root, _, err := tuf.Create(t.Context(), p.options(nil), spec)
	require.NoError(t, err)
	p.root = root
	return p
}

func (p *publisher) key(name string) *tuf.SoftKey {
	if p.keys[name] == nil {
		k, err := tuf.NewSoftKey(rand.Reader, tuf.KeyEd25519)
		require.NoError(p.t, err)
		p.keys[name] = k
	}
	return p.keys[name]
}

// options are those of a writer of its own: nothing is shared but the keys.
func (p *publisher) options(store tuf.Store) tuf.RepositoryOptions {
	regs, err := registrystore.New(p.regs, nil)
	require.NoError(p.t, err)
	trust, err := regs.OpenTrust(p.trust)
	require.NoError(p.t, err)
	if store == nil {
		store = tuf.MemoryStore{}
	}
	var ring tuf.Keys
	for _, k := range p.keys {
		ring = append(ring, k)
	}
	return tuf.RepositoryOptions{
		Root: p.root, Store: store, Journal: trust.Journal(), Sources: []tuf.Source{trust}, Keys: ring,
		Now: func() time.Time { return p.now }, Rand: rand.Reader, Wait: wait,
		Report: func(s string) { p.t.Log(s) },
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *publisher) publish(change func(context.Context, *tuf.Draft) error) (*tuf.Result, error) {
	return tuf.NewRepository(p.options(nil)).Publish(p.t.Context(), nil, change)
}

func (p *publisher) delegate(role string, keys ...string) {
	p.t.Helper()
	for _, name := range keys {
		p.key(name)
	}
	_, err := p.publish(func(ctx context.Context, d *tuf.Draft) error {
		patterns, err := metadata.Patterns("**")
		if err != nil {
			return err
		}
		all := metadata.Keys{}
		var ids []string
		for _, name := range keys {
			k := p.key(name).Key()
			all[k.ID()] = k
			ids = append(ids, k.ID())
		}
		return d.Delegate(ctx, metadata.RoleTargets, metadata.Delegation{
			Name: role, Paths: patterns, RoleKeys: metadata.RoleKeys{KeyIDs: ids, Threshold: 1},
		}, all)
	})
	require.NoError(p.t, err)
}

func artifact(content string) metadata.Target {
	return metadata.Target{Length: int64(len(content)), Hashes: metadata.SHA256(digest.FromString(content).Encoded())}
}

// sign vouches for path in role, as a writer of its own.
func (p *publisher) sign(role, path, content string) (*tuf.Result, error) {
	return p.publish(func(ctx context.Context, d *tuf.Draft) error {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return err
		}
		return d.SetTarget(ctx, e, path, artifact(content))
	})
}

// client verifies as somebody who knows the pinned root and nothing else.
func (p *publisher) client() *tuf.Client {
	p.t.Helper()
	regs, err := registrystore.New(p.regs, nil)
	require.NoError(p.t, err)
	trust, err := regs.OpenTrust(p.trust)
	require.NoError(p.t, err)
	c, err := tuf.NewClient(tuf.Options{Root: p.root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{trust}, Now: p.now})
	require.NoError(p.t, err)
	require.NoError(p.t, c.Refresh(p.t.Context()))
	return c
}

func (p *publisher) requireListed(path, content string) {
	p.t.Helper()
	f, err := p.client().Lookup(p.t.Context(), path)
	require.NoError(p.t, err)
	require.True(p.t, f.Listed, path)
	require.True(p.t, f.Target.Hashes.Equal(artifact(content).Hashes), path)
}

func layout(t testing.TB) string { return "oci:" + filepath.Join(t.TempDir(), "trust") }

func TestPublishOnLayout(t *testing.T) {
	p := newPublisher(t, layout(t), registrystore.Options{})
	p.delegate("releases", "dev")
	res, err := p.sign("releases", "net-monitor:1.0", "one")
	require.NoError(t, err)
	require.True(t, res.Changed)
	require.EqualValues(t, 3, res.Timestamp)
	p.requireListed("net-monitor:1.0", "one")

	res, err = p.sign("releases", "net-monitor:1.0", "one")
	require.NoError(t, err)
	require.False(t, res.Changed, "the same again is no change")
}

func TestConcurrentWritersOnLayout(t *testing.T) {
	p := newPublisher(t, layout(t), registrystore.Options{})
	p.delegate("releases", "dev")
	concurrently(t, p, 16)
}

func concurrently(t *testing.T, p *publisher, n int) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			_, err := p.sign("releases", fmt.Sprintf("app:%d", i), fmt.Sprint(i))
			require.NoError(t, err)
		})
	}
	wg.Wait()
	for i := range n {
		p.requireListed(fmt.Sprintf("app:%d", i), fmt.Sprint(i))
	}
}
