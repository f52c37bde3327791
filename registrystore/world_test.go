package registrystore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

var ctx = context.Background()

type start func(testing.TB, ...fixtures.Option) *fixtures.Registry

// place is somewhere a repository can be.
type place struct {
	reg  *fixtures.Registry // nil for a layout
	dir  string
	name string // of the repository
	opts registrystore.Options
}

// everywhere runs a test on both kinds of registries and on a layout.
func everywhere(t *testing.T, f func(*testing.T, *place)) {
	t.Run("distribution", func(t *testing.T) { f(t, onRegistry(fixtures.Distribution(t))) })
	t.Run("1.1", func(t *testing.T) { f(t, onRegistry(fixtures.Registry11(t))) })
	t.Run("layout", func(t *testing.T) { f(t, onLayout(t)) })
}

func onRegistry(reg *fixtures.Registry) *place {
	return &place{reg: reg, name: reg.Host + "/trust", opts: reg.Options()}
}

func onLayout(t *testing.T) *place {
	dir := filepath.Join(t.TempDir(), "trust")
	return &place{dir: dir, name: "oci:" + dir}
}

// raw gives tools other than Carnet access to the same repository.
func (p *place) raw(t *testing.T) *fixtures.Repository {
	if p.reg != nil {
		return p.reg.Repository(t, "trust")
	}
	return fixtures.Layout(t, p.dir)
}

func (p *place) trust(t *testing.T, cache *registrystore.Cache) *registrystore.Trust {
	t.Helper()
	regs, err := registrystore.New(p.opts, cache)
	require.NoError(t, err)
	trust, err := regs.OpenTrust(p.name)
	require.NoError(t, err)
	return trust
}

func (p *place) artifacts(t *testing.T) *registrystore.Artifacts {
	t.Helper()
	regs, err := registrystore.New(p.opts, nil)
	require.NoError(t, err)
	repo, err := registrystore.ParseRepository(p.name, "")
	require.NoError(t, err)
	a, err := regs.Artifacts(repo)
	require.NoError(t, err)
	return a
}

// ref is a reference into the place's repository.
func (p *place) ref(t *testing.T, suffix string) registrystore.Reference {
	t.Helper()
	r, err := registrystore.ParseReference(p.name+suffix, "")
	require.NoError(t, err)
	return r
}

// publication returns one whose files are no TUF metadata: the store does not
// look into them.
func publication(version int64) *tuf.Publication {
	text := func(role string) []byte { return []byte(fmt.Sprintf("%s %d", role, version)) }
	return &tuf.Publication{
		Roots:     []tuf.File{tuf.NewFile("root", 1, []byte("root 1"))},
		Timestamp: tuf.NewFile("timestamp", 0, text("timestamp")),
		Snapshot:  tuf.NewFile("snapshot", version, text("snapshot")),
		Targets:   tuf.NewFile("targets", 1, []byte("targets 1")),
		Roles: []tuf.File{
			role("big", version, strings.Repeat("x", 40_000)+string(text("big")), "b*"),
			role("small", version, string(text("small")), "a*"),
		},
	}
}

func role(name string, version int64, content string, patterns ...string) tuf.File {
	f := tuf.NewFile(name, version, []byte(content))
	f.Patterns = patterns
	return f
}

// commit publishes and moves latest.
func commit(t *testing.T, trust *registrystore.Trust, p *tuf.Publication) tuf.Entry {
	t.Helper()
	e, err := trust.Commit(ctx, p)
	require.NoError(t, err)
	require.NoError(t, trust.Advance(ctx, p))
	return e
}

// forge puts any bytes under a tag of a layout, in place of all others.
func (p *place) forge(t *testing.T, tag string, data []byte) {
	t.Helper()
	d := digest.FromBytes(data)
	blobs := filepath.Join(p.dir, "blobs", "sha256")
	require.NoError(t, os.MkdirAll(blobs, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(blobs, d.Encoded()), data, 0o644))
	p.forgeIndex(t, fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"annotations":{"org.opencontainers.image.ref.name":%q}}]}`,
		manifestType, d, len(data), tag))
}

func (p *place) forgeIndex(t *testing.T, index string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(p.dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "index.json"), []byte(index), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

const manifestType = ocispec.MediaTypeImageManifest
