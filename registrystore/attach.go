package registrystore

import (
	"context"
	"errors"

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
	there, err := a.backend.resolve(ctx, AttachmentTag(subject.Digest, id))
	if err != nil && !isAbsent(err) {
		return "", false, err
	}
	return a.attachOver(ctx, subject, id, p, there.Digest, nil)
}

// ErrAttachedMeanwhile says that other evidence was attached since it was
// looked at.
var ErrAttachedMeanwhile = errors.New("other evidence was attached meanwhile: run the command again")

// AttachOver is Attach where it is known what was attached for the publisher
// before: was, or "". It fails with ErrAttachedMeanwhile if that is not there
// any more. Where there is no referrers API, the others, which refer to subject
// too, are in the fallback index again when it returns, if somebody took them
// out of it since they were copied.
func (a *Artifacts) AttachOver(ctx context.Context, subject ocispec.Descriptor, id string, p *tuf.Publication, was digest.Digest, others ...*Artifact) (bool, error) {
	raw, err := encodeAttachment(subject, id, p)
	if err != nil {
		return false, err
	}
	var there ocispec.Descriptor
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if there, err = a.backend.resolve(gctx, AttachmentTag(subject.Digest, id)); isAbsent(err) {
			return nil
		}
		return err
	})
	if manifestDescriptor(raw).Digest != was { // nothing lists the files yet
		g.Go(func() error { return a.storeFiles(gctx, p.Files()) })
	}
	if b, ok := a.backend.(*remoteBackend); ok {
		g.Go(func() error {
			_, err := b.hasReferrersAPI(gctx, subject.Digest) // asked once, and needed below
			return b.wrap("link referrers of "+subject.Digest.String(), err)
		})
	}
	if err := g.Wait(); err != nil {
		return false, err
	}
	if there.Digest != was {
		return false, &Error{Repository: a.name, Op: "attach to " + subject.Digest.String(), Err: ErrAttachedMeanwhile}
	}
	_, wrote, err := a.attachOver(ctx, subject, id, p, was, others)
	return wrote, err
}

func (a *Artifacts) attachOver(ctx context.Context, subject ocispec.Descriptor, id string, p *tuf.Publication, was digest.Digest, others []*Artifact) (digest.Digest, bool, error) {
	raw, err := encodeAttachment(subject, id, p)
	if err != nil {
		return "", false, err
	}
	desc, tag := manifestDescriptor(raw), AttachmentTag(subject.Digest, id)
	isNew := was != desc.Digest
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
	gone := was
	if !isNew {
		gone = ""
	}
	refs := []ocispec.Descriptor{listed}
	for _, o := range others {
		if o.Subject == subject.Digest && o.Digest != gone {
			refs = append(refs, o.listed())
		}
	}
	return desc.Digest, isNew, a.backend.link(ctx, subject.Digest, refs, gone)
}

// Supersede takes an attachment out of the registry's own list of referrers,
// in which each that was ever attached would stay. It does what it can: where
// deleting is refused, readers take the newest of those that are listed.
func (a *Artifacts) Supersede(ctx context.Context, subject, was digest.Digest) {
	if b, ok := a.backend.(*remoteBackend); ok {
		if hasAPI, err := b.hasReferrersAPI(ctx, subject); hasAPI && err == nil {
			_ = b.delete(ctx, was.String())
		}
	}
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
	return m.listed(), nil
}

// listed describes a as lists of referrers do.
func (a *Artifact) listed() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: a.MediaType, ArtifactType: a.ArtifactType, Digest: a.Digest, Size: a.Size, Annotations: a.Annotations}
}
