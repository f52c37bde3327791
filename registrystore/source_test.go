package registrystore_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

const getLatest = "GET /v2/trust/manifests/latest"

func want(paths ...string) tuf.Want {
	return tuf.Want{AfterRoot: 1, Paths: paths, Has: func(string, string) bool { return false }}
}

// Opening costs one request, which on Distribution carries no manifest when
// nothing changed; the second round is one parallel batch.
func TestRequestsOfAReader(t *testing.T) {
	for name, start := range map[string]start{"distribution": fixtures.Distribution, "1.1": fixtures.Registry11} {
		t.Run(name, func(t *testing.T) {
			reg := start(t)
			p := onRegistry(reg)
			pub := publication(1)
			for i := range 9 { // big roles, of which a search needs all
				pub.Roles = append(pub.Roles, role(fmt.Sprintf("z%d", i), 1, strings.Repeat("z", 40_000+i), "b*"))
			}
			commit(t, p.trust(t, nil), pub)
			cache := registrystore.OpenCache(t.TempDir())
			rounds := fixtures.CountRounds(t, reg)
			reg.Reset()

			cold := p.trust(t, cache)
			require.NoError(t, cold.Open(ctx))
			require.Equal(t, []string{getLatest}, reg.Requests())
			cold.Prefetch(ctx, want("b1"))
			require.Equal(t, 2, rounds.Count())
			require.Len(t, reg.Requests(), 1+10)
			for _, f := range pub.Roles {
				raw, err := cold.File(ctx, f.Role, metadata.MetaFile{Version: f.Version, Length: f.Length, Hashes: metadata.SHA256(f.Digest.Encoded())})
				require.NoError(t, err)
				require.Equal(t, f.Data, raw)
			}
			require.Len(t, reg.Requests(), 1+10, "what was fetched ahead is not asked for")

			reg.Reset()
			rounds.Reset()
			warm := p.trust(t, cache)
			require.NoError(t, warm.Open(ctx))
			warm.Prefetch(ctx, want("b1"))
			_, err := warm.Timestamp(ctx)
			require.NoError(t, err)
			require.Equal(t, []string{getLatest}, reg.Requests())
			require.Equal(t, 1, rounds.Count())
			if reg.Dir != "" {
				require.Equal(t, 304, reg.Log()[0].Status)
				_, received := reg.Bytes()
				require.Zero(t, received)
			}
		})
	}
}

// Prefetching is bounded, whatever the unsigned hints say.
func TestHintsAreBounded(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	pub := publication(1)
	for i := range 30 {
		pub.Roles = append(pub.Roles, role(fmt.Sprintf("z%02d", i), 1, strings.Repeat("z", 40_000+i), "*"))
	}
	pub.Roles[0] = role("big", 1, strings.Repeat("x", metadata.MaxPrefetch+1), "*")
	commit(t, p.trust(t, nil), pub)
	trust := p.trust(t, nil)
	require.NoError(t, trust.Open(ctx))
	reg.Reset()
	trust.Prefetch(ctx, want("path"))
	require.Len(t, reg.Requests(), metadata.MaxPrefetches)
	require.NotContains(t, reg.SortedRequests(), "GET /v2/trust/blobs/"+pub.Roles[0].Digest.String())
}

