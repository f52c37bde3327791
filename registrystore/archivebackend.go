package registrystore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
)

// archiveBackend is one repository of an archive, which nobody can write.
type archiveBackend struct {
	file    *Archive
	entries []Archived
	tagged  map[string]Archived
	// rest, if not nil, has what the file leaves out: it is asked by digest
	// alone.
	rest backend

	once    sync.Once
	refs    map[digest.Digest][]ocispec.Descriptor // by subject
	refsErr error
}

func newArchiveBackend(a *Archive, repository string, rest backend) *archiveBackend {
	b := &archiveBackend{file: a, entries: a.byRepository[repository], rest: rest, tagged: map[string]Archived{}}
	for _, e := range b.entries {
		if e.Tag != "" {
			b.tagged[e.Tag] = e
		}
	}
	return b
}

func (b *archiveBackend) wrap(op string, err error) error { return wrap(b.file.name, op, err) }

// find returns what ref names in the file.
func (b *archiveBackend) find(ref string) (ocispec.Descriptor, error) {
	d, err := digest.Parse(ref)
	if err == nil {
		if s, ok := b.file.section(d); ok {
			return ocispec.Descriptor{Digest: d, Size: s.size}, nil
		}
	} else if e, ok := b.tagged[ref]; ok {
		return ocispec.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: e.Size}, nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("%w: no %s in the file", ErrNotFound, ref)
}

// elsewhere reports whether what ref names is left out of the file, and may be
// where the file is loaded to.
func (b *archiveBackend) elsewhere(ref string) bool {
	d, err := digest.Parse(ref)
	return err == nil && b.rest != nil && !b.file.Has(d)
}

func (b *archiveBackend) resolve(ctx context.Context, ref string) (ocispec.Descriptor, error) {
	if b.elsewhere(ref) {
		return b.rest.resolve(ctx, ref)
	}
	desc, err := b.find(ref)
	return desc, b.wrap("resolve "+ref, errors.Join(err, ctx.Err()))
}

func (b *archiveBackend) manifest(ctx context.Context, ref string) (ocispec.Descriptor, []byte, error) {
	if b.elsewhere(ref) {
		return b.rest.manifest(ctx, ref)
	}
	desc, err := b.resolve(ctx, ref)
	if err != nil {
		return desc, nil, err
	}
	if desc.Size > metadata.MaxManifest {
		return desc, nil, b.wrap("read "+ref, fmt.Errorf("%w: a manifest of %d bytes", ErrTooLarge, desc.Size))
	}
	raw, err := b.blob(ctx, desc)
	return desc, raw, err
}

func (b *archiveBackend) blob(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if b.elsewhere(desc.Digest.String()) {
		return b.rest.blob(ctx, desc)
	}
	rc, err := b.open(ctx, desc)
	if err != nil {
		return nil, err
	}
	raw, err := readSized(rc, desc.Size, desc.Size)
	return raw, b.wrap("read blob "+desc.Digest.String(), err)
}

func (b *archiveBackend) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if b.elsewhere(desc.Digest.String()) {
		return b.rest.open(ctx, desc)
	}
	op := "read blob " + desc.Digest.String()
	found, err := b.find(desc.Digest.String())
	if err == nil && found.Size != desc.Size {
		err = fmt.Errorf("%w: %d bytes where %d are said", ErrCorrupt, found.Size, desc.Size)
	}
	if err := errors.Join(err, ctx.Err()); err != nil {
		return nil, b.wrap(op, err)
	}
	s, _ := b.file.section(desc.Digest)
	bytes := io.NopCloser(io.NewSectionReader(b.file.file, s.at, s.size))
	return &named{newChecked(bytes, desc), func(err error) error { return b.wrap(op, err) }}, nil
}

func (b *archiveBackend) hasBlob(ctx context.Context, desc ocispec.Descriptor) (bool, error) {
	if b.elsewhere(desc.Digest.String()) {
		return b.rest.hasBlob(ctx, desc)
	}
	s, ok := b.file.section(desc.Digest)
	return ok && s.size == desc.Size, ctx.Err()
}

func (b *archiveBackend) tags(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(b.tagged)), nil
}

// referrers finds the manifests that index.json names, by their subject. They
// are read once, and of their annotations only Carnet's own are kept: there may
// be many.
func (b *archiveBackend) referrers(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	b.once.Do(func() { b.refs, b.refsErr = b.readReferrers(ctx) })
	return slices.Clone(b.refs[subject.Digest]), b.refsErr
}

func (b *archiveBackend) readReferrers(ctx context.Context) (map[digest.Digest][]ocispec.Descriptor, error) {
	out := map[digest.Digest][]ocispec.Descriptor{}
	seen := map[digest.Digest]bool{}
	for _, e := range b.entries {
		if seen[e.Digest] {
			continue
		}
		seen[e.Digest] = true
		desc, raw, err := b.manifest(ctx, e.Digest.String())
		if err != nil {
			return nil, err
		}
		a, err := decodeArtifact(desc, raw)
		if err != nil {
			return nil, b.wrap("read "+e.Digest.String(), fmt.Errorf("%w: %w", ErrCorrupt, err))
		}
		if a.Subject == "" {
			continue
		}
		r := ocispec.Descriptor{MediaType: a.MediaType, ArtifactType: a.ArtifactType, Digest: a.Digest, Size: a.Size, Annotations: map[string]string{}}
		for _, key := range []string{metadata.AnnotationPublisher, metadata.AnnotationVersion} {
			if v := a.Annotations[key]; v != "" {
				r.Annotations[key] = v
			}
		}
		out[a.Subject] = append(out[a.Subject], r)
	}
	return out, nil
}

func (b *archiveBackend) claimed(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	return b.referrers(ctx, subject)
}

// refuse says that an archive is written once, whole, by [ArchivePlan].
func (b *archiveBackend) refuse(op string) error {
	return b.wrap(op, fmt.Errorf("%w: an archive is written as a whole", ErrReadOnly))
}

func (b *archiveBackend) pushBlob(_ context.Context, desc ocispec.Descriptor, _ []byte) error {
	return b.refuse("write blob " + desc.Digest.String())
}

func (b *archiveBackend) pushStream(_ context.Context, desc ocispec.Descriptor, _ string, _ func() (io.ReadCloser, error)) error {
	return b.refuse("write blob " + desc.Digest.String())
}

func (b *archiveBackend) pushManifest(_ context.Context, tag string, _ ocispec.Descriptor, _ []byte, _ bool) error {
	return b.refuse("write " + tag)
}

func (b *archiveBackend) remove(_ context.Context, tags []string, _ func(string, []byte) bool) error {
	return b.refuse(fmt.Sprintf("remove %d tags", len(tags)))
}

func (b *archiveBackend) link(_ context.Context, subject digest.Digest, _ []ocispec.Descriptor, _ digest.Digest) error {
	return b.refuse("link referrers of " + subject.String())
}
