package tuf_test

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	tufmeta "github.com/theupdateframework/go-tuf/v2/metadata"
	tufconfig "github.com/theupdateframework/go-tuf/v2/metadata/config"
	tuffetcher "github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	tufupdater "github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// foreign is a plain TUF repository that another tool made, and a trust
// repository that it is imported into.
type foreign struct {
	*testing.T
	*tufrepository.Repository
	server *httptest.Server
	root   []byte
	trust  string
	store  tuf.MemoryStore // of the machine that imports
	told   []string
	now    time.Time
}

func newForeign(t *testing.T) *foreign {
	f := &foreign{T: t, Repository: tufrepository.New(start), store: tuf.MemoryStore{}, now: start}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	f.root = f.Get("1.root.json")
	f.trust = "oci:" + filepath.Join(t.TempDir(), "trust")
	return f
}

// oddNames are role names that file systems, URLs or tags have trouble with.
var oddNames = []string{
	"team one", "a/b", "x/../../y", "..", ".hidden", "50%", "ünïcödé", "q?x=1#f", "a+b&c;d", "tab\tname", "back\\slash", "colon:name", "a.json/b", "-",
}

// grow gives the repository three levels of delegation, odd role names, hash
// bins, hash prefixes and two more roots.
func (f *foreign) grow() {
	for i, name := range oddNames {
		path := "odd" + strconv.Itoa(i)
		f.Delegate(start, "targets", tufrepository.Delegation{Name: name, Paths: []string{path + "/*"}})
		f.AddTarget(name, path+"/file", []byte(name))
	}
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "first", Paths: []string{"deep/*/*"}})
	f.Delegate(start, "first", tufrepository.Delegation{Name: "second", Paths: []string{"deep/er/*"}})
	f.Delegate(start, "second", tufrepository.Delegation{Name: "third", Paths: []string{"deep/er/file"}})
	f.AddTarget("third", "deep/er/file", []byte("deep"))
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "bins", Paths: []string{"binned*"}})
	var names []string
	for i := range 16 {
		names = append(names, "bin-"+strconv.FormatInt(int64(i), 16))
	}
	f.DelegateBins(start, "bins", 4, "bin", names)
	f.AddTarget("bin-"+tufrepository.Sum("sha256", []byte("binned"))[:1], "binned", []byte("binned"))
	f.PublishAll()
	for _, key := range []string{"second root", "third root"} {
		old := f.Signers["root"]
		f.SetKeys("root", 1, tufrepository.NewKey(key))
		f.Signers["root"] = append(f.Signers["root"], old...)
		f.Publish("root")
		f.Signers["root"] = f.Signers["root"][:1]
	}
}

// lookups are the paths that grow lists, and what they hold.
func lookups() map[string]string {
	out := map[string]string{"deep/er/file": "deep", "binned": "binned"}
	for i, name := range oddNames {
		out["odd"+strconv.Itoa(i)+"/file"] = name
	}
	return out
}

func (f *foreign) open() *registrystore.Trust {
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(f, err)
	trust, err := regs.OpenTrust(f.trust)
	require.NoError(f, err)
	return trust
}

func (f *foreign) http() tuf.Source {
	s, err := tuf.NewHTTPSource(f.server.URL+"/metadata/", nil)
	require.NoError(f, err)
	return s
}

func (f *foreign) importing(source tuf.Source) tuf.Importing {
	return tuf.Importing{
		Root: f.root, Store: f.store, Source: source, To: f.open().Journal().(tuf.Destination), Now: f.now,
		Report: func(s string) { f.told = append(f.told, s) },
	}
}

// take imports what is published now.
func (f *foreign) take(source tuf.Source) *tuf.Imported {
	f.Helper()
	res, err := tuf.Import(f.Context(), f.importing(source))
	require.NoError(f, err)
	return res
}

// verifier is a client of the trust repository that knows the pinned root.
func (f *foreign) verifier() *tuf.Client {
	f.Helper()
	c, err := tuf.NewClient(tuf.Options{Root: f.root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{f.open()}, Now: f.now})
	require.NoError(f, err)
	require.NoError(f, c.Refresh(f.Context()))
	return c
}

func (f *foreign) requireListed(want map[string]string) {
	f.Helper()
	c := f.verifier()
	for path, content := range want {
		found, err := c.Lookup(f.Context(), path)
		require.NoError(f, err, path)
		require.True(f, found.Listed, path)
		require.Equal(f, tufrepository.Sum("sha256", []byte(content)), found.Target.Hashes.Get("sha256"), path)
	}
}

