package tuf_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// into makes the trust repository one in a registry.
func (f *foreign) into(reg *fixtures.Registry) func() tuf.Importing {
	return func() tuf.Importing {
		regs, err := registrystore.New(reg.Options(), nil)
		require.NoError(f, err)
		trust, err := regs.OpenTrust(reg.Host + "/trust")
		require.NoError(f, err)
		o := f.importing(f.http())
		o.To = trust.Journal().(tuf.Destination)
		return o
	}
}

// blobs counts what was stored.
func blobs(requests []string) (puts, heads int) {
	for _, r := range requests {
		if strings.HasPrefix(r, "PUT") && strings.Contains(r, "/blobs/") {
			puts++
		}
		if strings.HasPrefix(r, "HEAD") && strings.Contains(r, "/blobs/") {
			heads++
		}
	}
	return puts, heads
}

// An import sends what changed, and where nothing did it only asks: for latest,
// and whether each file is there.
func TestImportSendsWhatChanged(t *testing.T) {
	f, reg := newForeign(t), fixtures.Distribution(t)
	f.Hashes = true
	f.grow()
	to := f.into(reg)
	run := func() (*tuf.Imported, []string) {
		reg.Reset()
		res, err := tuf.Import(t.Context(), to())
		require.NoError(t, err)
		return res, reg.Requests()
	}
	_, all := run()
	puts, _ := blobs(all)
	files := f.distinct()
	require.Equal(t, files+1, puts, "every file and the empty config")

	res, nothing := run()
	require.False(t, res.Changed)
	puts, heads := blobs(nothing)
	require.Zero(t, puts)
	require.Equal(t, files, heads)
	require.Empty(t, slices.DeleteFunc(slices.Clone(nothing), func(r string) bool { return !strings.HasPrefix(r, "PUT") && !strings.HasPrefix(r, "POST") }))

	f.AddTarget("second", "deep/er/other", []byte("new"))
	f.Publish("second", "snapshot", "timestamp")
	res, some := run()
	require.True(t, res.Changed)
	puts, _ = blobs(some)
	require.Equal(t, 3, puts, "the role, snapshot, timestamp: %v", some)
}

// What a trust repository lost of what was imported comes back from the
// source, whether there is something new or not, and whatever it is.
func TestImportStoresAgainWhatWasLost(t *testing.T) {
	for name, change := range map[string]func(*foreign){
		"nothing new":     func(*foreign) {},
		"a new timestamp": func(f *foreign) { f.Publish("timestamp") },
		"something new":   func(f *foreign) { f.PublishAll() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newForeign(t)
			f.Hashes = true
			f.Delegate(start, "targets", tufrepository.Delegation{Name: "team", Paths: []string{"*"}})
			f.AddTarget("team", "file", []byte("good"))
			for i := range 600 { // more than is inlined, in every file that readers need
				f.AddTarget("team", fmt.Sprintf("file%d", i), []byte("good"))
				f.AddTarget("targets", fmt.Sprintf("other%d", i), []byte("good"))
				f.Delegate(start, "targets", tufrepository.Delegation{Name: fmt.Sprintf("role%d", i), Paths: []string{"never"}})
			}
			f.PublishAll()
			f.take(f.http())
			for _, role := range []string{"team", "targets", "snapshot", "root"} {
				lost := f.Get(f.FileName(role, f.Version(role)))
				change(f)
				blob := f.blob(lost)
				require.NoError(t, os.Remove(blob))
				res := f.take(f.http())
				require.FileExists(t, blobOf(f, role), role)
				if name == "nothing new" {
					require.FileExists(t, blob, role)
					require.False(t, res.Changed && role == "team")
				}
				f.requireListed(map[string]string{"file": "good", "other7": "good"})
				require.Empty(t, f.told)
			}
			require.False(t, f.take(f.http()).Changed)
		})
	}
}

// distinct is how many files are served now: empty hash bins are one.
func (f *foreign) distinct() int {
	seen := map[string]bool{}
	for _, raw := range f.served() {
		seen[raw] = true
	}
	return len(seen)
}

func (f *foreign) blob(raw []byte) string {
	return filepath.Join(strings.TrimPrefix(f.trust, "oci:"), "blobs", "sha256", digest.FromBytes(raw).Encoded())
}

func blobOf(f *foreign, role string) string { return f.blob(f.Get(f.FileName(role, f.Version(role)))) }

// What neither side has any more is told.
func TestImportTellsWhatIsLostForGood(t *testing.T) {
	f := newForeign(t)
	f.Hashes = true
	first := f.root
	f.Publish("root")
	f.PublishAll()
	f.root = f.Get("2.root.json")
	f.take(f.http())
	f.Remove("1.root.json")
	require.NoError(t, os.Remove(f.blob(first)))
	require.False(t, f.take(f.http()).Changed)
	require.Len(t, f.told, 1)
	require.Contains(t, f.told[0], "lost 1 files that")
	f.requireListed(nil)
}

