package promotion_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

// everyWay runs a test between every two kinds of places.
func everyWay(t *testing.T, f func(*testing.T, *pair)) {
	kinds := map[string]func(*testing.T) end{
		"distribution": func(t *testing.T) end { return onRegistry(fixtures.Distribution(t)) },
		"1.1":          func(t *testing.T) end { return onRegistry(fixtures.Registry11(t)) },
		"layout":       onLayout,
	}
	for from, a := range kinds {
		for to, b := range kinds {
			t.Run(from+" to "+to, func(t *testing.T) { f(t, newPair(t, a(t), b(t))) })
		}
	}
}

func TestSyncBringsSignaturesAndWithdrawals(t *testing.T) {
	everyWay(t, func(t *testing.T, p *pair) {
		p.sign(t, "1.0")
		first := p.synced(t)
		assert.True(t, first.Changed)
		assert.True(t, p.has(t, p.to, "1.0"))
		_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error {
			_, err := revocation.Withdraw(ctx, d, revocation.Withdrawal{Digest: digest.FromString("1.0"), Reason: "leak", By: "wabbit"})
			return err
		})
		require.NoError(t, err)
		assert.True(t, p.synced(t).Changed)
		notice, err := p.reader(t, p.to).Withdrawn(t.Context(), digest.FromString("1.0"))
		require.NoError(t, err)
		assert.Equal(t, "leak", notice.Reason)
		again := p.synced(t)
		assert.False(t, again.Changed)
		assert.Zero(t, again.Files)
	})
}

// The mirror has the very manifests of the origin: digests and tags are equal.
func TestSyncKeepsManifestsByteForByte(t *testing.T) {
	p := newPair(t, onRegistry(fixtures.Distribution(t)), onLayout(t))
	p.sign(t, "1.0")
	p.synced(t)
	a, b := p.from.trust(t, nil), p.to.trust(t, nil)
	require.NoError(t, a.Open(t.Context()))
	require.NoError(t, b.Open(t.Context()))
	assert.Equal(t, a.Manifest(), b.Manifest())
	entries, err := b.List(t.Context())
	require.NoError(t, err)
	require.Len(t, entries, 1, "the newest state alone, and no draft")
	l, err := b.At(t.Context(), entries[0])
	require.NoError(t, err)
	assert.Equal(t, a.Manifest(), l.Manifest())
}

func TestSyncTakesAllRoots(t *testing.T) {
	p := newPair(t, onLayout(t), onLayout(t))
	for range tuf.MaxRootFiles + 3 {
		_, err := p.publisher.Publish(func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleRoot) })
		require.NoError(t, err)
	}
	out := p.synced(t)
	assert.EqualValues(t, tuf.MaxRootFiles+4, out.Root)
	assert.Equal(t, out.Root, p.reader(t, p.to).Root().Version, "from the first root to the last")
}

func TestSyncTakesHistory(t *testing.T) {
	p := newPair(t, onRegistry(fixtures.Registry11(t)), onRegistry(fixtures.Distribution(t)))
	for _, tag := range []string{"1", "2", "3", "4"} {
		p.sign(t, tag)
	}
	p.history = 2
	assert.Equal(t, 2, p.synced(t).History)
	entries, err := p.to.trust(t, nil).List(t.Context())
	require.NoError(t, err)
	assert.Len(t, entries, 3)
	assert.True(t, p.has(t, p.to, "4"))
	p.history = 3
	assert.Equal(t, 1, p.synced(t).History, "only what is missing")
}

// An expired publisher is mirrored: its readers see that themselves.
func TestSyncTakesWhatIsExpired(t *testing.T) {
	p := newPair(t, onLayout(t), onLayout(t))
	p.publisher.Sleep(48 * time.Hour)
	out := p.synced(t)
	assert.True(t, out.Expires.Before(p.publisher.Now()))
}

func TestSyncNeverGoesBack(t *testing.T) {
	p := newPair(t, onLayout(t), onLayout(t))
	p.synced(t)
	old := snapshotOf(t, p.from)
	p.sign(t, "1.0")
	p.synced(t)
	restore(t, p.from, old)
	_, err := p.sync(t)
	require.ErrorIs(t, err, tuf.ErrRollback, "this machine has seen a newer one")
	assertSide(t, promotion.Source, err)
	p.store = tuf.MemoryStore{} // another machine, which saw nothing
	out := p.synced(t)
	assert.True(t, out.Behind)
	assert.False(t, out.Changed)
	assert.True(t, p.has(t, p.to, "1.0"))
}

