package registrystore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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

// AtLatest reports whether the tag latest names what t serves.
func (t *Trust) AtLatest() bool { return t.raw != nil && bytes.Equal(t.raw, t.named) }

// Pass returns the bytes of a file of the state, like Fetch, and keeps them in
// the cache alone: a mirror passes on more than fits into memory.
func (t *Trust) Pass(ctx context.Context, f tuf.File) ([]byte, error) {
	if f.Data != nil {
		return f.Data, nil
	}
	if raw := t.local(f.Digest); raw != nil {
		return raw, nil
	}
	raw, err := t.asked(ctx, f)
	if err == nil {
		t.cache.Put(raw)
	}
	return raw, err
}

// Lacks asks for a file, whole, whatever is known of it, and reports whether
// it is gone or not what it should be. A HEAD would answer for a file that a
// collector took.
func (t *Trust) Lacks(ctx context.Context, f tuf.File) (bool, error) {
	_, err := t.asked(ctx, f)
	lost := errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt)
	t.mu.Lock()
	defer t.mu.Unlock()
	if lost {
		delete(t.there, f.Digest)
		return true, nil
	}
	if err == nil {
		t.there[f.Digest] = true
	}
	return false, err
}

// Take stores raw as the file f, unless it is there. It may be called by several
// goroutines. What readers do not find in the manifest is asked for once: its
// length and first byte, since a registry checks what it takes by the digest,
// and the source has it still if it is lost.
func (t *Trust) Take(ctx context.Context, f tuf.File, raw []byte) error {
	if t.isThere(f.Digest) {
		return nil
	}
	desc := ocispec.Descriptor{MediaType: metadata.MediaTypeFile, Digest: f.Digest, Size: f.Length}
	if err := t.backend.pushBlob(ctx, desc, raw); err != nil {
		return err
	}
	if f.Data == nil || isRole(f.Role) {
		if err := t.backend.confirm(ctx, desc); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.there[f.Digest] = true
	t.mu.Unlock()
	return nil
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

// PlainManifest refuses what a manifest says beyond the files of a state: a
// config that would have to be copied too, a subject that it would be a
// referrer of. Neither is signed.
func PlainManifest(raw []byte) error {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("%w: %w", tuf.ErrUnreadable, err)
	}
	if m.Config.Digest != ocispec.DescriptorEmptyJSON.Digest || m.Subject != nil {
		return fmt.Errorf("%w: the state's manifest has a config or a subject of its own", tuf.ErrUnreadable)
	}
	return nil
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

// Pass is Fetch that keeps nothing in memory.
func (l *Listed) Pass(ctx context.Context, f tuf.File) ([]byte, error) { return l.t.Pass(ctx, f) }

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
