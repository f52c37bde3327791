package registrystore

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Place is where archives are loaded: a registry, a path in one, or a folder
// of image layouts.
type Place struct {
	prefix     string // "host[:port][/path]", or "oci:DIR"
	layoutRoot string
}

// ParsePlace reads "host[:port][/path]" or "oci:DIR". LayoutRoot is as in
// [ParseRepository].
func ParsePlace(s, layoutRoot string) (Place, error) {
	s = strings.TrimSuffix(s, "/")
	p := Place{prefix: s, layoutRoot: layoutRoot}
	if s == strings.TrimSuffix(layoutScheme, "/") {
		return p, fmt.Errorf("%w: oci: without a folder", ErrReference)
	}
	if _, err := p.Repository("registry.example/any"); err != nil {
		return p, fmt.Errorf("want HOST[:PORT][/PATH] or oci:DIR, a place to load to: %w", err)
	}
	return p, nil
}

func (p Place) String() string { return p.prefix }

// Repository returns where what was saved from a repository is loaded to: its
// path, without the registry, behind the place.
func (p Place) Repository(archived string) (Repository, error) {
	path := ArchivedPath(archived)
	if strings.HasPrefix(p.prefix, layoutScheme) {
		for _, part := range strings.Split(path, "/") {
			if slices.Contains([]string{ocispec.ImageBlobsDir, ocispec.ImageIndexFile, ocispec.ImageLayoutFile}, part) {
				return Repository{}, fmt.Errorf("%w: %s: a part of the path is called %q, like a file of image layouts: load it to a registry", ErrReference, archived, part)
			}
		}
		path = filepath.FromSlash(path)
	}
	return ParseRepository(p.prefix+"/"+path, p.layoutRoot)
}

// Contains reports whether a repository is at the place or below it.
func (p Place) Contains(r Repository) bool {
	if !r.IsLayout() {
		return strings.HasPrefix(r.String(), p.prefix+"/")
	}
	dir, ok := strings.CutPrefix(p.prefix, layoutScheme)
	if !ok {
		return false
	}
	return strings.HasPrefix(r.Absolute(), Repository{Dir: dir}.Absolute()+string(filepath.Separator))
}

// Holds reports whether a repository has a manifest, or if it is none, a blob.
func (a *Artifacts) Holds(ctx context.Context, desc ocispec.Descriptor, isManifest bool) (bool, error) {
	if !isManifest {
		return a.backend.hasBlob(ctx, desc)
	}
	_, err := a.backend.resolve(ctx, desc.Digest.String())
	if isAbsent(err) {
		return false, nil
	}
	return err == nil, err
}

// AtDigest is a reference to a manifest of the repository.
func (r Repository) AtDigest(d digest.Digest) Reference { return Reference{Repository: r, Digest: d} }
