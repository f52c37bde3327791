package registrystore

import (
	"context"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Attach attaches the evidence p of the publisher with that id to subject, in
// place of what was attached for it before. It returns the attachment's
// digest, and whether anything had to be written. Files that the repository
// has are not sent. Where there is no referrers API, the attachment is in the
// fallback index when Attach returns, whoever writes there at the same time.
func (a *Artifacts) Attach(ctx context.Context, subject ocispec.Descriptor, id string, p *tuf.Publication) (digest.Digest, bool, error) {
	raw, err := encodeAttachment(subject, id, p)
	if err != nil {
		return "", false, err
	}
	desc, tag := manifestDescriptor(raw), AttachmentTag(subject.Digest, id)
	there, err := a.backend.resolve(ctx, tag)
	if err != nil && !isAbsent(err) {
		return desc.Digest, false, err
	}
	isNew := there.Digest != desc.Digest
	if isNew {
		if err := a.storeFiles(ctx, p.Files()); err != nil {
			return desc.Digest, false, err
		}
		if err := a.backend.pushManifest(ctx, tag, desc, raw, false); err != nil {
			return desc.Digest, false, err
		}
	}
	listed, err := listing(desc, raw)
	if err != nil {
		return desc.Digest, isNew, err
	}
	gone := there.Digest
	if !isNew {
		gone = ""
	}
	return desc.Digest, isNew, a.backend.link(ctx, subject.Digest, []ocispec.Descriptor{listed}, gone)
}

// storeFiles stores what the repository does not have.
func (a *Artifacts) storeFiles(ctx context.Context, files []tuf.File) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	empty := ocispec.DescriptorEmptyJSON
	g.Go(func() error { return a.storeBlob(ctx, empty, empty.Data) })
	for _, f := range files {
		g.Go(func() error {
			return a.storeBlob(ctx, ocispec.Descriptor{MediaType: metadata.MediaTypeFile, Digest: f.Digest, Size: f.Length}, f.Data)
		})
	}
	return g.Wait()
}

func (a *Artifacts) storeBlob(ctx context.Context, desc ocispec.Descriptor, data []byte) error {
	if a.has(desc.Digest) {
		return nil
	}
	there, err := a.backend.hasBlob(ctx, desc)
	if err == nil && !there {
		err = a.backend.pushBlob(ctx, desc, data)
	}
	if err == nil {
		a.noteHas(desc.Digest)
	}
	return err
}

// has reports whether a blob is known to be there.
func (a *Artifacts) has(d digest.Digest) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.there[d]
}

func (a *Artifacts) noteHas(d digest.Digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.there[d] = true
}

// listing describes a manifest as lists of referrers do.
func listing(desc ocispec.Descriptor, raw []byte) (ocispec.Descriptor, error) {
	m, err := decodeArtifact(desc, raw)
	if err != nil {
		return desc, err
	}
	return ocispec.Descriptor{MediaType: m.MediaType, ArtifactType: m.ArtifactType, Digest: desc.Digest, Size: desc.Size, Annotations: m.Annotations}, nil
}
