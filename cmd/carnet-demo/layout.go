package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layout is an OCI image layout folder (image-spec, image-layout.md) that is
// written by one process at a time.
type layout struct{ dir string }

// blob writes data under its digest, whole or not at all.
func (l layout) blob(mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	dir := filepath.Join(l.dir, ocispec.ImageBlobsDir, desc.Digest.Algorithm().String())
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return desc, err
	}
	return desc, replace(filepath.Join(dir, desc.Digest.Encoded()), data)
}

// manifest writes m and lists it in the index, under tag if there is one.
func (l layout) manifest(m ocispec.Manifest, tag string) (ocispec.Descriptor, error) {
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	raw, err := json.Marshal(m)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := l.blob(m.MediaType, raw)
	if err != nil {
		return desc, err
	}
	desc.ArtifactType = m.ArtifactType
	idx, err := l.index()
	if err != nil {
		return desc, err
	}
	if !listed(idx, desc.Digest) {
		idx.Manifests = append(idx.Manifests, desc)
	}
	if tag != "" {
		setTag(idx, tag, desc)
	}
	return desc, l.save(idx)
}

// tag lets tag name the manifest with digest d, which is in the layout.
// What the tag named stays, as it does in a registry.
func (l layout) tag(tag string, d digest.Digest) error {
	idx, err := l.index()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(idx.Manifests, func(m ocispec.Descriptor) bool { return m.Digest == d })
	if i < 0 {
		return fmt.Errorf("%s lists no manifest %s", l.dir, d)
	}
	setTag(idx, tag, idx.Manifests[i])
	return l.save(idx)
}

// setTag keeps one entry without a tag for each manifest, so that none is
// lost when a tag moves away from it.
func setTag(idx *ocispec.Index, tag string, desc ocispec.Descriptor) {
	idx.Manifests = slices.DeleteFunc(idx.Manifests, func(m ocispec.Descriptor) bool {
		return m.Annotations[ocispec.AnnotationRefName] == tag
	})
	desc.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	idx.Manifests = append(idx.Manifests, desc)
}

func listed(idx *ocispec.Index, d digest.Digest) bool {
	return slices.ContainsFunc(idx.Manifests, func(m ocispec.Descriptor) bool {
		return m.Digest == d && m.Annotations[ocispec.AnnotationRefName] == ""
	})
}

// index reads index.json; a layout that does not exist yet has an empty one.
func (l layout) index() (*ocispec.Index, error) {
	idx := &ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{},
	}
	raw, err := os.ReadFile(filepath.Join(l.dir, ocispec.ImageIndexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return idx, nil
	}
	if err != nil {
		return nil, err
	}
	return idx, json.Unmarshal(raw, idx)
}

func (l layout) save(idx *ocispec.Index) error {
	mark, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	raw, err := json.Marshal(idx)
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(l.dir, ocispec.ImageLayoutFile), mark); err != nil {
		return err
	}
	return replace(filepath.Join(l.dir, ocispec.ImageIndexFile), raw)
}

// replace writes a file so that a reader sees the old or the new one.
func replace(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