// Without a usable latest the newest listed state that can be read is opened.
func TestOpenWithoutLatest(t *testing.T) {
	for name, spoilLatest := range map[string]func(*testing.T, *place, tuf.Entry){
		"missing": func(t *testing.T, p *place, _ tuf.Entry) {
			p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), Then: fixtures.Status(404)})
		},
		"an image": func(t *testing.T, p *place, _ tuf.Entry) { p.raw(t).PushImage(t, "latest", "hello") },
		"failing": func(t *testing.T, p *place, _ tuf.Entry) {
			p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), Then: fixtures.Status(500)})
		},
		"broken bytes": func(t *testing.T, p *place, _ tuf.Entry) {
			p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), Then: fixtures.FlipByte(30)})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := onRegistry(fixtures.Distribution(t))
			commit(t, p.trust(t, nil), publication(1))
			e := commit(t, p.trust(t, nil), publication(2))
			spoilLatest(t, p, e)
			trust := p.trust(t, nil)
			require.NoError(t, trust.Open(ctx))
			raw, err := trust.Timestamp(ctx)
			require.NoError(t, err)
			require.Equal(t, "timestamp 2", string(raw))

			// The newest cannot be read either: the one before is opened.
			p.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/" + e.Tag), Then: fixtures.Status(404)})
			require.NoError(t, trust.Open(ctx))
			raw, err = trust.Timestamp(ctx)
			require.NoError(t, err)
			require.Equal(t, "timestamp 1", string(raw))
		})
	}
}

func TestOpenFindsNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		err := p.trust(t, nil).Open(ctx)
		require.ErrorIs(t, err, registrystore.ErrNotFound)
	})
}

// A refusal or a broken network is no reason to look elsewhere.
func TestOpenFails(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	reg.Inject(fixtures.Fault{Then: fixtures.Status(403)})
	require.ErrorIs(t, p.trust(t, nil).Open(ctx), registrystore.ErrUnauthorized)
	require.Equal(t, []string{getLatest}, reg.Requests())
}

// One repository that never answers leaves time to ask another.
func TestOpenLeavesTimeToOthers(t *testing.T) {
	reg := fixtures.Distribution(t)
	reg.Inject(fixtures.Fault{Then: fixtures.Stall})
	ctx, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, onRegistry(reg).trust(t, nil).Open(ctx), context.DeadlineExceeded)
	require.NoError(t, ctx.Err())
}

// A reader that knows of a newer timestamp than latest has looks further, and
// one that knows of none newer does not.
func TestBehindLatest(t *testing.T) {
	reg := fixtures.Distribution(t)
	pub := fixtures.NewPublisher(t, reg.Host+"/trust", reg.Options())
	reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/latest"), Then: fixtures.Status(503)})
	_, err := pub.Publish(func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil })
	require.NoError(t, err)

	trust := pub.Source()
	require.NoError(t, trust.Open(ctx))
	reg.Reset()
	trust.Prefetch(ctx, tuf.Want{AfterRoot: 1, Timestamp: 1, Has: want().Has})
	require.Empty(t, reg.Requests())
	trust.Prefetch(ctx, tuf.Want{AfterRoot: 1, Timestamp: 2, Has: want().Has})
	require.Equal(t, "GET /v2/trust/tags/list", reg.Requests()[0])
	raw, err := trust.Timestamp(ctx)
	require.NoError(t, err)
	f, err := metadata.Decode(metadata.RoleTimestamp, raw)
	require.NoError(t, err)
	require.EqualValues(t, 2, f.Version)
}

