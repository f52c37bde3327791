package registrystore

import (
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Journal returns t as a writer sees it: with a lock if it is a layout.
func (t *Trust) Journal() tuf.Journal {
	if b, ok := t.backend.(*layoutBackend); ok {
		return &lockedTrust{t, b}
	}
	return t
}

// lockedTrust is a trust repository in an image layout.
type lockedTrust struct {
	*Trust
	layout *layoutBackend
}

// Lock keeps other writers out, of this process and others, until unlock.
func (t *lockedTrust) Lock(ctx context.Context) (func() error, error) {
	unlock, err := t.layout.lock(ctx)
	if err != nil {
		return nil, t.layout.wrap("lock", err)
	}
	t.layout.held = true
	return func() error {
		t.layout.held = false
		return unlock()
	}, nil
}

// Latest returns the publication that latest names.
func (t *Trust) Latest(ctx context.Context) (*tuf.Publication, error) {
	p, _, err := t.read(ctx, metadata.TagLatest)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", tuf.ErrNotFound, err)
	}
	return p, err
}

// Read returns a listed publication.
func (t *Trust) Read(ctx context.Context, e tuf.Entry) (*tuf.Publication, error) {
	p, _, err := t.read(ctx, e.Tag)
	if err == nil && (e.Digest != p.Identity()[:12] || e.Draft != p.IsDraft()) {
		return nil, fmt.Errorf("%s: tag %s: %w: it holds publication %.12s", t.name, e.Tag, tuf.ErrUnreadable, p.Identity())
	}
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: %w: %w", tuf.ErrUnreadable, tuf.ErrNotFound, err)
	}
	return p, err
}

// Fetch returns the bytes of a file of a publication.
func (t *Trust) Fetch(ctx context.Context, f tuf.File) ([]byte, error) {
	if f.Data != nil {
		return f.Data, nil
	}
	return t.file(ctx, f)
}

// PushDraft stores the files of p that are not there yet, then p itself.
func (t *Trust) PushDraft(ctx context.Context, p *tuf.Publication) (tuf.Entry, error) {
	draft := *p
	draft.Timestamp = tuf.File{}
	raw, err := encodeState(&draft)
	if err != nil {
		return tuf.Entry{}, err
	}
	e, err := t.push(ctx, &draft, raw, draftTag(p.Snapshot.Version, p.Identity()))
	if errors.Is(err, ErrImmutable) {
		// Another writer made the same join a moment ago.
		if there, rerr := t.Read(ctx, e); rerr == nil && there.Identity() == p.Identity() {
			return e, nil
		}
	}
	return e, err
}

// Commit stores the publication under its append-only tag. A write whose
// outcome is not clear is looked for, and made again where it is not found:
// the tag is this publication's own.
func (t *Trust) Commit(ctx context.Context, p *tuf.Publication) (tuf.Entry, error) {
	raw, err := encodeState(p)
	if err != nil {
		return tuf.Entry{}, err
	}
	return t.commit(ctx, p, raw)
}

// commit is Commit of p, whose manifest is raw.
func (t *Trust) commit(ctx context.Context, p *tuf.Publication, raw []byte) (tuf.Entry, error) {
	e, ok := parseTag(stateTagOf(p))
	if !ok {
		return e, fmt.Errorf("%w: %q is no tag of a publication", ErrReference, e.Tag)
	}
	if err := t.pushFiles(ctx, p.Files()); err != nil {
		return e, err // no state was sent
	}
	unclear := false
	for attempt := 1; ; attempt++ {
		cause := t.backend.pushManifest(ctx, e.Tag, manifestDescriptor(raw), raw, false)
		if cause == nil {
			return e, nil
		}
		lost := t.remote && !refused(cause)
		unclear = unclear || lost
		there, err := t.settle(ctx, e.Tag, digest.FromBytes(raw), cause)
		switch {
		case there || errors.Is(err, tuf.ErrOccupied):
			return e, err
		case err == nil && attempt < maxReads && lost:
			continue // it is not there
		case unclear:
			return e, fmt.Errorf("%w: %w", tuf.ErrOutcomeUnknown, cause)
		}
		return e, cause
	}
}

