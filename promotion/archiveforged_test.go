package promotion_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// forgery is an archive in the hands of somebody who may change all of it.
type forgery struct {
	*gap
	index ocispec.Index
	blobs map[string][]byte
}

func (g *gap) forge(name string) *forgery {
	f := &forgery{gap: g, blobs: map[string][]byte{}}
	raw, err := os.ReadFile(g.path(name))
	require.NoError(g, err)
	for r := tar.NewReader(bytes.NewReader(raw)); ; {
		hdr, err := r.Next()
		if err == io.EOF {
			return f
		}
		require.NoError(g, err)
		data, err := io.ReadAll(r)
		require.NoError(g, err)
		if hdr.Name == ocispec.ImageIndexFile {
			require.NoError(g, json.Unmarshal(data, &f.index))
		} else if strings.HasPrefix(hdr.Name, "blobs/sha256/") && len(data) > 0 {
			f.blobs[digest.FromBytes(data).Encoded()] = data
		}
	}
}

func (f *forgery) write(name string) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	put := func(name string, raw []byte) {
		require.NoError(f, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(raw))}))
		_, err := w.Write(raw)
		require.NoError(f, err)
	}
	put(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	raw, err := json.Marshal(f.index)
	require.NoError(f, err)
	put(ocispec.ImageIndexFile, raw)
	for d, raw := range f.blobs {
		put("blobs/sha256/"+d, raw)
	}
	require.NoError(f, w.Close())
	require.NoError(f, os.WriteFile(f.path(name), buf.Bytes(), 0o600))
}

// without takes entries out of index.json.
func (f *forgery) without(gone func(ocispec.Descriptor) bool) {
	f.index.Manifests = slices.DeleteFunc(f.index.Manifests, gone)
}

func isTrust(d ocispec.Descriptor) bool { return d.Annotations[metadata.AnnotationPublisher] != "" }

func index(list ...ocispec.Descriptor) ocispec.Index {
	return ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list}
}

// vouch lets the publisher sign an artifact as it is.
func (g *gap) vouch(tag string, d ocispec.Descriptor) {
	g.Helper()
	_, err := g.wabbit.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: tag, Digest: d.Digest, Size: d.Size})
	require.NoError(g, err)
}

// An index in an index has an image that was withdrawn: it takes the whole
// along, however deep it stands.
func TestArchiveOfAnIndexWithinAnIndexThatIsWithdrawnBelow(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	repo := g.from.raw(t)
	inner, images := repo.PushIndex(t, "", "inner")
	raw, err := json.Marshal(index(ocispec.Descriptor{MediaType: inner.MediaType, Digest: inner.Digest, Size: inner.Size}))
	require.NoError(t, err)
	outer := repo.PushManifest(t, "1.0", ocispec.MediaTypeImageIndex, raw)
	g.vouch("1.0", outer)
	g.withdraw(images[1].Digest)
	g.saved("full.tar", []string{":1.0"})
	out, err := g.load("full.tar")
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
	require.Contains(t, out.Artifacts[0].Withdrawn, images[1].Digest.String())
	g.requireNothingWritten()

	_, err = g.promoter().Promote(t.Context(), g.ref(g.from, ":1.0"), g.ref(g.to, ":1.0"))
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
	require.ErrorContains(t, err, images[1].Digest.String())
	g.requireNothingWritten()
}

// Anybody may let an index refer to an artifact: by its entries nothing that is
// withdrawn comes along.
func TestArchiveOfAReferrerThatListsWhatIsWithdrawn(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	x := g.push("1.0")
	repo := g.from.raw(t)
	bad := repo.PushImage(t, "bad", "bad")
	g.withdraw(bad.Digest)
	refers := index(ocispec.Descriptor{MediaType: bad.MediaType, Digest: bad.Digest, Size: bad.Size})
	refers.Subject = &x.index
	refers.ArtifactType = "application/vnd.example.more"
	raw, err := json.Marshal(refers)
	require.NoError(t, err)
	more := repo.PushManifest(t, "", ocispec.MediaTypeImageIndex, raw)
	g.saved("full.tar", []string{":1.0"})
	require.True(t, g.open("full.tar").Has(bad.Digest))
	g.loaded("full.tar")
	absent := func() {
		t.Helper()
		for _, d := range []digest.Digest{more.Digest, bad.Digest} {
			_, err = g.to.raw(t).Target.Resolve(t.Context(), d.String())
			require.Error(t, err)
		}
		require.Contains(t, strings.Join(g.notes, "\n"), more.Digest.String()+" is left out")
	}
	absent()
	g.to, g.notes = places["1.1"](t), nil
	p := g.promoter()
	p.Note = g.note
	_, err = p.Promote(t.Context(), g.ref(g.from, ":1.0"), g.ref(g.to, ":1.0"))
	require.NoError(t, err)
	absent()
}

// What was withdrawn before it came is left out. A later file, in which
// something refers to it, can be loaded all the same.
func TestArchiveWithAReferrerOfWhatWasLeftOut(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	x := g.push("1.0")
	g.withdraw(x.sbom.Digest)
	g.saved("full.tar", []string{":1.0"})
	g.loaded("full.tar")
	late := g.from.raw(t).PushReferrer(t, x.sbom, "application/vnd.example.late", "late")
	kept := g.from.raw(t).PushReferrer(t, x.index, "application/vnd.example.kept", "kept")
	g.saved("one.tar", []string{":1.0"}, "full.tar")
	g.loaded("one.tar")
	_, err := g.to.raw(t).Target.Resolve(t.Context(), late.Digest.String())
	require.Error(t, err)
	_, err = g.to.raw(t).Target.Resolve(t.Context(), kept.Digest.String())
	require.NoError(t, err)
}

