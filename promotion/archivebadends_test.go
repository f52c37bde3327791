package promotion_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// The destination dies at each write in turn: the error names it, no tag
// stands for what is not whole, whoever verifies says yes or finds nothing, and
// the same again finishes it.
func TestLoadDiesAtEveryWrite(t *testing.T) {
	g := newGap(t, "layout", "1.0")
	g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	g.to.reg.Reset()
	g.loaded("full.tar")
	writes := writesAt(g.to.reg)
	require.Greater(t, writes, 30)
	for n := 1; n <= writes; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			loadDies(t, n)
		})
	}
}

// loadDies lets the nth write fail, and all after it.
func loadDies(t *testing.T, n int) {
	g := newGap(t, "layout", "1.0")
	x := g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	var writes atomic.Int64
	f := g.to.reg.Inject(fixtures.Fault{On: func(r *http.Request) bool {
		return fixtures.Writes(r) && writes.Add(1) >= int64(n)
	}, Then: fixtures.Status(http.StatusForbidden)})
	out, err := g.load("full.tar")
	f.Remove()
	if f.Hits() == 0 { // a run may take a write less than another
		require.NoError(t, err)
		return
	}
	var side *promotion.SideError
	require.ErrorAs(t, err, &side)
	require.Equal(t, promotion.Destination, side.Side, "%v", err)
	require.ErrorContains(t, err, g.to.reg.Host)
	require.False(t, out.Done)
	_, tagged := g.to.raw(t).Target.Resolve(t.Context(), "1.0")
	require.Error(t, tagged)
	for _, remembers := range []bool{false, true} {
		require.NotEqual(t, verify.Denied, g.decide("@"+x.index.Digest.String(), remembers).Verdict)
	}
	g.loaded("full.tar")
	g.requireAllowed(":1.0")
	g.requireGraph(":1.0", x)
}

// The source fails at each read in turn: the error names it, and the file that
// was there stays.
func TestSaveFailsAtEveryRead(t *testing.T) {
	g := newGap(t, "1.0", "1.1")
	g.push("1.0")
	require.NoError(t, os.WriteFile(g.path("full.tar"), []byte("as it was"), 0o600))
	for n := int64(1); ; n++ {
		var reads atomic.Int64
		fault := fixtures.Fault{On: func(r *http.Request) bool { return reads.Add(1) >= n }, Then: fixtures.Status(http.StatusForbidden)}
		a, b := g.from.reg.Inject(fault), g.trust.Inject(fault)
		_, err := g.save("full.tar", []string{":1.0"})
		a.Remove()
		b.Remove()
		if a.Hits()+b.Hits() == 0 {
			require.NoError(t, err)
			require.Greater(t, n, int64(10))
			break
		}
		var side *promotion.SideError
		require.ErrorAs(t, err, &side)
		require.Equal(t, promotion.Source, side.Side, "%v", err)
		raw, err := os.ReadFile(g.path("full.tar"))
		require.NoError(t, err)
		require.Equal(t, "as it was", string(raw))
		list, err := os.ReadDir(g.dir)
		require.NoError(t, err)
		require.Len(t, list, 1, "nothing else is left")
	}
	g.loaded("full.tar")
}

// turning is a file whose bytes change once it was verified.
type turning struct {
	io.ReaderAt
	at     int64
	turned atomic.Bool
}

func (f *turning) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.ReaderAt.ReadAt(p, at)
	if i := f.at - at; f.turned.Load() && i >= 0 && i < int64(n) {
		p[i] ^= 1
	}
	return n, err
}

// A file that changes under the loader's hands: what is written is what was
// verified, or nothing that verifies.
func TestFileTurnsMalicious(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	x := g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	raw, err := os.ReadFile(g.path("full.tar"))
	require.NoError(t, err)
	for name, d := range map[string]digest.Digest{"image": x.images[0].Digest, "sbom": x.sbom.Digest, "content": digest.FromString("sbom")} {
		t.Run(name, func(t *testing.T) {
			g.to = places["1.1"](t)
			f := &turning{ReaderAt: strings.NewReader(string(raw)), at: int64(strings.Index(string(raw), d.Encoded()+"\x00") - len("blobs/sha256/") + 512)}
			a, err := registrystore.NewArchive("full.tar", f, int64(len(raw)))
			require.NoError(t, err)
			l := g.loader(a)
			left := a.Size()
			l.Read = func(n int64) {
				if left -= n; left == 0 {
					f.turned.Store(true)
				}
			}
			_, err = l.Load(t.Context())
			var side *promotion.SideError
			require.ErrorAs(t, err, &side)
			require.Equal(t, promotion.Source, side.Side)
			require.ErrorIs(t, err, registrystore.ErrCorrupt)
			_, err = g.to.raw(t).Target.Resolve(t.Context(), "1.0")
			require.Error(t, err)
		})
	}
}

// A file that is damaged, however little, writes nothing.
func TestDamagedFile(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	raw, err := os.ReadFile(g.path("full.tar"))
	require.NoError(t, err)
	raw[strings.Index(string(raw), digest.FromString("sbom").Encoded()+"\x00")-len("blobs/sha256/")+512] ^= 1
	require.NoError(t, os.WriteFile(g.path("full.tar"), raw, 0o600))
	_, err = g.load("full.tar")
	require.ErrorIs(t, err, registrystore.ErrCorrupt)
	require.ErrorContains(t, err, "source: ")
	g.requireNothingWritten()
}

// Somebody else takes the tag while a file is loaded: it stays his.
func TestTagIsTakenMeanwhile(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	var other digest.Digest
	g.to.reg.Inject(fixtures.Fault{On: fixtures.On(http.MethodPut, "/trust/manifests/latest"), Then: func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(w, r)
		other = g.to.raw(t).PushImage(t, "1.0", "other").Digest
	}})
	_, err := g.load("full.tar")
	require.ErrorIs(t, err, registrystore.ErrTagTaken)
	desc, err := g.to.raw(t).Target.Resolve(t.Context(), "1.0")
	require.NoError(t, err)
	require.Equal(t, other, desc.Digest)
}
