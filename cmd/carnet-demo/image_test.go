package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// self is a Go program with build information: this test.
func self(t *testing.T) string {
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// read returns a blob of the layout after checking it against its descriptor.
func read(t *testing.T, l layout, desc ocispec.Descriptor) []byte {
	raw, err := os.ReadFile(filepath.Join(l.dir, "blobs", "sha256", desc.Digest.Encoded()))
	require.NoError(t, err)
	require.Equal(t, desc.Digest, digest.FromBytes(raw))
	require.Equal(t, desc.Size, int64(len(raw)))
	return raw
}

func decode[T any](t *testing.T, raw []byte) (v T) {
	require.NoError(t, json.Unmarshal(raw, &v))
	return v
}

func TestPack(t *testing.T) {
	l := layout{filepath.Join(t.TempDir(), "net-monitor")}
	p, err := pack(l, "1.0", self(t))
	require.NoError(t, err)
	program, err := os.ReadFile(self(t))
	require.NoError(t, err)

	m := decode[ocispec.Manifest](t, read(t, l, p.image))
	assert.Equal(t, ocispec.MediaTypeImageManifest, m.MediaType)
	config := decode[ocispec.Image](t, read(t, l, m.Config))
	assert.Equal(t, "1.0", config.Config.Labels[ocispec.AnnotationVersion])
	assert.NotEmpty(t, config.OS)
	assert.NotEmpty(t, config.Architecture)

	require.Len(t, m.Layers, 1)
	plain := unzip(t, read(t, l, m.Layers[0]))
	assert.Equal(t, []digest.Digest{digest.FromBytes(plain)}, config.RootFS.DiffIDs)
	files := tar.NewReader(bytes.NewReader(plain))
	h, err := files.Next()
	require.NoError(t, err)
	assert.Equal(t, "usr/bin/carnet", h.Name)
	assert.EqualValues(t, 0o755, h.Mode)
	data, err := io.ReadAll(files)
	require.NoError(t, err)
	assert.Equal(t, digest.FromBytes(program), digest.FromBytes(data), "the program in the layer")
	_, err = files.Next()
	assert.ErrorIs(t, err, io.EOF)
}

func unzip(t *testing.T, raw []byte) []byte {
	gz, err := gzip.NewReader(bytes.NewReader(raw))
	require.NoError(t, err)
	plain, err := io.ReadAll(gz)
	require.NoError(t, err)
	return plain
}

func TestPackAttaches(t *testing.T) {
	l := layout{filepath.Join(t.TempDir(), "net-monitor")}
	p, err := pack(l, "1.0", self(t))
	require.NoError(t, err)
	info, err := buildinfo.ReadFile(self(t))
	require.NoError(t, err)
	for mediaType, desc := range map[string]ocispec.Descriptor{mediaTypeSBOM: p.sbom, mediaTypeScan: p.scan} {
		m := decode[ocispec.Manifest](t, read(t, l, desc))
		assert.Equal(t, mediaType, m.ArtifactType)
		require.NotNil(t, m.Subject)
		assert.Equal(t, p.image.Digest, m.Subject.Digest)
		assert.Equal(t, p.image.Size, m.Subject.Size)
		assert.Equal(t, ocispec.DescriptorEmptyJSON.Digest, m.Config.Digest)
		read(t, l, m.Config)
		require.Len(t, m.Layers, 1)
		raw := read(t, l, m.Layers[0])
		if mediaType == mediaTypeSBOM {
			assert.Len(t, decode[sbom](t, raw).Components, len(info.Deps)+1, "every module, and the standard library")
		} else {
			assert.Equal(t, len(info.Deps), decode[scan](t, raw).Modules)
		}
	}
}

func TestPackRefusesWhatIsNoProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(file, []byte("no program"), 0o644))
	_, err := pack(layout{t.TempDir()}, "1.0", file)
	assert.ErrorContains(t, err, "is no Go program")
}

func TestSamePackTwiceIsTheSame(t *testing.T) {
	one, err := pack(layout{t.TempDir()}, "1.0", self(t))
	require.NoError(t, err)
	two, err := pack(layout{t.TempDir()}, "1.0", self(t))
	require.NoError(t, err)
	assert.Equal(t, one, two)
	other, err := pack(layout{t.TempDir()}, "1.1", self(t))
	require.NoError(t, err)
	assert.NotEqual(t, one.image.Digest, other.image.Digest)
}

// entries lists the index as tag to digest; "" has all without a tag.
func entries(t *testing.T, l layout) (tags map[string]digest.Digest, untagged []digest.Digest) {
	idx, err := l.index()
	require.NoError(t, err)
	tags = map[string]digest.Digest{}
	for _, m := range idx.Manifests {
		if tag := m.Annotations[ocispec.AnnotationRefName]; tag != "" {
			require.NotContains(t, tags, tag, "a tag names one manifest")
			tags[tag] = m.Digest
			continue
		}
		untagged = append(untagged, m.Digest)
	}
	return tags, untagged
}

func TestMovedTagLosesNoManifest(t *testing.T) {
	l := layout{t.TempDir()}
	one, err := l.manifest(ocispec.Manifest{ArtifactType: "a/one"}, "1.0")
	require.NoError(t, err)
	two, err := l.manifest(ocispec.Manifest{ArtifactType: "a/two"}, "1.1")
	require.NoError(t, err)
	require.NoError(t, l.tag("1.1", one.Digest))

	tags, untagged := entries(t, l)
	assert.Equal(t, map[string]digest.Digest{"1.0": one.Digest, "1.1": one.Digest}, tags)
	assert.ElementsMatch(t, []digest.Digest{one.Digest, two.Digest}, untagged)
	require.NoError(t, l.tag("1.1", two.Digest), "and back")
	tags, _ = entries(t, l)
	assert.Equal(t, two.Digest, tags["1.1"])
	assert.ErrorContains(t, l.tag("1.1", digest.FromString("nothing")), "lists no manifest")
}

func TestLayoutMarks(t *testing.T) {
	l := layout{t.TempDir()}
	_, err := l.manifest(ocispec.Manifest{}, "1.0")
	require.NoError(t, err)
	raw, err := os.ReadFile(filepath.Join(l.dir, "oci-layout"))
	require.NoError(t, err)
	assert.JSONEq(t, `{"imageLayoutVersion":"1.0.0"}`, string(raw))
}