// export writes what a trust repository holds into a folder.
func export(t *testing.T, root []byte, source tuf.Source, now time.Time, dir string) []string {
	t.Helper()
	c, err := tuf.NewClient(tuf.Options{Root: root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{source}, Now: now, AllowExpired: true})
	require.NoError(t, err)
	require.NoError(t, c.Refresh(t.Context()))
	pub, err := c.Gather(t.Context(), tuf.Gathering{Report: func(s string) { t.Log(s) }})
	require.NoError(t, err)
	folder := openFolder(t, dir)
	written, err := folder.Publish(t.Context(), pub, func(s string) { t.Log(s) })
	require.NoError(t, err)
	return written
}

func openFolder(t *testing.T, dir string) *tuf.Folder {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	folder, err := tuf.OpenFolder(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = folder.Close() })
	return folder
}

// peer is go-tuf's client, which follows a web server or a folder.
type peer struct {
	*testing.T
	base  string
	fetch tuffetcher.Fetcher
	dir   string
}

func overHTTP(t *testing.T, dir string, root []byte) *peer {
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(server.Close)
	return newPeer(t, server.URL, tuffetcher.NewDefaultFetcher(), root)
}

func overFiles(t *testing.T, dir string, root []byte) *peer {
	return newPeer(t, "file:///", fileFetcher(dir), root)
}

// fileFetcher reads a folder by URL, without a web server.
type fileFetcher string

func (dir fileFetcher) DownloadFile(at string, limit int64, _ time.Duration) ([]byte, error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(string(dir), filepath.FromSlash(u.Path)))
	if err != nil {
		return nil, &tufmeta.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: at}
	}
	return raw, nil
}

func newPeer(t *testing.T, base string, fetch tuffetcher.Fetcher, root []byte) *peer {
	p := &peer{T: t, base: base, fetch: fetch, dir: t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "root.json"), root, 0o600))
	return p
}

// follow updates, and returns the client.
func (p *peer) follow(now time.Time) *tufupdater.Updater {
	p.Helper()
	root, err := os.ReadFile(filepath.Join(p.dir, "root.json"))
	require.NoError(p, err)
	cfg, err := tufconfig.New(p.base, root)
	require.NoError(p, err)
	cfg.LocalMetadataDir, cfg.LocalTargetsDir, cfg.Fetcher = p.dir, p.dir, p.fetch
	up, err := tufupdater.New(cfg)
	require.NoError(p, err)
	up.UnsafeSetRefTime(now)
	require.NoError(p, up.Refresh())
	return up
}

func (p *peer) requireListed(now time.Time, want map[string]string) {
	p.Helper()
	up := p.follow(now)
	for path, content := range want {
		info, err := up.GetTargetInfo(path)
		require.NoError(p, err, path)
		require.Equal(p, tufrepository.Sum("sha256", []byte(content)), info.Hashes["sha256"].String(), path)
	}
}

// filesIn returns the content of a folder by path, percent-encoded names
// decoded: two repositories may write one name in two ways.
func filesIn(t *testing.T, dir string) map[string]string {
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".carnet.lock" {
			return err
		}
		raw, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		if name, uerr := url.PathUnescape(rel); uerr == nil && strings.ContainsAny(rel, "%") && name != "" {
			rel = name
		}
		out[rel] = string(raw)
		return err
	}))
	return out
}

// served are the newest of the files that a foreign repository serves, by
// decoded name.
func (f *foreign) served() map[string]string {
	out := map[string]string{}
	for role := range f.Signed {
		names := []string{f.FileName(role, f.Version(role))}
		if role == "root" {
			for v := 1; v < f.Version(role); v++ {
				names = append(names, f.FileName(role, v))
			}
		}
		for _, name := range names {
			plain, err := url.PathUnescape(name)
			require.NoError(f, err)
			out[plain] = string(f.Get(name))
		}
	}
	return out
}

// A repository that another tool made is imported byte for byte, verified, and
// exported again with the same bytes, which go-tuf follows.
func TestImportAndExportAgain(t *testing.T) {
	for name, hashes := range map[string]bool{"with hashes": true, "without hashes": false} {
		t.Run(name, func(t *testing.T) {
			f := newForeign(t)
			f.Hashes = hashes
			f.grow()
			res := f.take(f.http())
			require.True(t, res.Changed)
			require.EqualValues(t, 3, res.Root)
			f.requireListed(lookups())
			require.Empty(t, f.told)

			dir := filepath.Join(t.TempDir(), "out")
			export(t, f.root, f.open(), f.now, dir)
			got := filesIn(t, dir)
			require.Equal(t, f.served(), got)

			servable := lookups()
			delete(servable, "odd2/file")  // x/../../y: no web server serves that
			delete(servable, "odd9/file")  // a tab: percent-encoded on disk
			delete(servable, "odd10/file") // a backslash
			delete(servable, "odd12/file") // a folder that is called like a file
			overHTTP(t, dir, f.root).requireListed(f.now, servable)
			overFiles(t, dir, f.root).requireListed(f.now, servable)
		})
	}
}