// Offline nothing is asked: a registry is what the cache remembers of it.
func TestOffline(t *testing.T) {
	reg := fixtures.Distribution(t)
	pub := fixtures.NewPublisher(t, reg.Host+"/trust", reg.Options())
	pub.Delegate("releases", "**", "dev")
	_, err := pub.Sign("releases", "app:1", "x")
	require.NoError(t, err)
	dir := t.TempDir()
	refresh := func(opts registrystore.Options) error {
		regs, err := registrystore.New(opts, registrystore.OpenCache(dir))
		require.NoError(t, err)
		trust, err := regs.OpenTrust(pub.Trust)
		require.NoError(t, err)
		client, err := tuf.NewClient(tuf.Options{Root: pub.Root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{trust}, Now: pub.Now()})
		require.NoError(t, err)
		return client.Refresh(ctx, "app:1")
	}
	offline := reg.Options()
	offline.Offline = true
	require.ErrorIs(t, refresh(offline), registrystore.ErrOffline)
	require.NoError(t, refresh(reg.Options()))
	reg.Reset()
	require.NoError(t, refresh(offline))
	require.Empty(t, reg.Log())

	regs, err := registrystore.New(offline, nil)
	require.NoError(t, err)
	a, err := regs.Artifacts(registrystore.Repository{Host: reg.Host, Name: "app"})
	require.NoError(t, err)
	ref := registrystore.Reference{Repository: registrystore.Repository{Host: reg.Host, Name: "app"}, Tag: "1"}
	_, err = a.Resolve(ctx, ref)
	require.ErrorIs(t, err, registrystore.ErrOffline)
	_, err = a.Referrers(ctx, "sha256:"+"00")
	require.ErrorIs(t, err, registrystore.ErrOffline)
	trust, err := regs.OpenTrust(pub.Trust)
	require.NoError(t, err)
	_, err = trust.List(ctx)
	require.ErrorIs(t, err, registrystore.ErrOffline)
	_, err = trust.Commit(ctx, publication(1))
	require.ErrorIs(t, err, registrystore.ErrOffline)
	require.Empty(t, reg.Log())
}

func TestOfflineReadsLayouts(t *testing.T) {
	p := onLayout(t)
	commit(t, p.trust(t, nil), publication(1))
	p.opts.Offline = true
	require.NoError(t, p.trust(t, nil).Open(ctx))
}

// Old roots are in the root pack and are served from there.
func TestRootPack(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		pub := publication(1)
		pub.Roots = nil
		for v := range int64(40) {
			root := realRoot(t, v+1)
			pub.Roots = append(pub.Roots, tuf.NewFile("root", v+1, root))
		}
		require.NoError(t, tuf.PackRoots(ctx, pub, nil))
		require.Len(t, pub.Roots, tuf.MaxRootFiles)
		commit(t, p.trust(t, nil), pub)

		old := p.trust(t, nil)
		require.NoError(t, old.Open(ctx))
		_, err := old.Root(ctx, 1)
		require.NoError(t, err)

		// One more root: the pack grows by the oldest.
		trust := p.trust(t, nil)
		next, err := trust.Latest(ctx)
		require.NoError(t, err)
		next.Roots = append(next.Roots, tuf.NewFile("root", 41, realRoot(t, 41)))
		next.Snapshot = tuf.NewFile("snapshot", 2, []byte("snapshot 2"))
		require.NoError(t, tuf.PackRoots(ctx, next, trust.Fetch))
		require.Len(t, next.Roots, tuf.MaxRootFiles)
		commit(t, trust, next)
		require.NoError(t, old.Open(ctx))
		_, err = old.Root(ctx, 25)
		require.NoError(t, err, "which was no part of the pack before")

		reader := p.trust(t, nil)
		require.NoError(t, reader.Open(ctx))
		if p.reg != nil {
			p.reg.Reset()
		}
		reader.Prefetch(ctx, want())
		for v := range int64(41) {
			raw, err := reader.Root(ctx, v+1)
			require.NoError(t, err)
			require.Equal(t, realRoot(t, v+1), raw)
		}
		_, err = reader.Root(ctx, 42)
		require.ErrorIs(t, err, tuf.ErrNotFound)
		if p.reg != nil {
			require.Len(t, p.reg.Requests(), 1+tuf.MaxRootFiles)
		}
	})
}

// realRoot is a root file, which need not be signed to be kept.
func realRoot(t *testing.T, version int64) []byte {
	t.Helper()
	key := fixtures.Key("root").Key()
	rk := metadata.RoleKeys{KeyIDs: []string{key.ID()}, Threshold: 1}
	root := &metadata.Root{ConsistentSnapshot: true, Keys: metadata.Keys{key.ID(): key}, Roles: map[string]metadata.RoleKeys{
		"root": rk, "targets": rk, "snapshot": rk, "timestamp": rk,
	}}
	root.Version, root.Expires = version, fixtures.Epoch
	return metadata.Seal(root.Canonical(), nil)
}

