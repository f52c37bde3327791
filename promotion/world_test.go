package promotion_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// end is a trust repository at one end of a copy.
type end struct {
	reg  *fixtures.Registry // nil for a layout
	name string
	opts registrystore.Options
}

func onRegistry(reg *fixtures.Registry) end {
	return end{reg: reg, name: reg.Host + "/trust", opts: reg.Options()}
}

func onLayout(t *testing.T) end {
	return end{name: "oci:" + filepath.Join(t.TempDir(), "trust")}
}

func (e end) trust(t testing.TB, cache *registrystore.Cache) *registrystore.Trust {
	t.Helper()
	regs, err := registrystore.New(e.opts, cache)
	require.NoError(t, err)
	trust, err := regs.OpenTrust(e.name)
	require.NoError(t, err)
	return trust
}

// pair is a publisher at one place, and a mirror of it at another, on one
// machine: what it saw and cached lasts.
type pair struct {
	from, to  end
	publisher *fixtures.Publisher
	store     tuf.MemoryStore
	cache     *registrystore.Cache
	notes     []string
	history   int
	repair    bool
}

func newPair(t *testing.T, from, to end) *pair {
	p := &pair{from: from, to: to, store: tuf.MemoryStore{}, cache: registrystore.OpenCache(t.TempDir())}
	p.publisher = fixtures.NewPublisher(t, from.name, from.opts)
	p.publisher.Delegate("releases", "net-monitor", "releases")
	return p
}

func (p *pair) sync(t *testing.T) (*promotion.Synced, error) {
	t.Helper()
	return p.syncWithin(t.Context(), t)
}

func (p *pair) syncWithin(ctx context.Context, t *testing.T) (*promotion.Synced, error) {
	m := promotion.Mirror{
		Root: p.publisher.Root, Store: p.store, From: p.from.trust(t, p.cache), To: p.to.trust(t, p.cache), Now: p.publisher.Now,
		History: p.history, Repair: p.repair, Report: func(s string) { p.notes = append(p.notes, s) },
	}
	return m.Sync(ctx)
}

func (p *pair) synced(t *testing.T) *promotion.Synced {
	t.Helper()
	out, err := p.sync(t)
	require.NoError(t, err)
	return out
}

// sign lets the publisher vouch for something new.
func (p *pair) sign(t *testing.T, tag string) *tuf.Result {
	t.Helper()
	res, err := p.publisher.Sign("releases", "net-monitor:"+tag, tag)
	require.NoError(t, err)
	return res
}

// reader verifies what a place has, as somebody who knows the pinned root only.
func (p *pair) reader(t *testing.T, at end) *tuf.Client {
	t.Helper()
	c, err := tuf.NewClient(tuf.Options{Root: p.publisher.Root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{at.trust(t, nil)}, Now: p.publisher.Now()})
	require.NoError(t, err)
	require.NoError(t, c.Refresh(t.Context()))
	return c
}

// has reports whether a reader of the place finds a signature.
func (p *pair) has(t *testing.T, at end, tag string) bool {
	t.Helper()
	f, err := p.reader(t, at).Lookup(t.Context(), "net-monitor:"+tag)
	require.NoError(t, err)
	return f.Listed
}
