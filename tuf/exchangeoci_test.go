package tuf_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	tufmeta "github.com/theupdateframework/go-tuf/v2/metadata"
	"oras.land/oras-go/v2"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// goTUF is a repository made with go-tuf's own types: files by name as it
// would publish them.
type goTUF struct {
	*testing.T
	keys  map[string]ed25519.PrivateKey
	files map[string][]byte
	snap  *tufmeta.Metadata[tufmeta.SnapshotType]
	root  *tufmeta.Metadata[tufmeta.RootType]
}

func (g *goTUF) key(name string) *tufmeta.Key {
	if g.keys[name] == nil {
		_, private, err := ed25519.GenerateKey(nil)
		require.NoError(g, err)
		g.keys[name] = private
	}
	key, err := tufmeta.KeyFromPublicKey(g.keys[name].Public())
	require.NoError(g, err)
	return key
}

func (g *goTUF) id(name string) string {
	id, err := g.key(name).ID()
	require.NoError(g, err)
	return id
}

func (g *goTUF) signer(name string) signature.Signer {
	s, err := signature.LoadSigner(g.keys[name], crypto.Hash(0))
	require.NoError(g, err)
	return s
}

// signGoTUF signs a role's file and takes its bytes.
func signGoTUF[T tufmeta.Roles](g *goTUF, role string, version int64, m *tufmeta.Metadata[T], signers ...string) {
	g.Helper()
	m.ClearSignatures()
	for _, name := range signers {
		_, err := m.Sign(g.signer(name))
		require.NoError(g, err)
	}
	raw, err := m.ToBytes(false)
	require.NoError(g, err)
	name := fmt.Sprintf("%d.%s.json", version, role)
	if role == "timestamp" {
		name = "timestamp.json"
	}
	g.files[name] = raw
	if role != "root" && role != "timestamp" && role != "snapshot" {
		g.snap.Signed.Meta[role+".json"] = tufmeta.MetaFile(version)
	}
}

// newGoTUF makes a repository with two roots, three levels of delegation and
// hash bins.
func newGoTUF(t *testing.T) *goTUF {
	expires := start.Add(30 * 24 * time.Hour)
	g := &goTUF{T: t, keys: map[string]ed25519.PrivateKey{}, files: map[string][]byte{}, snap: tufmeta.Snapshot(expires), root: tufmeta.Root(expires)}
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		require.NoError(t, g.root.Signed.AddKey(g.key(role), role))
	}
	signGoTUF(g, "root", 1, g.root, "root")
	require.NoError(t, g.root.Signed.RevokeKey(g.id("root"), "root"))
	require.NoError(t, g.root.Signed.AddKey(g.key("next root"), "root"))
	g.root.Signed.Version = 2
	signGoTUF(g, "root", 2, g.root, "root", "next root")

	first, second, third, bins := tufmeta.Targets(expires), tufmeta.Targets(expires), tufmeta.Targets(expires), tufmeta.Targets(expires)
	top := tufmeta.Targets(expires)
	g.delegate(top, "first", "deep/*/*")
	g.delegate(top, "bins", "binned*")
	g.delegate(first, "second.role", "deep/er/*")
	g.delegate(second, "third", "deep/er/file")
	g.list(third, "deep/er/file", "deep")
	bins.Signed.Delegations = &tufmeta.Delegations{
		Keys:          map[string]*tufmeta.Key{g.id("bin"): g.key("bin")},
		SuccinctRoles: &tufmeta.SuccinctRoles{KeyIDs: []string{g.id("bin")}, Threshold: 1, BitLength: 3, NamePrefix: "bin"},
	}
	for i := range 8 {
		bin := tufmeta.Targets(expires)
		name := "bin-" + strconv.FormatInt(int64(i), 16)
		if bins.Signed.Delegations.SuccinctRoles.GetRolesForTarget("binned")[0].Name == name {
			g.list(bin, "binned", "binned")
		}
		signGoTUF(g, name, 1, bin, "bin")
	}
	signGoTUF(g, "first", 1, first, "first")
	signGoTUF(g, "second.role", 1, second, "second.role")
	signGoTUF(g, "third", 1, third, "third")
	signGoTUF(g, "bins", 1, bins, "bins")
	signGoTUF(g, "targets", 1, top, "targets")
	signGoTUF(g, "snapshot", 1, g.snap, "snapshot")
	signGoTUF(g, "timestamp", 1, tufmeta.Timestamp(expires), "timestamp")
	return g
}

func (g *goTUF) delegate(m *tufmeta.Metadata[tufmeta.TargetsType], role string, paths ...string) {
	if m.Signed.Delegations == nil {
		m.Signed.Delegations = &tufmeta.Delegations{Keys: map[string]*tufmeta.Key{}}
	}
	k := g.key(role)
	m.Signed.Delegations.Keys[g.id(role)] = k
	m.Signed.Delegations.Roles = append(m.Signed.Delegations.Roles, tufmeta.DelegatedRole{
		Name: role, KeyIDs: []string{g.id(role)}, Threshold: 1, Paths: paths,
	})
}