// The cache is never trusted and never needed.
func TestCache(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	pub := publication(1)
	commit(t, p.trust(t, nil), pub)
	read := func(cache *registrystore.Cache) int {
		reg.Reset()
		trust := p.trust(t, cache)
		require.NoError(t, trust.Open(ctx))
		raw, err := trust.File(ctx, "big", metadata.MetaFile{Version: 1, Length: pub.Roles[0].Length, Hashes: metadata.SHA256(pub.Roles[0].Digest.Encoded())})
		require.NoError(t, err)
		require.Equal(t, pub.Roles[0].Data, raw)
		return len(reg.Requests())
	}
	dir := t.TempDir()
	require.Equal(t, 2, read(registrystore.OpenCache(dir)))
	require.Equal(t, 1, read(registrystore.OpenCache(dir)))
	for _, damage := range []string{"", "garbage", strings.Repeat("x", len(pub.Roles[0].Data))} {
		spoil(t, dir, damage)
		require.Equal(t, 2, read(registrystore.OpenCache(dir)), "a damaged cache is a cold one")
		spoil(t, dir, damage)
		require.Equal(t, 2, read(registrystore.OpenCache(filepath.Join(dir, "latest"))), "a folder in the way is a cold one")
	}
	require.Equal(t, 2, read(registrystore.OpenCache(os.DevNull)), "a cache that cannot be written is none")
	require.Equal(t, 2, read(nil))
}

func spoil(t *testing.T, dir, content string) {
	t.Helper()
	n := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
			return os.WriteFile(path, []byte(content), 0o600)
		}
		return err
	}))
	require.Positive(t, n)
}

// endless never stops sending.
func endless(w http.ResponseWriter, req *http.Request, _ http.Handler) {
	for req.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			return
		}
	}
}

// What a registry serves in place of a blob is refused, and said to be its
// fault; what breaks off is read again.
func TestBlobsThatAreOther(t *testing.T) {
	pub := publication(1)
	big := pub.Roles[0]
	f := metadata.MetaFile{Version: 1, Length: big.Length, Hashes: metadata.SHA256(big.Digest.Encoded())}
	for name, c := range map[string]struct {
		then  fixtures.Action
		first int
		want  error
	}{
		"longer":         {fixtures.Serve(append(big.Data[:len(big.Data):len(big.Data)], 'x')), 0, registrystore.ErrCorrupt},
		"shorter":        {fixtures.Serve(big.Data[:100]), 0, registrystore.ErrCorrupt},
		"other":          {fixtures.FlipByte(7), 0, registrystore.ErrCorrupt},
		"endless":        {endless, 0, registrystore.ErrCorrupt},
		"gone":           {fixtures.Status(404), 0, registrystore.ErrNotFound},
		"breaks off":     {fixtures.Truncate(100), 2, nil},
		"always broken":  {fixtures.Truncate(100), 0, context.Canceled},
		"failing, twice": {fixtures.Status(500), 2, nil},
		"lying digest": {fixtures.Rewrite(func(r *httptest.ResponseRecorder) {
			r.Header().Set("Docker-Content-Digest", pub.Snapshot.Digest.String())
		}), 0, registrystore.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			p := onRegistry(reg)
			commit(t, p.trust(t, nil), pub)
			reg.Inject(fixtures.Fault{On: fixtures.Get("/blobs/" + big.Digest.String()), First: c.first, Then: c.then})
			trust := p.trust(t, nil)
			require.NoError(t, trust.Open(ctx))
			_, err := trust.File(ctx, "big", f)
			switch c.want {
			case nil:
				require.NoError(t, err)
			case context.Canceled:
				require.Error(t, err)
				require.NotErrorIs(t, err, registrystore.ErrCorrupt, "a broken network says nothing about content")
			default:
				require.ErrorIs(t, err, c.want)
			}
		})
	}
}
