package tuf_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/tuf"
)

// gathered is what a trust repository holds now, ready for a folder.
func gathered(t *testing.T, root []byte, source tuf.Source, now time.Time) *tuf.Publication {
	t.Helper()
	c, err := tuf.NewClient(tuf.Options{Root: root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{source}, Now: now, AllowExpired: true})
	require.NoError(t, err)
	require.NoError(t, c.Refresh(t.Context()))
	pub, err := c.Gather(t.Context(), tuf.Gathering{Report: func(s string) { t.Log(s) }})
	require.NoError(t, err)
	return pub
}

// taken is a foreign repository after its import, and what was gathered.
func (f *foreign) taken() *tuf.Publication {
	f.Helper()
	f.take(f.http())
	return gathered(f.T, f.root, f.open(), f.now)
}

// A folder belongs to one publisher: another one's metadata is not mixed in,
// whatever the versions are.
func TestFolderOfAnotherPublisher(t *testing.T) {
	ours, theirs := newForeign(t), newForeign(t)
	theirs.SetVersion("root", 0)
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		theirs.SetKeys(role, 1, tufrepository.NewKey("their "+role))
	}
	theirs.Publish("root", "targets", "snapshot", "timestamp")
	theirs.root = theirs.Get("1.root.json")
	pub := theirs.taken()
	for name, spoil := range map[string]func(dir string){
		"whole":      func(string) {},
		"no roots":   func(dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "1.root.json"))) },
		"roots only": func(dir string) { require.NoError(t, os.Remove(filepath.Join(dir, "timestamp.json"))) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := openFolder(t, dir).Publish(t.Context(), ours.taken(), nil)
			require.NoError(t, err)
			spoil(dir)
			before := filesIn(t, dir)
			_, err = openFolder(t, dir).Publish(t.Context(), pub, nil)
			require.ErrorIs(t, err, tuf.ErrOtherRepository)
			require.Equal(t, before, filesIn(t, dir))
		})
	}
}

// What no publisher could have signed is damage, and is put right.
func TestDamagedFolderIsMended(t *testing.T) {
	f := newForeign(t)
	f.grow()
	pub, dir := f.taken(), t.TempDir()
	_, err := openFolder(t, dir).Publish(t.Context(), pub, nil)
	require.NoError(t, err)
	want := filesIn(t, dir)
	for name := range want {
		require.NoError(t, os.RemoveAll(dir))
		_, err := openFolder(t, dir).Publish(t.Context(), pub, nil)
		require.NoError(t, err)
		require.NoError(t, os.Truncate(filepath.Join(dir, filepath.FromSlash(onDisk(t, dir, name))), 10))
		_, err = openFolder(t, dir).Publish(t.Context(), pub, nil)
		require.NoError(t, err, name)
		require.Equal(t, want, filesIn(t, dir), name)
	}
}

// onDisk is the path whose decoded name is given.
func onDisk(t *testing.T, dir, name string) string {
	t.Helper()
	for _, path := range []string{name, tufrepository.Escape(name)} {
		if _, err := os.Lstat(filepath.Join(dir, path)); err == nil {
			return path
		}
	}
	t.Fatalf("no file for %q", name)
	return ""
}