func (g *goTUF) list(m *tufmeta.Metadata[tufmeta.TargetsType], path, content string) {
	info, err := tufmeta.TargetFile().FromBytes(path, []byte(content), "sha256")
	require.NoError(g, err)
	m.Signed.Targets[path] = info
}

var goTUFLists = map[string]string{"deep/er/file": "deep", "binned": "binned"}

// What go-tuf made is imported from a folder, verified, and exported with the
// same bytes, which go-tuf follows.
func TestImportWhatGoTUFMade(t *testing.T) {
	g := newGoTUF(t)
	dir, out := t.TempDir(), t.TempDir()
	want := map[string]string{}
	for name, raw := range g.files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
		want[name] = string(raw)
	}
	f := newForeign(t)
	f.root = g.files["1.root.json"]
	f.take(openFolder(t, dir))
	f.requireListed(goTUFLists)
	export(t, f.root, f.open(), f.now, out)
	require.Equal(t, want, filesIn(t, out))
	overHTTP(t, out, f.root).requireListed(f.now, goTUFLists)
}

// mirrorTUF stores a repository's files as OCI mirrors of TUF do: the top level
// under tag, each delegated role under its name.
func mirrorTUF(t *testing.T, at oras.Target, tag string, files map[string][]byte) {
	t.Helper()
	byTag := map[string][]ocispec.Descriptor{}
	for name, raw := range files {
		role := strings.TrimSuffix(name, ".json")
		if _, after, ok := strings.Cut(role, "."); ok {
			role = after
		}
		if metadata.IsTopLevel(role) {
			role = tag
		}
		desc := push(t, at, metadata.MediaTypeFile, raw)
		desc.Annotations = map[string]string{"tuf.io/filename": name}
		byTag[role] = append(byTag[role], desc)
	}
	for tag, layers := range byTag {
		config := push(t, at, ocispec.MediaTypeImageConfig, []byte("{}"))
		raw, err := json.Marshal(ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers,
		})
		require.NoError(t, err)
		require.NoError(t, at.Tag(t.Context(), push(t, at, ocispec.MediaTypeImageManifest, raw), tag))
	}
}

func push(t *testing.T, at oras.Target, mediaType string, raw []byte) ocispec.Descriptor {
	t.Helper()
	desc, err := oras.PushBytes(t.Context(), at, mediaType, raw)
	require.NoError(t, err)
	return desc
}

// The OCI form of TUF mirrors is read like any other repository.
func TestImportFromAnOCIMirror(t *testing.T) {
	for name, start := range map[string]func(testing.TB, ...fixtures.Option) *fixtures.Registry{"1.0": fixtures.Distribution, "1.1": fixtures.Registry11} {
		t.Run(name, func(t *testing.T) {
			g, reg := newGoTUF(t), start(t)
			mirrorTUF(t, reg.Repository(t, "tuf/metadata").Target, "latest", g.files)
			f := newForeign(t)
			f.root = g.files["1.root.json"]
			res := f.take(ociMirror(t, reg, "/tuf/metadata"))
			require.EqualValues(t, 2, res.Root)
			f.requireListed(goTUFLists)
			require.False(t, f.take(ociMirror(t, reg, "/tuf/metadata")).Changed)
		})
	}
}

func ociMirror(t *testing.T, reg *fixtures.Registry, path string) *registrystore.TUFMirror {
	t.Helper()
	regs, err := registrystore.New(reg.Options(), nil)
	require.NoError(t, err)
	m, err := regs.TUFMirror(reg.Host + path)
	require.NoError(t, err)
	return m
}

// A mirror that lacks something, or is none, is told; nothing is imported.
func TestImportFromABrokenOCIMirror(t *testing.T) {
	g, reg := newGoTUF(t), fixtures.Registry11(t)
	without := func(drop string) map[string][]byte {
		files := map[string][]byte{}
		for name, raw := range g.files {
			if name != drop {
				files[name] = raw
			}
		}
		return files
	}
	mirrorTUF(t, reg.Repository(t, "norole").Target, "v1", without("1.third.json"))
	mirrorTUF(t, reg.Repository(t, "notimestamp").Target, "v1", without("timestamp.json"))
	reg.Repository(t, "image").PushImage(t, "v1", "an image")
	fixtures.NewPublisher(t, reg.Host+"/carnet", reg.Options())
	f := newForeign(t)
	f.root = g.files["1.root.json"]
	for path, want := range map[string]string{
		"/norole:v1": "1.third.json", "/notimestamp:v1": "timestamp.json", "/image:v1": "timestamp.json", "/absent:v1": "not found", "/carnet": "carnet sync",
	} {
		_, err := tuf.Import(t.Context(), f.importing(ociMirror(t, reg, path)))
		require.ErrorContains(t, err, want, path)
		require.ErrorIs(t, err, tuf.ErrUnreachable, path)
	}
	require.ErrorIs(t, f.open().Open(t.Context()), tuf.ErrNotFound, "nothing was imported")
}

