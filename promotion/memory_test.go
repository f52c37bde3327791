package promotion_test

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/tuf"
)

// zeros is a blob of nothing but zeros: it has a size and a digest, and is
// kept nowhere.
type zeros struct{ ocispec.Descriptor }

func newZeros(t *testing.T, size int64) zeros {
	z := zeros{ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Size: size}}
	sum := sha256.New()
	_, err := io.Copy(sum, z.bytes())
	require.NoError(t, err)
	z.Digest = digest.NewDigest(digest.SHA256, sum)
	return z
}

func (z zeros) bytes() io.Reader { return io.LimitReader(zero{}, z.Size) }

type zero struct{}

func (zero) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// kept puts the blob into a place: in a registry it is made when it is asked
// for, in a layout it is a file without blocks.
func (z zeros) kept(t *testing.T, at *place) {
	if at.reg == nil {
		at.raw(t)
		path := filepath.Join(at.dir, "blobs", "sha256", z.Digest.Encoded())
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
		require.NoError(t, os.Truncate(path, z.Size))
		return
	}
	at.reg.Inject(fixtures.Fault{On: fixtures.Get("/blobs/" + z.Digest.String()), Then: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Length", strconv.FormatInt(z.Size, 10))
		_, _ = io.Copy(w, z.bytes())
	}})
}

// awaited lets a place take the blob without keeping it. What it returns says
// whether the blob came, whole.
func (z zeros) awaited(t *testing.T, at *place) func() bool {
	if at.reg == nil {
		return func() bool {
			info, err := os.Stat(filepath.Join(at.dir, "blobs", "sha256", z.Digest.Encoded()))
			require.NoError(t, err)
			return info.Size() == z.Size
		}
	}
	var came atomic.Bool
	at.reg.Inject(fixtures.Fault{On: func(r *http.Request) bool {
		return r.Method == http.MethodPut && r.URL.Query().Get("digest") == z.Digest.String()
	}, Then: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err == nil && digest.NewDigest(digest.SHA256, sum) == z.Digest {
			came.Store(true)
			w.WriteHeader(http.StatusCreated)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
	}})
	return came.Load
}

// allocated returns how many bytes f allocates, with the registries that it
// talks to: what is in memory at one time is less.
func allocated(f func()) int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	f()
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64() - before)
}

// A large blob takes no more memory than a small one.
func TestPromoteTakesNoMemoryForBlobs(t *testing.T) {
	const small, large = 8 << 20, 256 << 20
	blobs := map[int64]zeros{small: newZeros(t, small), large: newZeros(t, large)}
	for _, ends := range [][2]string{{"1.1", "1.1"}, {"layout", "1.1"}, {"1.1", "layout"}} {
		t.Run(ends[0]+" to "+ends[1], func(t *testing.T) {
			took := map[int64]int64{}
			for size, blob := range blobs {
				c := newCrossing(t, ends[0], ends[1])
				c.vouchFor(blob)
				came := blob.awaited(t, c.to)
				took[size] = allocated(func() {
					_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
					require.NoError(t, err)
				})
				require.True(t, came())
			}
			t.Logf("%d KB for %d MiB, %d KB for %d MiB", took[small]>>10, small>>20, took[large]>>10, large>>20)
			assert.Less(t, took[large]-took[small], int64(small/2))
			assert.Less(t, took[large], int64(16<<20))
		})
	}
}

// vouchFor stores an image with that layer at the source, signed.
func (c *crossing) vouchFor(layer zeros) {
	c.Helper()
	repo := c.from.raw(c)
	layer.kept(c.T, c.from)
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: repo.PushBlob(c, ocispec.MediaTypeImageConfig, []byte("{}")), Layers: []ocispec.Descriptor{layer.Descriptor},
	})
	require.NoError(c, err)
	image := repo.PushManifest(c, "1.0", ocispec.MediaTypeImageManifest, raw)
	_, err = c.wabbit.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: image.Digest, Size: image.Size})
	require.NoError(c, err)
}