// snapshotOf copies a layout's index, which names what it holds.
func snapshotOf(t *testing.T, at end) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(strings.TrimPrefix(at.name, "oci:"), "index.json"))
	require.NoError(t, err)
	return raw
}

func restore(t *testing.T, at end, index []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(strings.TrimPrefix(at.name, "oci:"), "index.json"), index, 0o644))
}

func assertSide(t *testing.T, want promotion.Side, err error) {
	t.Helper()
	var side *promotion.SideError
	require.ErrorAs(t, err, &side)
	assert.Equal(t, want, side.Side)
}

// Whoever can push to a trust repository only, and not sign, cannot make a
// mirror take anything else.
func TestSyncRefusesAMaliciousSource(t *testing.T) {
	reg := fixtures.Registry11(t)
	p := newPair(t, onRegistry(reg), onLayout(t))
	p.sign(t, "1.0")
	p.synced(t)
	p.sign(t, "2.0")
	p.cache = nil
	thief := fixtures.NewPublisher(t, reg.Host+"/thief", reg.Options())
	foreign := thief.Source()
	require.NoError(t, foreign.Open(t.Context()))
	own := p.from.trust(t, nil)
	require.NoError(t, own.Open(t.Context()))
	manifest := string(own.Manifest())
	latest := fixtures.Get("/trust/manifests/")
	role := own.Publication().Roles[0]
	for name, f := range map[string]fixtures.Fault{
		"another publisher's":   {On: latest, Then: fixtures.Serve(foreign.Manifest())},
		"no manifest":           {On: latest, Then: fixtures.Serve([]byte("{}"))},
		"oversized":             {On: latest, Then: fixtures.Serve(make([]byte, 5<<20))},
		"truncated":             {On: latest, Then: fixtures.Truncate(100)},
		"a role left out":       {On: latest, Then: fixtures.Serve([]byte(strings.Replace(manifest, `"mediaType":"application/vnd.tuf.metadata+json","digest":"`+role.Digest.String(), `"mediaType":"application/vnd.tuf.metadata+json","digest":"`+p.rootDigest(), 1)))},
		"a changed blob":        {On: fixtures.Get("/trust/blobs/"), Then: fixtures.FlipByte(10)},
		"a blob that is gone":   {On: fixtures.Get("/trust/blobs/"), Then: fixtures.Status(http.StatusNotFound)},
		"a blob without an end": {On: fixtures.Get("/trust/blobs/"), Then: fixtures.Serve(make([]byte, 5<<20))},
	} {
		t.Run(name, func(t *testing.T) {
			fault := reg.Inject(f)
			defer fault.Remove()
			before := snapshotOf(t, p.to)
			_, err := p.sync(t)
			require.Error(t, err)
			assert.Positive(t, fault.Hits())
			assertSide(t, promotion.Source, err)
			assert.Equal(t, before, snapshotOf(t, p.to))
		})
	}
	p.synced(t)
	assert.True(t, p.has(t, p.to, "2.0"))
}

func (p *pair) rootDigest() string { return digest.FromBytes(p.publisher.Root).String() }

// A forged latest is passed by as every reader does.
func TestSyncGoesOnFromAForgedLatest(t *testing.T) {
	reg := fixtures.Registry11(t)
	p := newPair(t, onRegistry(reg), onLayout(t))
	p.sign(t, "1.0")
	thief := fixtures.NewPublisher(t, reg.Host+"/thief", reg.Options())
	foreign := thief.Source()
	require.NoError(t, foreign.Open(t.Context()))
	reg.Repository(t, "trust").PushManifest(t, metadata.TagLatest, "application/vnd.oci.image.manifest.v1+json", foreign.Manifest())
	p.synced(t)
	assert.True(t, p.has(t, p.to, "1.0"))
}

// What is at the destination and is not this publisher's is never overwritten.
func TestSyncLeavesForeignContentAlone(t *testing.T) {
	reg := fixtures.Distribution(t)
	image := reg.Repository(t, "trust").PushImage(t, metadata.TagLatest, "somebody's image")
	p := newPair(t, onLayout(t), onRegistry(reg))
	_, err := p.sync(t)
	require.Error(t, err)
	assertSide(t, promotion.Destination, err)
	now, err := reg.Repository(t, "trust").Target.Resolve(t.Context(), metadata.TagLatest)
	require.NoError(t, err)
	assert.Equal(t, image.Digest, now.Digest)
}