// What was exported can be imported from the folder, whatever its roles are
// called.
func TestImportFromAFolder(t *testing.T) {
	f := newForeign(t)
	f.grow()
	f.take(f.http())
	dir := t.TempDir()
	export(t, f.root, f.open(), f.now, dir)
	f.trust = "oci:" + filepath.Join(t.TempDir(), "trust")
	f.store = tuf.MemoryStore{}
	require.True(t, f.take(openFolder(t, dir)).Changed)
	f.requireListed(lookups())
}

// Without consistent snapshots names carry no versions.
func TestImportWithoutConsistentSnapshots(t *testing.T) {
	f := newForeign(t)
	f.Signed["root"]["consistent_snapshot"] = false
	f.Hashes = true
	f.grow()
	f.take(f.http())
	f.requireListed(lookups())
	dir := t.TempDir()
	export(t, f.root, f.open(), f.now, dir)
	require.FileExists(t, filepath.Join(dir, "targets.json"))
	require.FileExists(t, filepath.Join(dir, "2.root.json"))
	overHTTP(t, dir, f.root).requireListed(f.now, map[string]string{"deep/er/file": "deep"})
}

// hashPrefixes: go-tuf compares them with base64, so that Carnet alone looks up.
func TestImportHashPrefixes(t *testing.T) {
	f := newForeign(t)
	sum := tufrepository.Sum("sha256", []byte("prefixed"))
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "prefixes", Prefixes: []string{sum[:3]}})
	f.AddTarget("prefixes", "prefixed", []byte("content"))
	f.PublishAll()
	f.take(f.http())
	f.requireListed(map[string]string{"prefixed": "content"})
}

// An import that finds nothing new asks for the next root and the timestamp,
// and one that does asks for what changed.
func TestImportAsksForWhatChanged(t *testing.T) {
	f := newForeign(t)
	f.Hashes = true
	f.grow()
	f.take(f.http())
	f.Requests()
	require.False(t, f.take(f.http()).Changed)
	require.Equal(t, []string{"4.root.json", "timestamp.json"}, f.Requests())

	f.AddTarget("second", "deep/er/other", []byte("new"))
	f.Publish("second", "snapshot", "timestamp")
	require.True(t, f.take(f.http()).Changed)
	require.Equal(t, []string{"4.root.json", "timestamp.json", f.FileName("snapshot", f.Version("snapshot")), f.FileName("second", f.Version("second"))}, f.Requests())
	f.requireListed(map[string]string{"deep/er/other": "new", "deep/er/file": "deep"})
	f.Publish("timestamp") // a new timestamp over the same snapshot
	require.True(t, f.take(f.http()).Changed)
	require.EqualValues(t, f.Version("timestamp"), f.verifier().Timestamp().Version)
}

// What is older than what this machine saw, or than what the trust repository
// holds, is refused.
func TestImportRefusesRollback(t *testing.T) {
	f := newForeign(t)
	f.Hashes = true
	f.PublishAll()
	old := mirrorOf("old", f.Repository)
	f.PublishAll()
	f.take(f.http())
	for name, store := range map[string]tuf.MemoryStore{"seen here": f.store, "stored there": {}} {
		f.store = store
		_, err := tuf.Import(t.Context(), f.importing(old))
		require.ErrorIs(t, err, tuf.ErrRollback, name)
	}
	f.trust = "oci:" + filepath.Join(t.TempDir(), "empty")
	f.store = tuf.MemoryStore{}
	f.take(f.http())
	require.NoError(t, os.RemoveAll(strings.TrimPrefix(f.trust, "oci:")))
	_, err := tuf.Import(t.Context(), f.importing(old))
	require.ErrorIs(t, err, tuf.ErrRollback, "seen here, and lost there")
}

// Roots before the pinned one come along, so that others can follow.
func TestImportTakesOlderRoots(t *testing.T) {
	f := newForeign(t)
	f.grow()
	first := f.root
	f.root = f.Get("3.root.json")
	f.take(f.http())
	f.root = first
	f.requireListed(map[string]string{"deep/er/file": "deep"})
	// One that does not lead to the pinned root is left out.
	f.root, f.store = f.Get("3.root.json"), tuf.MemoryStore{}
	f.trust = "oci:" + filepath.Join(t.TempDir(), "trust")
	f.Put("2.root.json", tufrepository.New(start).Get("1.root.json"))
	f.take(f.http())
	require.Len(t, f.told, 1)
	require.Contains(t, f.told[0], "left out: root version 2")
}