// The file has no trust of its own, only what is attached; the destination's
// trust repository knows of a withdrawal.
func TestArchiveByAttachmentAloneOfWhatTheDestinationWithdrew(t *testing.T) {
	g := newGap(t, "1.1", "1.0")
	x := g.push("1.0")
	mid := places["1.0"](t)
	_, err := g.promoter().Promote(t.Context(), g.ref(g.from, ":1.0"), g.ref(mid, ":1.0"))
	require.NoError(t, err)
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(t, err)
	s := promotion.Saver{From: regs, Now: g.wabbit.Now, Note: g.note}
	_, err = s.Save(t.Context(), g.path("attached.tar"), []registrystore.Reference{g.ref(mid, ":1.0")}, nil)
	require.NoError(t, err)
	g.withdraw(x.index.Digest)
	g.saved("trust.tar", nil)
	g.loaded("trust.tar")
	// Another machine, which knows the root alone.
	g.states, g.cache = verify.OpenStates(t.TempDir()), nil
	g.to.reg.Reset()
	_, err = g.load("attached.tar")
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
	g.requireNothingWritten()
}

// Trust is written to no repository that has artifacts, whatever the file calls
// it.
func TestArchiveOfTrustThatIsCalledLikeAnArtifact(t *testing.T) {
	for _, to := range []string{"1.0", "layout"} {
		g := newGap(t, "1.1", to)
		g.push("1.0")
		g.saved("full.tar", []string{":1.0"})
		g.loaded("full.tar")
		g.push("1.1")
		g.saved("trust.tar", nil)
		f := g.forge("trust.tar")
		for i, d := range f.index.Manifests {
			d.Annotations[metadata.AnnotationRepository] = "registry.example/net-monitor"
			_, tag, _ := strings.Cut(d.Annotations[ocispec.AnnotationRefName], "trust:")
			d.Annotations[ocispec.AnnotationRefName] = "registry.example/net-monitor:" + tag
			f.index.Manifests[i] = d
		}
		f.write("forged.tar")
		_, err := g.load("forged.tar")
		require.Error(t, err)
		_, err = g.to.raw(t).Target.Resolve(t.Context(), "latest")
		require.Error(t, err)
	}
}

// States in a file that does not say that they are trust are artifacts that
// nobody vouches for.
func TestArchiveOfTrustThatIsSaidToBeArtifacts(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	for _, tagged := range []bool{true, false} {
		f := g.forge("full.tar")
		for _, d := range f.index.Manifests {
			if isTrust(d) {
				delete(d.Annotations, metadata.AnnotationPublisher)
			}
		}
		if !tagged {
			f.without(func(d ocispec.Descriptor) bool {
				return strings.Contains(d.Annotations[ocispec.AnnotationRefName], ":state.")
			})
		}
		f.write("forged.tar")
		_, err := g.load("forged.tar")
		require.Error(t, err)
		g.requireNothingWritten()
	}
}

// Manifests that do not say their media type, as OCI allows, arrive.
func TestArchiveOfManifestsWithoutAMediaType(t *testing.T) {
	for _, from := range []string{"1.0", "layout"} {
		for _, to := range []string{"1.0", "1.1", "layout"} {
			g := newGap(t, from, to)
			repo := g.from.raw(t)
			config := repo.PushBlob(t, ocispec.MediaTypeImageConfig, []byte("{}"))
			raw, err := json.Marshal(map[string]any{"schemaVersion": 2, "config": config, "layers": []any{}})
			require.NoError(t, err)
			image := repo.PushManifest(t, "", ocispec.MediaTypeImageManifest, raw)
			raw, err = json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []any{image}})
			require.NoError(t, err)
			top := repo.PushManifest(t, "1.0", ocispec.MediaTypeImageIndex, raw)
			g.vouch("1.0", top)
			g.saved("full.tar", []string{":1.0"})
			g.loaded("full.tar")
			g.requireAllowed(":1.0")
			for _, want := range []ocispec.Descriptor{top, image} {
				desc, err := g.to.raw(t).Target.Resolve(t.Context(), want.Digest.String())
				require.NoError(t, err, "%s to %s", from, to)
				if to != "layout" {
					require.Equal(t, want.MediaType, desc.MediaType)
				}
			}
		}
	}
}

// An index that another one lists as an image would not be looked into for what
// is withdrawn: it is not copied.
func TestIndexThatIsListedAsAnImageIsNotPromoted(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	repo := g.from.raw(t)
	inner, images := repo.PushIndex(t, "", "inner")
	raw, err := json.Marshal(index(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: inner.Digest, Size: inner.Size}))
	require.NoError(t, err)
	outer := repo.PushManifest(t, "1.0", ocispec.MediaTypeImageIndex, raw)
	g.vouch("1.0", outer)
	g.withdraw(images[1].Digest)
	_, err = g.promoter().Promote(t.Context(), g.ref(g.from, ":1.0"), g.ref(g.to, ":1.0"))
	require.ErrorContains(t, err, "an index that is listed as")
	g.requireNothingWritten()
	g.saved("full.tar", []string{":1.0"})
	_, err = g.load("full.tar")
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
	g.requireNothingWritten()
}