// hostile are sources that break a bound; each import ends with an error, and
// the trust repository keeps what it had.
func TestImportFromHostileSources(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}
	slow := func(w http.ResponseWriter, req *http.Request) { <-req.Context().Done() }
	for name, c := range map[string]struct {
		spoil func(f *foreign)
		want  string
	}{
		"endless timestamp": {func(f *foreign) { f.Answer("timestamp.json", endless) }, "longer than is allowed"},
		"endless role":      {func(f *foreign) { f.Answer(f.FileName("team", f.Version("team")), endless) }, "longer than is allowed"},
		"slow role":         {func(f *foreign) { f.Answer(f.FileName("team", f.Version("team")), slow) }, "deadline exceeded"},
		"missing role":      {func(f *foreign) { f.Remove(f.FileName("team", f.Version("team"))) }, "404"},
		"another role's file": {func(f *foreign) {
			f.Put(f.FileName("team", f.Version("team")), f.Get(f.FileName("targets", f.Version("targets"))))
		}, "bytes where at most"},
		"thousands of roles": {func(f *foreign) {
			for i := range tuf.MaxGatheredRoles {
				f.Signed["snapshot"]["meta"].(tufrepository.Object)["r"+strconv.Itoa(i)+".json"] = tufrepository.Object{"version": 1}
			}
			f.Publish("snapshot", "timestamp")
		}, "at most 20000"},
		"too much in all": {func(f *foreign) {
			for i := range 10 {
				f.Signed["snapshot"]["meta"].(tufrepository.Object)["r"+strconv.Itoa(i)+".json"] = tufrepository.Object{"version": 1, "length": metadata.MaxTargets}
			}
			f.Publish("snapshot", "timestamp")
		}, "bytes in all"},
		"not signed by enough": {func(f *foreign) {
			f.Signers["team"] = []*tufrepository.Key{tufrepository.NewKey("thief")}
			f.Publish("team", "snapshot", "timestamp")
		}, "want signatures by 1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForeign(t)
			f.Hashes = name == "another role's file"
			f.Delegate(start, "targets", tufrepository.Delegation{Name: "team", Paths: []string{"*"}})
			f.AddTarget("team", "file", []byte("good"))
			f.PublishAll()
			f.take(f.http())
			was := f.verifier().Timestamp().Version
			f.PublishAll()
			c.spoil(f)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if name == "slow role" {
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), 300*time.Millisecond)
			}
			defer cancel()
			_, err := tuf.Import(ctx, f.importing(f.http()))
			require.ErrorContains(t, err, c.want)
			f.requireListed(map[string]string{"file": "good"})
			require.Equal(t, was, f.verifier().Timestamp().Version)
		})
	}
}

// What no delegation leads to is taken by its hash, and left out without one.
func TestImportOfWhatNoDelegationLeadsTo(t *testing.T) {
	f := newForeign(t)
	f.Delegate(start, "targets", tufrepository.Delegation{Name: "gone", Paths: []string{"*"}})
	f.PublishAll()
	delete(f.Signed["targets"], "delegations")
	f.Publish("targets", "snapshot", "timestamp")
	f.take(f.http())
	require.Len(t, f.told, 1)
	require.Contains(t, f.told[0], `left out: "gone"`)
	f.Hashes = true
	f.PublishAll()
	f.take(f.http())
	require.Len(t, f.told, 1)
	trust := f.open()
	require.NoError(t, trust.Open(t.Context()))
	file, ok := trust.Publication().Role("gone")
	require.True(t, ok)
	require.Equal(t, digest.FromBytes(f.Get(f.FileName("gone", f.Version("gone")))), file.Digest)
}

// Nothing in a folder leads out of it.
func TestFolderHasNoWayOut(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret.json"), []byte("secret"), 0o600))
	inner := filepath.Join(dir, "inner")
	folder := openFolder(t, inner)
	folder.SetConsistentSnapshot(false)
	require.NoError(t, os.Symlink("../secret.json", filepath.Join(inner, "timestamp.json")))
	_, err := folder.Timestamp(t.Context())
	require.Error(t, err)
	for _, role := range []string{"../secret", "x/../../secret", "..//secret", filepath.Join(dir, "secret")} {
		_, err := folder.File(t.Context(), role, metadata.MetaFile{Version: 1, Length: -1})
		require.ErrorIs(t, err, tuf.ErrNotFound, role)
	}
}

// A folder that cannot take everything keeps what it had, whole.
func TestFailedExportLeavesTheOldOne(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("apps", "app", "dev")
	dir := t.TempDir()
	export(t, p.Root, p.Source(), p.Now(), dir)
	_, err := p.Sign("apps", "app:1", "one")
	require.NoError(t, err)
	before := filesIn(t, dir)
	c := p.Client()
	pub, err := c.Gather(t.Context(), tuf.Gathering{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = openFolder(t, dir).Publish(ctx, pub, nil)
	require.True(t, errors.Is(err, context.Canceled), err)
	require.Equal(t, before, filesIn(t, dir))
	overHTTP(t, dir, p.Root).requireListed(p.Now(), nil)
}