// A folder that is ahead stays so: by its timestamp, or by a root that follows
// the newest of what is to be written, whoever signed its timestamp.
func TestFolderThatIsAhead(t *testing.T) {
	f := newForeign(t)
	f.Hashes = true
	old := f.taken()
	f.PublishAll()
	newer := f.taken()
	f.SetKeys("timestamp", 1, tufrepository.NewKey("another timestamp"))
	f.Publish("root")
	f.SetVersion("timestamp", 0)
	f.Publish("timestamp")
	f.trust, f.store = "oci:"+filepath.Join(t.TempDir(), "trust"), tuf.MemoryStore{}
	rotated := f.taken()
	for name, c := range map[string]struct{ there, offered *tuf.Publication }{"timestamp": {newer, old}, "root": {rotated, newer}} {
		dir := t.TempDir()
		_, err := openFolder(t, dir).Publish(t.Context(), c.there, nil)
		require.NoError(t, err)
		before := filesIn(t, dir)
		_, err = openFolder(t, dir).Publish(t.Context(), c.offered, nil)
		var rollback *tuf.RollbackError
		require.ErrorAs(t, err, &rollback, name)
		require.Equal(t, name, rollback.File)
		require.Equal(t, before, filesIn(t, dir))
	}
	dir := t.TempDir() // and the other way: a root takes old timestamps' keys away
	for _, pub := range []*tuf.Publication{newer, rotated} {
		_, err := openFolder(t, dir).Publish(t.Context(), pub, nil)
		require.NoError(t, err)
	}
}

// Two who write one folder take turns; what a killed one left goes.
func TestFolderHasOneWriter(t *testing.T) {
	f := newForeign(t)
	pub, dir := f.taken(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".partial-1-2"), []byte("half"), 0o600))
	other := flock.New(filepath.Join(dir, ".carnet.lock"))
	require.NoError(t, other.Lock())
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := openFolder(t, dir).Publish(ctx, pub, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoFileExists(t, filepath.Join(dir, "timestamp.json"))
	require.NoError(t, other.Unlock())
	_, err = openFolder(t, dir).Publish(t.Context(), pub, nil)
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, ".partial-1-2"))
	require.Equal(t, f.served(), filesIn(t, dir))
}

// Nothing outside becomes the lock.
func TestFolderLockIsNoLink(t *testing.T) {
	dir, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, ".carnet.lock")))
	_, err := openFolder(t, dir).Publish(t.Context(), newForeign(t).taken(), nil)
	require.Error(t, err)
	require.NoFileExists(t, outside)
}

// Where a file system takes two names for one, neither role's file is lost for
// who follows: nothing is overwritten, and timestamp stays. Here the two are
// one folder by a link.
func TestRolesThatShareAFile(t *testing.T) {
	f := newForeign(t)
	old, dir := f.taken(), t.TempDir()
	_, err := openFolder(t, dir).Publish(t.Context(), old, nil)
	require.NoError(t, err)
	for _, name := range []string{"Team/one", "team/one"} {
		f.Delegate(start, "targets", tufrepository.Delegation{Name: name, Paths: []string{name + "/*"}})
		f.AddTarget(name, name+"/file", []byte(name))
	}
	f.PublishAll()
	pub := f.taken()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "1.Team"), 0o755))
	require.NoError(t, os.Symlink("1.Team", filepath.Join(dir, "1.team")))
	_, err = openFolder(t, dir).Publish(t.Context(), pub, nil)
	require.ErrorContains(t, err, "1.Team/one.json")
	require.ErrorContains(t, err, "1.team/one.json")
	overHTTP(t, dir, f.root).requireListed(f.now, nil)
	raw, err := os.ReadFile(filepath.Join(dir, "timestamp.json"))
	require.NoError(t, err)
	require.Equal(t, old.Timestamp.Data, raw)
	apart := t.TempDir()
	_, err = openFolder(t, apart).Publish(t.Context(), pub, nil)
	require.NoError(t, err)
	overHTTP(t, apart, f.root).requireListed(f.now, map[string]string{"Team/one/file": "Team/one", "team/one/file": "team/one"})
}

// Without consistent snapshots a role that is called like a root's file is not
// taken for that root.
func TestRoleNamedLikeARoot(t *testing.T) {
	f := newForeign(t)
	f.Signed["root"]["consistent_snapshot"] = false
	f.Publish("root")
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "9.root", Paths: []string{"*"}})
	f.AddTarget("9.root", "file", []byte("content"))
	f.PublishAll()
	dir := t.TempDir()
	var told []string
	_, err := openFolder(t, dir).Publish(t.Context(), f.taken(), func(s string) { told = append(told, s) })
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(dir, "9.root.json"))
	require.Len(t, told, 1)
	require.Contains(t, told[0], `"9.root"`)
	overHTTP(t, dir, f.root).requireListed(f.now, nil) // 9.root.json is none
	f.trust, f.store = "oci:"+filepath.Join(t.TempDir(), "trust"), tuf.MemoryStore{}
	f.take(openFolder(t, dir))
	f.requireListed(map[string]string{"file": "content"})
}

