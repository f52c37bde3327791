package registrystore

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
)

// maxPlanned bounds the manifests of one archive, in bytes: they are held in
// memory until it is written, and when it is loaded.
const maxPlanned = 512 << 20

// weight is what a manifest takes in memory, in bytes: its own, and about as
// much as is kept of each entry of its lists.
func weight(m *Artifact) int64 {
	return m.Size + 100*int64(len(m.Blobs)+len(m.Manifests)+len(m.Annotations))
}

// ArchivePlan is what is to be written to an archive. The bytes of an archive
// depend on what it holds alone: not on the order in which it was planned, on
// the time or on names that the file has. Methods may be called by several
// goroutines.
type ArchivePlan struct {
	mu       sync.Mutex
	entries  []Archived                        // guarded by mu
	contents map[digest.Digest]archivedContent // guarded by mu
	planned  int64                             // weight of manifests; guarded by mu
}

// archivedContent is one file to come: its bytes, or where they are read.
type archivedContent struct {
	desc ocispec.Descriptor
	raw  []byte
	from *Artifacts
	// optional is a layer that may be kept elsewhere.
	optional bool
}

// NewArchivePlan returns an empty plan.
func NewArchivePlan() *ArchivePlan {
	return &ArchivePlan{contents: map[digest.Digest]archivedContent{}}
}

// Name lets index.json name a manifest, which is part of the archive then.
func (p *ArchivePlan) Name(repository, tag, publisher string, m *Artifact) error {
	if err := p.Manifest(m); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.entries = append(p.entries, Archived{
		MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, Repository: repository, Tag: tag, Publisher: publisher,
	})
	return nil
}

// Manifest adds a manifest, without what it lists.
func (p *ArchivePlan) Manifest(m *Artifact) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was, ok := p.contents[m.Digest]; ok && was.raw != nil {
		return nil
	}
	if p.planned += weight(m); p.planned > maxPlanned {
		return fmt.Errorf("%w: manifests that take more than %d bytes in one file: save what there is in several", ErrTooLarge, maxPlanned)
	}
	p.contents[m.Digest] = archivedContent{desc: ocispec.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size}, raw: m.Raw}
	return nil
}

// Blob adds a blob that from has.
func (p *ArchivePlan) Blob(desc ocispec.Descriptor, from *Artifacts) error {
	if !isSHA256(desc.Digest) || desc.Size < 0 {
		return &Error{Repository: from.name, Op: "save blob", Kind: ErrCorrupt, Err: fmt.Errorf("digest %.100q of %d bytes", desc.Digest, desc.Size)}
	}
	c := archivedContent{desc: ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, from: from, optional: len(desc.URLs) > 0}
	p.mu.Lock()
	defer p.mu.Unlock()
	was, ok := p.contents[desc.Digest]
	switch {
	case ok && was.desc.Size != desc.Size:
		return &Error{Repository: from.name, Op: "save blob " + desc.Digest.String(), Kind: ErrCorrupt, Err: fmt.Errorf("two sizes are said of it: %d and %d", was.desc.Size, desc.Size)}
	case !ok || was.optional && !c.optional:
		p.contents[desc.Digest] = c
	}
	return nil
}

// Blobs returns how many blobs and manifests there are.
func (p *ArchivePlan) Blobs() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.contents)
}

// IsEmpty reports whether nothing is named.
func (p *ArchivePlan) IsEmpty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.entries) == 0
}

// sorted returns what is to be written, by digest.
func (p *ArchivePlan) sorted() []archivedContent {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]archivedContent, 0, len(p.contents))
	for _, c := range p.contents {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b archivedContent) int { return strings.Compare(string(a.desc.Digest), string(b.desc.Digest)) })
	return out
}

// index writes index.json.
func (p *ArchivePlan) index() ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.SortFunc(p.entries, func(a, b Archived) int {
		return cmp.Or(strings.Compare(a.Repository, b.Repository), strings.Compare(a.Tag, b.Tag), strings.Compare(string(a.Digest), string(b.Digest)))
	})
	p.entries = slices.Compact(p.entries)
	idx := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	for _, e := range p.entries {
		idx.Manifests = append(idx.Manifests, e.descriptor())
	}
	raw, err := json.Marshal(idx)
	if err == nil && (len(raw) > maxIndex || len(p.entries) > maxArchived) {
		err = fmt.Errorf("%w: %d manifests in one file, where at most %d are allowed: save what there is in several", ErrTooLarge, len(p.entries), maxArchived)
	}
	return raw, err
}

func (e Archived) descriptor() ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: e.Size, Annotations: map[string]string{metadata.AnnotationRepository: e.Repository}}
	if e.Tag != "" {
		d.Annotations[ocispec.AnnotationRefName] = e.refName()
	}
	if e.Publisher != "" {
		d.Annotations[metadata.AnnotationPublisher] = e.Publisher
	}
	return d
}

// refName is what other tools call the entry.
func (e Archived) refName() string {
	return strings.TrimPrefix(e.Repository, layoutScheme) + ":" + e.Tag
}

// Save writes the archive to path, beside it first: a file that is there stays
// as it is until the new one is whole and on disk. What is read is checked by
// its digest, and streamed: the memory that it takes does not depend on the
// size of blobs. Step is told of each blob and manifest; it may be nil. It
// returns the size of the file.
func (p *ArchivePlan) Save(ctx context.Context, path string, step func()) (int64, error) {
	index, err := p.index()
	if err != nil {
		return 0, wrap(path, "write", err)
	}
	w, err := newArchiveWriter(path)
	if err != nil {
		return 0, wrap(path, "write", err)
	}
	if step == nil {
		step = func() {}
	}
	if err := w.write(ctx, index, p.sorted(), step); err != nil {
		w.abandon()
		return 0, wrap(path, "write", err)
	}
	size, err := w.finish(path)
	return size, wrap(path, "write", err)
}
