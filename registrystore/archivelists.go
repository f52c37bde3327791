package registrystore

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Lists is what the manifests of one repository of an archive list: what is
// there once the archive was loaded. Manifests that are left out of the file
// are not looked into.
type Lists struct {
	// Manifests are those that the file holds, by digest.
	Manifests map[digest.Digest]*Artifact
	// Blobs and Others are what they list: others are manifests that the file
	// leaves out.
	Blobs, Others map[digest.Digest]ocispec.Descriptor
}

// Has reports whether who loaded the archive has d in the repository.
func (l *Lists) Has(d digest.Digest) bool {
	_, isBlob := l.Blobs[d]
	return isBlob || l.Manifests[d] != nil
}

// Lists reads the manifests of an archive, and returns what those of each
// repository list.
func (a *Archive) Lists(ctx context.Context) (map[string]*Lists, error) {
	r := &manifestReader{file: a, from: &Artifacts{backend: &archiveBackend{file: a}, name: a.name}, read: map[digest.Digest]*Artifact{}, height: map[digest.Digest]int{}}
	out := map[string]*Lists{}
	for repository, entries := range a.byRepository {
		l := &Lists{Manifests: map[digest.Digest]*Artifact{}, Blobs: map[digest.Digest]ocispec.Descriptor{}, Others: map[digest.Digest]ocispec.Descriptor{}}
		for _, e := range entries {
			if err := r.add(ctx, l, ocispec.Descriptor{Digest: e.Digest}, 0); err != nil {
				return nil, err
			}
		}
		out[repository] = l
	}
	return out, nil
}

// maxListed bounds what the manifests of an archive list, in all repositories
// together: a manifest may be named in many, and counts in each.
const maxListed = 4_000_000

// manifestReader reads each manifest once.
type manifestReader struct {
	file   *Archive
	from   *Artifacts
	read   map[digest.Digest]*Artifact
	weight int64 // of manifests
	named  int64 // bytes of manifests, again in each repository
	listed int
	height map[digest.Digest]int // how deep indexes stand below
}

func (r *manifestReader) tooLarge(op, format string, limit int) error {
	return &Error{Repository: r.file.name, Op: op, Kind: ErrTooLarge, Err: fmt.Errorf(format, limit)}
}

func (r *manifestReader) add(ctx context.Context, l *Lists, desc ocispec.Descriptor, depth int) error {
	if l.Manifests[desc.Digest] != nil {
		return nil
	}
	if !r.file.Has(desc.Digest) {
		l.Others[desc.Digest] = desc
		return nil
	}
	m, err := r.manifest(ctx, desc.Digest)
	if err != nil {
		return err
	}
	if err := r.count(m, depth); err != nil {
		return err
	}
	l.Manifests[m.Digest] = m
	for _, b := range m.Blobs {
		l.Blobs[b.Digest] = b
	}
	for _, child := range m.Manifests {
		if err := r.add(ctx, l, child, depth+1); err != nil {
			return err
		}
		r.height[m.Digest] = max(r.height[m.Digest], r.height[child.Digest]+1)
	}
	if r.height[m.Digest] > maxNested {
		return r.tooDeep(m)
	}
	return nil
}

func (r *manifestReader) tooDeep(m *Artifact) error {
	return r.tooLarge("read "+m.Digest.String(), "indexes in indexes, more than %d deep", maxNested)
}

// count bounds what one repository more that has m takes, in memory and time.
func (r *manifestReader) count(m *Artifact, depth int) error {
	r.named += m.Size
	r.listed += len(m.Blobs) + len(m.Manifests)
	switch {
	case depth > maxNested:
		return r.tooDeep(m)
	case r.listed > maxListed:
		return r.tooLarge("read manifests", "they list more than %d blobs and manifests", maxListed)
	case r.named > 4*maxPlanned:
		return r.tooLarge("read manifests", "more than %d bytes of them, counted in each repository", 4*maxPlanned)
	}
	return nil
}

func (r *manifestReader) manifest(ctx context.Context, d digest.Digest) (*Artifact, error) {
	if m := r.read[d]; m != nil {
		return m, nil
	}
	m, err := r.from.Read(ctx, Reference{Digest: d})
	if err != nil {
		return nil, err
	}
	if r.weight += weight(m); r.weight > maxPlanned {
		return nil, r.tooLarge("read manifests", "they take more than %d bytes", maxPlanned)
	}
	if m.Subject != "" && !isSHA256(m.Subject) {
		return nil, &Error{Repository: r.file.name, Op: "read " + d.String(), Kind: ErrCorrupt, Err: fmt.Errorf("it refers to %.100q", m.Subject)}
	}
	for _, b := range m.Blobs {
		if !isSHA256(b.Digest) || b.Size < 0 {
			return nil, &Error{Repository: r.file.name, Op: "read " + d.String(), Kind: ErrCorrupt, Err: fmt.Errorf("it lists %.100q of %d bytes", b.Digest, b.Size)}
		}
	}
	r.read[d] = m
	return m, nil
}
