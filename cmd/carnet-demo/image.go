package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// What is attached to an image.
const (
	mediaTypeSBOM = "application/vnd.cyclonedx+json"
	mediaTypeScan = "application/vnd.wabbit-networks.build-scan.v1+json"
)

// entrypoint is where the program is in the image.
const entrypoint = "/usr/bin/carnet"

// packed is an image and what refers to it.
type packed struct{ image, sbom, scan ocispec.Descriptor }

// pack makes an image of one Go program in a layout, under a tag, and attaches
// the program's SBOM and the result of scanning its build information.
func pack(l layout, tag, program string) (packed, error) {
	var p packed
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return p, fmt.Errorf("%s is no Go program: %w", program, err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return p, err
	}
	stat, err := os.Stat(program)
	if err != nil {
		return p, err
	}
	goos, goarch := platform(info)
	if p.image, err = l.image(tag, data, stat.ModTime(), ocispec.Platform{OS: goos, Architecture: goarch}); err != nil {
		return p, err
	}
	if p.sbom, err = l.attach(p.image, mediaTypeSBOM, newSBOM(info, digest.FromBytes(data))); err != nil {
		return p, err
	}
	p.scan, err = l.attach(p.image, mediaTypeScan, newScan(info, digest.FromBytes(data)))
	return p, err
}

// image writes layer, configuration and manifest.
func (l layout) image(tag string, program []byte, built time.Time, on ocispec.Platform) (ocispec.Descriptor, error) {
	zipped, diffID, err := layer(program, built)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	layerDesc, err := l.blob(ocispec.MediaTypeImageLayerGzip, zipped)
	if err != nil {
		return layerDesc, err
	}
	raw, err := json.Marshal(imageConfig(tag, diffID, built, on))
	if err != nil {
		return layerDesc, err
	}
	config, err := l.blob(ocispec.MediaTypeImageConfig, raw)
	if err != nil {
		return config, err
	}
	return l.manifest(ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layerDesc}}, tag)
}

func imageConfig(version string, diffID digest.Digest, built time.Time, on ocispec.Platform) ocispec.Image {
	created := built.UTC().Truncate(time.Second)
	return ocispec.Image{
		Created:  &created,
		Author:   "Wabbit Networks",
		Platform: on,
		Config: ocispec.ImageConfig{
			Entrypoint: []string{entrypoint},
			Labels:     map[string]string{ocispec.AnnotationTitle: "net-monitor", ocispec.AnnotationVersion: version},
		},
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}},
		History: []ocispec.History{{Created: &created, CreatedBy: "carnet-demo image"}},
	}
}

// layer returns the compressed file system of the image, and the digest of
// what it is when it is not compressed.
func layer(program []byte, built time.Time) ([]byte, digest.Digest, error) {
	var zipped bytes.Buffer
	plain := digest.Canonical.Digester()
	gz, err := gzip.NewWriterLevel(&zipped, gzip.BestSpeed)
	if err != nil {
		return nil, "", err
	}
	t := tar.NewWriter(io.MultiWriter(gz, plain.Hash()))
	h := &tar.Header{Typeflag: tar.TypeReg, Name: entrypoint[1:], Mode: 0o755, Size: int64(len(program)), ModTime: built.Truncate(time.Second)}
	if err := t.WriteHeader(h); err != nil {
		return nil, "", err
	}
	if _, err := t.Write(program); err != nil {
		return nil, "", err
	}
	if err := t.Close(); err != nil {
		return nil, "", err
	}
	err = gz.Close() // before the bytes are taken: it writes the end
	return zipped.Bytes(), plain.Digest(), err
}

// attach writes v as an artifact that refers to subject.
func (l layout) attach(subject ocispec.Descriptor, mediaType string, v any) (ocispec.Descriptor, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	desc, err := l.blob(mediaType, raw)
	if err != nil {
		return desc, err
	}
	empty, err := l.blob(ocispec.MediaTypeEmptyJSON, ocispec.DescriptorEmptyJSON.Data)
	if err != nil {
		return empty, err
	}
	return l.manifest(ocispec.Manifest{
		ArtifactType: mediaType, Config: empty, Layers: []ocispec.Descriptor{desc},
		Subject: &ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
	}, "")
}