// More roots than have layers of their own are packed, and come out again.
func TestImportAndExportManyRoots(t *testing.T) {
	f := newForeign(t)
	for range 40 {
		f.Publish("root")
	}
	f.take(f.http())
	f.requireListed(nil)
	dir := t.TempDir()
	export(t, f.root, f.open(), f.now, dir)
	require.Equal(t, f.served(), filesIn(t, dir))
	overHTTP(t, dir, f.root).requireListed(f.now, nil)
	f.Publish("root", "timestamp")
	f.take(f.http())
	require.Equal(t, []string{"42.root.json", "timestamp.json"}, export(t, f.root, f.open(), f.now, dir))
}

// A Carnet publisher, exported, is followed by go-tuf from its first root
// through rotations, and a later export is followed too.
func TestExportIsFollowed(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("apps", "app", "dev")
	_, err := p.Sign("apps", "app:1", "one")
	require.NoError(t, err)
	dir := t.TempDir()
	export(t, p.Root, p.Source(), p.Now(), dir)
	peers := []*peer{overHTTP(t, dir, p.Root), overFiles(t, dir, p.Root)}
	for _, peer := range peers {
		peer.requireListed(p.Now(), map[string]string{"app:1": "one"})
	}
	for i := range 20 {
		rotateRoot(t, p, "root"+strconv.Itoa(i))
	}
	_, err = p.Sign("apps", "app:2", "two")
	require.NoError(t, err)
	before := filesIn(t, dir)
	written := export(t, p.Root, p.Source(), p.Now(), dir)
	require.Equal(t, "timestamp.json", written[len(written)-1])
	require.Len(t, written, 20+3, "roots, the role, snapshot, timestamp: %v", written)
	for name, raw := range before {
		if name != "timestamp.json" {
			require.Equal(t, raw, filesIn(t, dir)[name], name)
		}
	}
	peers = append(peers, overHTTP(t, dir, p.Root))
	for _, peer := range peers {
		peer.requireListed(p.Now(), map[string]string{"app:1": "one", "app:2": "two"})
	}
	require.Empty(t, export(t, p.Root, p.Source(), p.Now(), dir))
}

func rotateRoot(t *testing.T, p *fixtures.Publisher, name string) {
	k := p.Key(name).Key()
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		return d.SetKeys(ctx, metadata.RoleRoot, metadata.Keys{k.ID(): k}, 1)
	})
	require.NoError(t, err)
}

// Exported and imported by somebody else, a Carnet publisher is the same.
func TestExportedPublisherIsImported(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("apps", "app", "dev")
	_, err := p.Sign("apps", "app:1", "one")
	require.NoError(t, err)
	dir := t.TempDir()
	export(t, p.Root, p.Source(), p.Now(), dir)
	f := newForeign(t)
	f.root, f.now = p.Root, p.Now()
	f.take(openFolder(t, dir))
	f.requireListed(map[string]string{"app:1": "one"})
	ours, theirs := p.Source(), f.open()
	require.NoError(t, ours.Open(t.Context()))
	require.NoError(t, theirs.Open(t.Context()))
	require.Equal(t, ours.Publication().Identity(), theirs.Publication().Identity())
	for _, a := range ours.Publication().Files() {
		for _, b := range theirs.Publication().Files() {
			if a.Role == b.Role && a.Version == b.Version {
				require.Equal(t, a.Digest, b.Digest)
				require.Equal(t, a.Patterns, b.Patterns, a.Role)
				require.True(t, bytes.Equal(a.Data, b.Data), a.Role)
			}
		}
	}
}

// Old states of an imported publisher are pruned, and the newest stays, also
// where timestamp and snapshot have different versions.
func TestPruneImported(t *testing.T) {
	f := newForeign(t)
	f.AddTarget("targets", "file", []byte("one"))
	f.PublishAll()
	for range 3 {
		f.Publish("timestamp")
		f.take(f.http())
	}
	trust := f.open()
	repo := tuf.NewRepository(tuf.RepositoryOptions{
		Root: f.root, Store: tuf.MemoryStore{}, Journal: trust.Journal(), Sources: []tuf.Source{trust}, Now: func() time.Time { return f.now },
	})
	gone, err := repo.Prune(t.Context(), tuf.Pruning{Keep: 1})
	require.NoError(t, err)
	require.Len(t, gone, 2)
	entries, err := f.open().List(t.Context())
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.EqualValues(t, f.Version("timestamp"), entries[0].Version)
	f.requireListed(map[string]string{"file": "one"})
}