// An import that fails or loses an answer at any write leaves the trust
// repository as it was or as it will be, and the next one finishes.
func TestImportFailsAtEveryWrite(t *testing.T) {
	for name, then := range map[string]fixtures.Action{
		"refused": fixtures.Status(http.StatusForbidden), "dropped": fixtures.DropBefore, "answer lost": fixtures.DropAfter,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := fixtures.Distribution(t)
			f := newForeign(t)
			f.Hashes = true
			f.Delegate(start, "targets", tufrepository.Delegation{Name: "team", Paths: []string{"*"}})
			f.PublishAll()
			to := f.into(reg)
			_, err := tuf.Import(t.Context(), to())
			require.NoError(t, err)
			listed := func() int {
				o := to()
				c, err := tuf.NewClient(tuf.Options{Root: f.root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{o.To}, Now: f.now})
				require.NoError(t, err)
				require.NoError(t, c.Refresh(t.Context()))
				n := 0
				for found := true; found; n++ {
					res, err := c.Lookup(t.Context(), fmt.Sprintf("file%d", n))
					require.NoError(t, err)
					found = res.Listed
				}
				return n - 1
			}
			hits := true
			for n := 1; hits; n++ {
				f.AddTarget("team", fmt.Sprintf("file%d", n-1), []byte("content"))
				f.PublishAll()
				f.told = nil
				fault := reg.Inject(fixtures.Fault{On: fixtures.Writes, Nth: n, Then: then})
				_, err := tuf.Import(t.Context(), to())
				hits = fault.Hits() > 0
				fault.Remove()
				has := listed()
				require.True(t, has == n || has == n-1, "write %d", n)
				if err == nil && len(f.told) == 0 {
					require.Equal(t, n, has, "write %d", n)
				}
				_, err = tuf.Import(t.Context(), to())
				require.NoError(t, err, "write %d", n)
				require.Equal(t, n, listed(), "write %d", n)
				require.Less(t, n, 60)
			}
		})
	}
}

// overtaken is a trust repository into which somebody else imports first.
type overtaken struct {
	tuf.Destination
	before func()
}

func (o overtaken) Commit(ctx context.Context, pub *tuf.Publication) (tuf.Entry, error) {
	o.before()
	return o.Destination.Commit(ctx, pub)
}

// Two importers at once, of which the slower one read an older publication:
// the newer one stays the newest.
func TestImportersOvertakeEachOther(t *testing.T) {
	f, reg := newForeign(t), fixtures.Distribution(t)
	f.AddTarget("targets", "file", []byte("one"))
	f.PublishAll()
	to := f.into(reg)
	slow := to()
	slow.Store = tuf.MemoryStore{}
	slow.To = overtaken{slow.To, func() {
		f.AddTarget("targets", "other", []byte("two"))
		f.PublishAll()
		_, err := tuf.Import(t.Context(), to())
		require.NoError(t, err)
	}}
	_, err := tuf.Import(t.Context(), slow)
	require.NoError(t, err)
	c, err := tuf.NewClient(tuf.Options{Root: f.root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{to().To}, Now: f.now})
	require.NoError(t, err)
	require.NoError(t, c.Refresh(t.Context()))
	found, err := c.Lookup(t.Context(), "other")
	require.NoError(t, err)
	require.True(t, found.Listed, "latest names the newer one")
}

// A source that signs two timestamps of one version is told; the first stays.
func TestImportTellsAFork(t *testing.T) {
	f := newForeign(t)
	f.Hashes = true
	f.PublishAll()
	f.take(f.http())
	first := f.Get("timestamp.json")
	f.Expire("timestamp", start.AddDate(0, 0, 10))
	f.Republish("timestamp")
	require.False(t, f.take(f.http()).Changed)
	require.Len(t, f.told, 1)
	require.Contains(t, f.told[0], "another timestamp version 2")
	c := f.verifier()
	require.Equal(t, first, c.Timestamp().Raw)
}

// Hash bins that snapshot does not list are told, like roles.
func TestImportTellsMissingBins(t *testing.T) {
	f := newForeign(t)
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "bins", Paths: []string{"*"}})
	f.DelegateBins(start, "bins", 2, "bin", []string{"bin-0", "bin-2"})
	f.PublishAll()
	f.take(f.http())
	require.Len(t, f.told, 1)
	require.Contains(t, f.told[0], "does not list 2 hash bins")
}

// A source that gives other bytes when it is asked again is refused where
// somebody would read them.
func TestImportFromASourceThatChangesItsMind(t *testing.T) {
	f := newForeign(t)
	f.grow() // three roots
	first := true
	good, forged := f.Get("2.root.json"), tufrepository.New(start).Get("1.root.json")
	f.Answer("2.root.json", func(w http.ResponseWriter, _ *http.Request) {
		if first {
			first = false
			_, _ = w.Write(good)
			return
		}
		_, _ = w.Write(forged)
	})
	_, err := tuf.Import(t.Context(), f.importing(f.http()))
	require.True(t, errors.Is(err, tuf.ErrInvalid) || errors.Is(err, tuf.ErrThreshold), err)
	require.ErrorIs(t, f.open().Open(t.Context()), tuf.ErrNotFound, "nothing was imported")
}

// Who imports into a repository where the publisher itself writes takes
// nothing away: what the source does not have comes back with the publisher's
// next publication there.
func TestImportWhereThePublisherWrites(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("apps", "app", "dev")
	dir := t.TempDir()
	export(t, p.Root, p.Source(), p.Now(), dir)
	f := newForeign(t)
	f.root, f.now = p.Root, p.Now()
	f.take(openFolder(t, dir))
	here := p.Trust
	p.Trust = f.trust
	_, err := p.Sign("apps", "app:1", "there")
	require.NoError(t, err)
	p.Trust = here
	for _, tag := range []string{"app:2", "app:3"} {
		_, err = p.Sign("apps", tag, "here")
		require.NoError(t, err)
	}
	export(t, p.Root, p.Source(), p.Now(), dir)
	f.now = p.Now()
	require.True(t, f.take(openFolder(t, dir)).Changed)
	p.Trust = f.trust
	_, err = p.Sign("apps", "app:4", "there")
	require.NoError(t, err)
	f.now = p.Now()
	f.requireListed(map[string]string{"app:1": "there", "app:2": "here", "app:3": "here", "app:4": "there"})
}
