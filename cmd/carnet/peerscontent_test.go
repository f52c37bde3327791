package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
)

// shipment is what a tag names, an index's images, and what refers to them.
type shipment struct {
	kind      string // of a row's second column
	top       ocispec.Descriptor
	images    []ocispec.Descriptor
	referrers map[digest.Digest]digest.Digest // referrer → subject
}

// shipments stores an image, an index of two and an image whose layer is not
// compressed, each with a bill of materials and a signature.
func shipments(t *testing.T, r *fixtures.Repository) map[string]shipment {
	one := shipment{kind: "image", top: zipped(t, r, "1.0", "amd64")}
	two := shipment{kind: "index", images: []ocispec.Descriptor{zipped(t, r, "", "amd64"), zipped(t, r, "", "arm64")}}
	raw, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: two.images})
	require.NoError(t, err)
	two.top = r.PushManifest(t, "2.0", ocispec.MediaTypeImageIndex, raw)
	out := map[string]shipment{"1.0": one, "2.0": two, "3.0": {kind: "uncompressed image", top: r.PushImage(t, "3.0", "layers as they are")}}
	for tag, s := range out {
		s.referrers = map[digest.Digest]digest.Digest{}
		sbomOf := s.top
		if len(s.images) > 0 {
			sbomOf = s.images[0]
		}
		s.referrers[r.PushReferrer(t, sbomOf, "application/vnd.cyclonedx+json", "sbom of "+tag).Digest] = sbomOf.Digest
		s.referrers[r.PushReferrer(t, s.top, "application/vnd.example.signature", "signature of "+tag).Digest] = s.top.Digest
		out[tag] = s
	}
	return out
}

// zipped stores an image as builders make them: with layers in gzip.
func zipped(t *testing.T, r *fixtures.Repository, tag, arch string) ocispec.Descriptor {
	var plain, layer bytes.Buffer
	w := tar.NewWriter(&plain)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "arch", Mode: 0o644, Size: int64(len(arch))}))
	_, err := w.Write([]byte(arch))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	z := gzip.NewWriter(&layer)
	_, err = z.Write(plain.Bytes())
	require.NoError(t, err)
	require.NoError(t, z.Close())
	platform := ocispec.Platform{OS: "linux", Architecture: arch}
	config, err := json.Marshal(ocispec.Image{
		Author: "wabbit " + tag, Platform: platform,
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(plain.Bytes())}},
	})
	require.NoError(t, err)
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: r.PushBlob(t, ocispec.MediaTypeImageConfig, config),
		Layers: []ocispec.Descriptor{r.PushBlob(t, ocispec.MediaTypeImageLayerGzip, layer.Bytes())},
	})
	require.NoError(t, err)
	desc := r.PushManifest(t, tag, ocispec.MediaTypeImageManifest, raw)
	if tag == "" {
		desc.Platform = &platform
	}
	return desc
}
