package registrystore

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Child is a manifest that an index lists.
type Child struct {
	ocispec.Descriptor
	In digest.Digest // the index
}

// Manifests returns what an index lists, and what the indexes in it list
// (image-spec permits it), each manifest once, the nearest first. It reads the
// indexes alone, and fails with ErrTooLarge if something is more than 8 deep or
// they list more than 1,000 manifests together. Of anything else it returns nothing.
func (a *Artifacts) Manifests(ctx context.Context, top *Artifact) ([]Child, error) {
	var out []Child
	seen := map[digest.Digest]bool{top.Digest: true}
	level := []*Artifact{top}
	for depth := 0; len(level) > 0; depth++ {
		var next []*Artifact
		for _, index := range level {
			for _, m := range index.Manifests {
				if seen[m.Digest] {
					continue
				}
				seen[m.Digest] = true
				out = append(out, Child{m, index.Digest})
				if len(out) > maxChildren {
					return nil, a.nested(top, fmt.Errorf("an index with more than %d manifests in all", maxChildren))
				}
				if depth == maxNested {
					return nil, a.nested(top, fmt.Errorf("indexes in indexes, more than %d deep", maxNested))
				}
				if !isIndex(m.MediaType) {
					continue
				}
				below, err := a.Read(ctx, Reference{Digest: m.Digest})
				if err != nil {
					return nil, err
				}
				next = append(next, below)
			}
		}
		level = next
	}
	return out, nil
}

// isIndex reports whether a descriptor is of an index, of OCI's or Docker's
// kind. One that says something else is not followed: what is in it is vouched
// for by nobody.
func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == "application/vnd.docker.distribution.manifest.list.v2+json"
}

func (a *Artifacts) nested(top *Artifact, err error) error {
	return &Error{Repository: a.name, Op: "read " + top.Digest.String(), Kind: ErrTooLarge, Err: err}
}
