package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// world is a publisher that vouches for many artifacts in a registry, and the
// same as files on a web server.
type world struct {
	testing.TB
	opts      options
	registry  *fixtures.Registry
	artifacts []tuf.Artifact
	publisher *fixtures.Publisher

	exported *fixtures.Registry // the publisher's own files
	plain    *fixtures.Registry // a TUF repository with one target for each artifact and one delegated role
	root     []byte             // of plain
}

const repository = "net-monitor"

func newWorld(t testing.TB, o options) *world {
	w := &world{TB: t, opts: o, registry: fixtures.Distribution(t)}
	w.artifacts = push(t, w.registry.Repository(t, repository), o.artifacts)
	w.publisher = fixtures.NewPublisher(t, w.registry.Host+"/trust", registrystore.Options{})
	w.publisher.Delegate("releases", "**", "releases")
	_, err := w.publisher.Vouch(tuf.Vouching{Role: "releases"}, w.artifacts...)
	require.NoError(t, err)
	w.exported = fixtures.Front(t, export(t, w.publisher))
	plain := plainRepository(w.artifacts)
	w.plain, w.root = fixtures.Front(t, plain), plain.Get("1.root.json")
	return w
}

// push stores n artifacts, which differ in an annotation, each with a tag.
func push(t testing.TB, repo *fixtures.Repository, n int) []tuf.Artifact {
	layer := repo.PushBlob(t, ocispec.MediaTypeImageLayer, []byte("content"))
	repo.PushBlob(t, ocispec.MediaTypeEmptyJSON, []byte("{}"))
	out := make([]tuf.Artifact, n)
	for i := range out {
		raw, err := json.Marshal(ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			ArtifactType: "application/vnd.example", Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer},
			Annotations: map[string]string{ocispec.AnnotationVersion: strconv.Itoa(i)},
		})
		require.NoError(t, err)
		tag := fmt.Sprintf("1.0.%d", i)
		d := repo.PushManifest(t, tag, ocispec.MediaTypeImageManifest, raw)
		out[i] = tuf.Artifact{Name: repository, Tag: tag, Digest: d.Digest, Size: d.Size, MediaType: d.MediaType, ArtifactType: "application/vnd.example"}
	}
	return out
}

// export serves what a publisher has published under the names of
// TUF files, below /metadata/.
func export(t testing.TB, p *fixtures.Publisher) http.Handler {
	trust := p.Source()
	require.NoError(t, trust.Open(t.Context()))
	files := map[string][]byte{}
	for _, f := range trust.Publication().Files() {
		var raw []byte
		var err error
		name := fmt.Sprintf("/%d.%s.json", f.Version, f.Role)
		switch f.Role {
		case metadata.RoleRoot:
			raw, err = trust.Root(t.Context(), f.Version)
		case metadata.RoleTimestamp:
			name = "/timestamp.json"
			raw, err = trust.Timestamp(t.Context())
		default:
			want := metadata.MetaFile{Version: f.Version, Length: f.Length, Hashes: metadata.SHA256(f.Digest.Encoded())}
			raw, err = trust.File(t.Context(), f.Role, want)
		}
		require.NoError(t, err)
		files[name] = raw
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		raw, ok := files[strings.TrimPrefix(req.URL.Path, "/metadata")]
		if !ok {
			http.NotFound(w, req)
			return
		}
		_, _ = w.Write(raw)
	})
}

// plainRepository is what a TUF repository needs to say of the artifacts, and
// nothing else: the case that is best for other clients.
func plainRepository(artifacts []tuf.Artifact) *tufrepository.Repository {
	r := tufrepository.New(fixtures.Epoch)
	r.Hashes = true
	r.Delegate(fixtures.Epoch, metadata.RoleTargets, tufrepository.Delegation{Name: "releases", Paths: []string{"*"}})
	for _, a := range artifacts {
		r.Signed["releases"]["targets"].(tufrepository.Object)[metadata.TagPath(a.Name, a.Tag)] = tufrepository.Object{
			"length": a.Size, "hashes": tufrepository.Object{"sha256": a.Digest.Encoded()},
		}
	}
	r.PublishAll()
	return r
}

// refs are the first n artifacts by tag or by digest, as Carnet is asked for
// them.
func (w *world) refs(n int, byDigest bool) (refs, digests []string) {
	for _, a := range w.artifacts[:n] {
		ref := w.registry.Host + "/" + repository + ":" + a.Tag
		if byDigest {
			ref = strings.TrimSuffix(ref, ":"+a.Tag) + "@" + a.Digest.String()
		}
		refs, digests = append(refs, ref), append(digests, a.Digest.String())
	}
	return refs, digests
}