// What is no file of a bounded size is not read, and keeps nobody waiting.
func TestFolderReadsRegularFilesOnly(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"pipe":        func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder":      func(path string) error { return os.Mkdir(path, 0o700) },
		"link to one": func(path string) error { return os.Symlink("/dev/zero", path) },
		"loop":        func(path string) error { return os.Symlink("timestamp.json", path) },
		"huge": func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<40)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, make(filepath.Join(dir, "timestamp.json")))
			_, err := openFolder(t, dir).Timestamp(t.Context())
			require.Error(t, err)
			require.NotErrorIs(t, err, tuf.ErrNotFound)
		})
	}
	dir := t.TempDir() // a link inside of the folder is a file of the folder
	require.NoError(t, os.WriteFile(filepath.Join(dir, "here"), []byte("x"), 0o600))
	require.NoError(t, os.Symlink("here", filepath.Join(dir, "timestamp.json")))
	raw, err := openFolder(t, dir).Timestamp(t.Context())
	require.NoError(t, err)
	require.Equal(t, "x", string(raw))
}

// An export that is killed anywhere leaves a folder that a new client and one
// that followed before can use, a new root included. (Where that root replaces
// the keys of timestamp, who follows between the two has to ask again.)
func TestExportKilledAnywhere(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("apps", "app", "dev")
	_, err := p.Sign("apps", "app:1", "one")
	require.NoError(t, err)
	before := t.TempDir()
	export(t, p.Root, p.Source(), p.Now(), before)
	_, err = p.Sign("apps", "app:2", "two")
	require.NoError(t, err)
	rotateRoot(t, p, "next root")
	after := t.TempDir()
	require.NoError(t, os.CopyFS(after, os.DirFS(before)))
	written := export(t, p.Root, p.Source(), p.Now(), after)
	require.Equal(t, "timestamp.json", written[len(written)-1])
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(before)))
	old := overHTTP(t, dir, p.Root)
	for i := 0; ; i++ {
		want := map[string]string{"app:1": "one"}
		if i == len(written) {
			want["app:2"] = "two"
		}
		overHTTP(t, dir, p.Root).requireListed(p.Now(), want)
		old.requireListed(p.Now(), want)
		if i == len(written) {
			break
		}
		raw, err := os.ReadFile(filepath.Join(after, written[i]))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, written[i]), raw, 0o600))
	}
	require.Equal(t, filesIn(t, after), filesIn(t, dir))
}

// Roles that have no file name of their own are told, each once, and come in
// again.
func TestRolesThatNoFileIsCalled(t *testing.T) {
	f := newForeign(t)
	names := []string{strings.Repeat("long", 63), "x/../../y", "nul\x00", "a//b", "root.json/x", "a/.git/b"}
	want := map[string]string{}
	for i, name := range names {
		path := "odd" + string(rune('a'+i))
		f.Delegate(start, "targets", tufrepository.Delegation{Name: name, Paths: []string{path}})
		f.AddTarget(name, path, []byte(name))
		want[path] = name
	}
	f.PublishAll()
	dir := t.TempDir()
	var told []string
	_, err := openFolder(t, dir).Publish(t.Context(), f.taken(), func(s string) { told = append(told, s) })
	require.NoError(t, err)
	require.Len(t, told, len(names))
	f.trust, f.store = "oci:"+filepath.Join(t.TempDir(), "trust"), tuf.MemoryStore{}
	f.take(openFolder(t, dir))
	f.requireListed(want)
}