// settle looks whether a write took effect. It returns false and no error if
// the tag is not there, and tuf.ErrOccupied if it is somebody else's.
func (t *Trust) settle(ctx context.Context, tag string, want digest.Digest, cause error) (bool, error) {
	desc, err := t.backend.resolve(ctx, tag)
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	case desc.Digest != want:
		return false, fmt.Errorf("%w: %w", tuf.ErrOccupied, cause)
	}
	return true, nil
}

func (t *Trust) push(ctx context.Context, p *tuf.Publication, raw []byte, tag string) (tuf.Entry, error) {
	e, ok := parseTag(tag)
	if !ok {
		return e, fmt.Errorf("%w: %q is no tag of a publication", ErrReference, tag)
	}
	if err := t.pushFiles(ctx, p.Files()); err != nil {
		return e, err
	}
	return e, t.backend.pushManifest(ctx, tag, manifestDescriptor(raw), raw, false)
}

func manifestDescriptor(raw []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaTypeManifest, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
}

// pushFiles stores what the repository is not known to hold, all at once, and
// the empty config. The files of roles are read back: the publication must not
// rest on a blob that the registry took and does not have. Inlined ones too,
// since other readers do not know that they are inlined.
func (t *Trust) pushFiles(ctx context.Context, files []tuf.File) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	empty := ocispec.DescriptorEmptyJSON
	if !t.isThere(empty.Digest) {
		g.Go(func() error { return t.store(ctx, empty, empty.Data, false) })
	}
	for _, f := range distinct(files) {
		if t.isThere(f.Digest) {
			continue
		}
		if f.Data == nil {
			return fmt.Errorf("%s: %s version %d is not stored here and its bytes are not at hand", t.name, f.Role, f.Version)
		}
		desc := ocispec.Descriptor{MediaType: metadata.MediaTypeFile, Digest: f.Digest, Size: f.Length}
		g.Go(func() error { return t.store(ctx, desc, f.Data, isRole(f.Role)) })
	}
	return g.Wait()
}

// distinct leaves out files whose bytes are another one's: empty hash bins,
// say, all have the same.
func distinct(files []tuf.File) []tuf.File {
	seen := map[digest.Digest]bool{}
	var out []tuf.File
	for _, f := range files {
		if !seen[f.Digest] {
			seen[f.Digest] = true
			out = append(out, f)
		}
	}
	return out
}

// isRole reports whether a file is that of targets or of a delegated role.
func isRole(role string) bool {
	return role != tuf.RootPack && (role == metadata.RoleTargets || !metadata.IsTopLevel(role))
}

func (t *Trust) store(ctx context.Context, desc ocispec.Descriptor, data []byte, readBack bool) error {
	if err := t.backend.pushBlob(ctx, desc, data); err != nil {
		return err
	}
	if readBack {
		if _, err := t.backend.blob(ctx, desc); err != nil {
			return err
		}
		t.cache.Put(data) // the next publication edits it
	}
	t.mu.Lock()
	t.there[desc.Digest] = true
	t.mu.Unlock()
	return nil
}

func (t *Trust) isThere(d digest.Digest) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.there[d]
}

// Advance points latest at p: one request, never repeated.
func (t *Trust) Advance(ctx context.Context, p *tuf.Publication) error {
	raw, err := encodeState(p)
	if err != nil {
		return err
	}
	return t.backend.pushManifest(ctx, metadata.TagLatest, manifestDescriptor(raw), raw, true)
}

// Delete removes listed publications. Where a registry deletes nothing but
// whole manifests, a tag of something else than the publication that it
// names stays, and is an error: what it names may be somebody's newest state.
func (t *Trust) Delete(ctx context.Context, entries ...tuf.Entry) error {
	tags := make([]string, len(entries))
	for i, e := range entries {
		tags[i] = e.Tag
	}
	return t.backend.remove(ctx, tags, isTagOf)
}
