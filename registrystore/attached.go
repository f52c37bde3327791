package registrystore

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Tagged is what stands under an attachment's tag.
type Tagged struct {
	// Digest is the manifest's, "" if nothing stands there.
	Digest digest.Digest
	// Attachment is nil if that is no attachment; then Note says why.
	Attachment *Attachment
	Note       error
}

// Attached reads what stands under the tag of the attachment by which the
// publisher with that id vouches for subject: one request.
func (a *Artifacts) Attached(ctx context.Context, subject digest.Digest, id string) (Tagged, error) {
	found, err := a.readAttachment(ctx, subject, AttachmentTag(subject, id))
	switch {
	case err == nil:
		return Tagged{Digest: found.Digest, Attachment: found}, nil
	case isAbsent(err):
		return Tagged{}, nil
	case errors.Is(err, tuf.ErrUnreadable) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCorrupt):
		there, rerr := a.backend.resolve(ctx, AttachmentTag(subject, id))
		return Tagged{Digest: there.Digest, Note: err}, rerr
	}
	return Tagged{}, err
}

// Attachments reads what is attached to subject as evidence for the
// publisher with that id: what stands under the tag for it, and what lists of
// referrers name, for tools that copy referrers leave their tags behind. Two
// rounds at most, and one for each further page of a list, of which
// maxEvidencePages are read. At most metadata.MaxAttachments are read, those
// first that claim to be this publisher's, and newer: others cost nothing.
// What cannot be read, or is something else, is told in notes, and so is a
// list that does not come within half of the time that is left. Where others
// are read, files of the one under the tag are fetched ahead at the same time,
// if want is given.
func (a *Artifacts) Attachments(ctx context.Context, subject digest.Digest, id string, want ...tuf.Want) (out []*Attachment, notes []error) {
	asking, cancel := half(ctx)
	defer cancel()
	var tagged *Attachment
	var tagErr, listErr error
	var listed []ocispec.Descriptor
	var g errgroup.Group
	g.Go(func() error {
		tagged, tagErr = a.readAttachment(asking, subject, AttachmentTag(subject, id))
		return nil
	})
	g.Go(func() error {
		listed, listErr = a.backend.claimed(asking, ocispec.Descriptor{MediaType: mediaTypeManifest, Digest: subject})
		return nil
	})
	_ = g.Wait()
	if tagged != nil {
		out = append(out, tagged)
	} else if !isAbsent(tagErr) {
		notes = append(notes, tagErr)
	}
	if listErr != nil {
		notes = append(notes, listErr)
	}
	for _, w := range want {
		g.Go(func() error { tagged.prefetch(ctx, w); return nil })
	}
	more, failed := a.readListed(ctx, subject, id, listed, tagged)
	_ = g.Wait()
	return append(out, more...), append(notes, failed...)
}

// readListed reads the candidates of a list, at once.
func (a *Artifacts) readListed(ctx context.Context, subject digest.Digest, id string, listed []ocispec.Descriptor, but *Attachment) ([]*Attachment, []error) {
	listed = candidates(listed, id, but)
	ctx, cancel := half(ctx)
	defer cancel()
	found, errs := make([]*Attachment, len(listed)), make([]error, len(listed))
	var g errgroup.Group
	for i, d := range listed {
		g.Go(func() error { found[i], errs[i] = a.readAttachment(ctx, subject, d.Digest.String()); return nil })
	}
	_ = g.Wait()
	found = slices.DeleteFunc(found, func(f *Attachment) bool { return f == nil })
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil || isAbsent(err) })
	return found, errs
}

// candidates picks what is read of a list.
func candidates(listed []ocispec.Descriptor, id string, but *Attachment) []ocispec.Descriptor {
	seen := map[digest.Digest]bool{}
	most := metadata.MaxAttachments
	if but != nil {
		seen[but.Digest] = true
		most--
	}
	listed = slices.DeleteFunc(listed, func(d ocispec.Descriptor) bool {
		maybe, _ := isTrust(d, id)
		drop := !maybe || seen[d.Digest] || !isSHA256(d.Digest) || d.Size > metadata.MaxManifest
		seen[d.Digest] = true
		return drop
	})
	slices.SortStableFunc(listed, newestFirst(id))
	return listed[:min(len(listed), most)]
}
