package registrystore

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// A mirror keeps the manifests of another repository's states, byte for byte:
// what its writer inlined, and how, is none of the mirror's business.

// Manifest returns the manifest of the state that Open found, or nil.
func (t *Trust) Manifest() []byte { return t.raw }

// Holds reports whether the repository is known to hold a blob: a manifest
// that was read from it lists the blob, or it was stored by t.
func (t *Trust) Holds(d digest.Digest) bool { return t.isThere(d) }

// Holding says that the repository holds the files of p, which was verified.
// What other manifests there list is not believed any more.
func (t *Trust) Holding(p *tuf.Publication) {
	t.mu.Lock()
	clear(t.there)
	t.mu.Unlock()
	t.remember(p)
}

// StoreFile stores a file, whose bytes are at hand, unless it is there. It may
// be called by several goroutines.
func (t *Trust) StoreFile(ctx context.Context, f tuf.File) error {
	return t.pushFiles(ctx, []tuf.File{f})
}

// CommitManifest stores the manifest of a state under the state's own tag,
// like Commit. Every file of it must be there.
func (t *Trust) CommitManifest(ctx context.Context, raw []byte) (tuf.Entry, error) {
	p, err := t.complete(raw)
	if err != nil {
		return tuf.Entry{}, err
	}
	return t.commit(ctx, p, raw)
}

func (t *Trust) complete(raw []byte) (*tuf.Publication, error) {
	p, err := decodeState(raw)
	if err != nil {
		return nil, err
	}
	if p.IsDraft() {
		return nil, fmt.Errorf("%w: a draft is no state", tuf.ErrUnreadable)
	}
	for _, f := range p.Files() {
		if !t.isThere(f.Digest) {
			return nil, fmt.Errorf("%s: %s version %d is not stored here", t.name, f.Role, f.Version)
		}
	}
	return p, nil
}

// AdvanceManifest points latest at a state by its manifest: one request, never
// repeated. If the answer is lost, the tag is looked at.
func (t *Trust) AdvanceManifest(ctx context.Context, raw []byte) error {
	desc := manifestDescriptor(raw)
	err := t.backend.pushManifest(ctx, metadata.TagLatest, desc, raw, true)
	if err == nil || refused(err) {
		return err
	}
	if now, rerr := t.backend.resolve(ctx, metadata.TagLatest); rerr == nil && now.Digest == desc.Digest {
		return nil
	}
	return err
}

// Listed is one listed state of a trust repository, whatever its latest names:
// a [tuf.Source] of it. Nothing about it is verified.
type Listed struct{ t *Trust }

// At reads a listed state.
func (t *Trust) At(ctx context.Context, e tuf.Entry) (*Listed, error) {
	at := &Trust{backend: t.backend, name: t.name, cache: t.cache, remote: t.remote, bytes: map[digest.Digest][]byte{}, there: map[digest.Digest]bool{}}
	p, raw, err := at.read(ctx, e.Tag)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: %w: %w", tuf.ErrUnreadable, tuf.ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	if !isTagOf(e.Tag, raw) {
		return nil, fmt.Errorf("%s: tag %s: %w: it holds publication %.12s", t.name, e.Tag, tuf.ErrUnreadable, p.Identity())
	}
	at.serve(p, raw)
	return &Listed{at}, nil
}

func (l *Listed) String() string { return l.t.name }

// Publication returns the state.
func (l *Listed) Publication() *tuf.Publication { return l.t.state }

// Manifest returns the state's manifest.
func (l *Listed) Manifest() []byte { return l.t.raw }

// Fetch returns the bytes of a file of the state.
func (l *Listed) Fetch(ctx context.Context, f tuf.File) ([]byte, error) { return l.t.Fetch(ctx, f) }

// Root returns a root by version.
func (l *Listed) Root(ctx context.Context, version int64) ([]byte, error) {
	return l.t.Root(ctx, version)
}

// Timestamp returns the state's timestamp.
func (l *Listed) Timestamp(ctx context.Context) ([]byte, error) { return l.t.Timestamp(ctx) }

// File returns snapshot, targets or a delegated role's file.
func (l *Listed) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	return l.t.File(ctx, role, want)
}

// StateTag returns the tag of the state whose manifest is raw.
func StateTag(raw []byte) (string, error) {
	p, err := decodeState(raw)
	if err != nil {
		return "", err
	}
	return stateTagOf(p), nil
}

// DecodeManifest reads a manifest that is at hand.
func DecodeManifest(raw []byte) (*Artifact, error) {
	a, err := decodeArtifact(manifestDescriptor(raw), raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return a, nil
}