// Nor is it if somebody else signed it well.
func TestSyncLeavesAnotherPublishersStateAlone(t *testing.T) {
	for name, to := range map[string]end{"registry": onRegistry(fixtures.Distribution(t)), "layout": onLayout(t)} {
		t.Run(name, func(t *testing.T) {
			other := newPair(t, to, onLayout(t))
			theirs := other.published(t).Identity()
			p := newPair(t, onLayout(t), to)
			_, err := p.sync(t)
			require.ErrorContains(t, err, "no state that this publisher signed")
			assertSide(t, promotion.Destination, err)
			assert.Equal(t, theirs, other.published(t).Identity())
			entries, err := to.trust(t, nil).List(t.Context())
			require.NoError(t, err)
			for _, e := range entries {
				assert.NotContains(t, p.published(t).Identity(), e.Digest, "nothing was written")
			}
		})
	}
}

func TestSyncNamesTheSideThatFailed(t *testing.T) {
	from, to := fixtures.Distribution(t), fixtures.Distribution(t)
	p := newPair(t, onRegistry(from), onRegistry(to))
	for name, c := range map[string]struct {
		reg   *fixtures.Registry
		fault fixtures.Fault
		side  promotion.Side
	}{
		"source refuses":           {from, fixtures.Fault{Then: fixtures.Status(http.StatusForbidden)}, promotion.Source},
		"destination is read-only": {to, fixtures.Fault{On: fixtures.Writes, Then: fixtures.Status(http.StatusForbidden)}, promotion.Destination},
		"destination's quota":      {to, fixtures.Fault{On: fixtures.Writes, Then: fixtures.RateLimit(3600)}, promotion.Destination},
		"destination is down":      {to, fixtures.Fault{Then: fixtures.DropBefore}, promotion.Destination},
	} {
		t.Run(name, func(t *testing.T) {
			fault := c.reg.Inject(c.fault)
			defer fault.Remove()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := p.syncWithin(ctx, t)
			require.Error(t, err)
			assertSide(t, c.side, err)
		})
	}
}

// The destination dies at every write in turn: readers see the old state or
// the new, and the next run finishes.
func TestSyncDiesAtEveryWrite(t *testing.T) {
	for name, action := range map[string]fixtures.Action{"before it took effect": fixtures.DropBefore, "after": fixtures.DropAfter} {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			p := newPair(t, onLayout(t), onRegistry(reg))
			p.sign(t, "0")
			p.synced(t)
			for nth := 1; ; nth++ {
				tag := strings.Repeat("1", nth)
				p.sign(t, tag)
				alive := reg.Inject(dead(nth, action))
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				out, err := p.syncWithin(ctx, t)
				cancel()
				alive.Remove()
				if alive.Hits() == 0 {
					require.NoError(t, err)
					require.True(t, p.has(t, p.to, tag))
					require.Greater(t, nth, 5, "too few writes were seen")
					return
				}
				if err == nil { // a lost answer was settled
					require.True(t, out.Changed)
				} else {
					assertSide(t, promotion.Destination, err)
				}
				p.reader(t, p.to)
				p.synced(t)
				require.True(t, p.has(t, p.to, tag))
			}
		})
	}
}

// dead breaks the nth write and everything after it.
func dead(nth int, action fixtures.Action) fixtures.Fault {
	var n atomic.Int64
	var first atomic.Pointer[http.Request]
	return fixtures.Fault{On: func(r *http.Request) bool {
		if fixtures.Writes(r) && n.Add(1) == int64(nth) {
			first.Store(r)
		}
		return n.Load() >= int64(nth)
	}, Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r == first.Load() {
			action(w, r, next)
			return
		}
		fixtures.DropBefore(w, r, next)
	}}
}

// Another mirror's late write moves latest back: the next reader of the list,
// which is every writer after its own write, moves it on.
func TestSyncsAtOnceLeaveTheGreatest(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := newPair(t, onLayout(t), onRegistry(reg))
	p.synced(t)
	p.sign(t, "1")
	held, release := make(chan struct{}), make(chan struct{})
	stop := reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/latest"), Nth: 1, Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		close(held)
		<-release
		next.ServeHTTP(w, r)
	}})
	slow := make(chan error, 1)
	late := *p
	late.store = tuf.MemoryStore{}
	go func() { _, err := late.syncWithin(context.Background(), t); slow <- err }()
	<-held
	p.sign(t, "2")
	p.synced(t)
	require.True(t, p.has(t, p.to, "2"))
	close(release)
	require.NoError(t, <-slow)
	stop.Remove()
	trust := p.to.trust(t, nil)
	require.NoError(t, trust.Open(t.Context()))
	assert.EqualValues(t, p.reader(t, p.from).Snapshot().Version, trust.Publication().Snapshot.Version)
}
