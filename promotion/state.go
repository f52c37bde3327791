package promotion

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// holder serves one publication and knows its manifest.
type holder interface {
	tuf.Source
	tuf.Holder
	Manifest() []byte
	Fetch(context.Context, tuf.File) ([]byte, error)
	Pass(context.Context, tuf.File) ([]byte, error)
}

// opened is a trust repository that was opened already.
type opened struct{ *registrystore.Trust }

func (opened) Open(context.Context) error { return nil }

// helped is a destination that may have lost what its state is verified by.
// The source has the file, perhaps, which its signed hash tells.
type helped struct {
	opened
	by *registrystore.Trust
}

// Prefetch asks for nothing: little is needed, and most of it is inlined.
func (helped) Prefetch(context.Context, tuf.Want) {}

// Root asks the source first, whose roots are at hand: a root is verified by
// the one before, whoever gives it.
func (h helped) Root(ctx context.Context, version int64) ([]byte, error) {
	if raw, err := h.by.Root(ctx, version); err == nil {
		return raw, nil
	}
	return h.opened.Root(ctx, version)
}

func (h helped) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	raw, err := h.opened.File(ctx, role, want)
	if !errors.Is(err, registrystore.ErrNotFound) && !errors.Is(err, registrystore.ErrCorrupt) || want.Hashes.Digest() == "" {
		return raw, err
	}
	if mine, merr := h.by.File(ctx, role, want); merr == nil {
		return mine, nil
	}
	return nil, err
}

// state is a publication that a client verified.
type state struct {
	holder
	pub                       *tuf.Publication
	manifest                  []byte
	root, timestamp, snapshot *metadata.File
}

func (s *state) entry() tuf.Entry {
	return tuf.Entry{Root: s.root.Version, Version: s.timestamp.Version, Digest: s.pub.Identity()}
}

// listedAs is entry as a tag says it.
func (s *state) listedAs() tuf.Entry {
	e := s.entry()
	e.Digest = e.Digest[:12]
	return e
}

// before reports whether readers prefer o to s.
func (s *state) before(o *state) bool { return tuf.CompareEntries(s.entry(), o.entry()) < 0 }

// verified lets a client take what h serves, expired files too.
func (m *Mirror) verified(ctx context.Context, h holder, store tuf.Store) (*state, error) {
	c, err := tuf.NewClient(tuf.Options{Root: m.Root, Store: store, Sources: []tuf.Source{h}, Now: m.Now(), AllowExpired: true})
	if err != nil {
		return nil, err
	}
	err = c.Refresh(ctx)
	for _, n := range c.Notes() {
		m.report("%s", n)
	}
	if err != nil {
		return nil, err
	}
	s := &state{holder: h, pub: h.Publication(), manifest: h.Manifest(), root: c.Root(), timestamp: c.Timestamp(), snapshot: c.Snapshot()}
	return s, s.isTrusted()
}

// errOther says that a repository holds another state than the one of its
// version that is trusted.
var errOther = errors.New("another state of the same version is trusted")

// isTrusted checks that the manifest holds what the client took: it may have
// known the same version before.
func (s *state) isTrusted() error {
	newest := s.pub.Roots[len(s.pub.Roots)-1]
	if newest.Version != s.root.Version || newest.Digest != digest.FromBytes(s.root.Raw) {
		return fmt.Errorf("%w: the state ends with root version %d, and version %d is known", tuf.ErrRollback, newest.Version, s.root.Version)
	}
	if s.pub.Timestamp.Digest != digest.FromBytes(s.timestamp.Raw) || s.pub.Snapshot.Digest != digest.FromBytes(s.snapshot.Raw) {
		return errOther
	}
	return nil
}

// errNotWhole says that a manifest is not what its snapshot says.
var errNotWhole = fmt.Errorf("%w: the state's manifest is not what its snapshot says", tuf.ErrInvalid)

// whole checks that the manifest holds every file that the snapshot lists and
// no other, all roots, each vouched for by the one before, and nothing that a
// registry would read more into.
func (m *Mirror) whole(ctx context.Context, s *state, oldest int64) error {
	if err := registrystore.PlainManifest(s.manifest); err != nil {
		return err
	}
	meta := s.snapshot.Snapshot.Meta
	if len(s.pub.Roles)+1 != len(meta) {
		return fmt.Errorf("%w: %d role files where %d are listed", errNotWhole, len(s.pub.Roles)+1, len(meta))
	}
	for role, want := range meta {
		f, ok := s.pub.Role(role)
		if !ok || f.Version != want.Version || want.Length > 0 && f.Length != want.Length || want.Hashes.Digest() != "" && f.Digest != want.Hashes.Digest() {
			return fmt.Errorf("%w: role %s", errNotWhole, role)
		}
	}
	return m.roots(ctx, s, oldest)
}

// roots checks the chain of roots from the oldest in the manifest to the
// newest. It passes through the pinned root, and reaches back to it, and to the
// oldest that the destination has: who pinned an old root must find the next.
func (m *Mirror) roots(ctx context.Context, s *state, oldest int64) error {
	pinned, err := metadata.Decode(metadata.RoleRoot, m.Root)
	if err != nil {
		return fmt.Errorf("pinned root: %w", err)
	}
	first, err := oldestRoot(ctx, s.pub, s.Fetch)
	if err != nil {
		return err
	}
	if first > min(pinned.Version, oldest) {
		return fmt.Errorf("%w: the oldest root has version %d where version %d is needed", errNotWhole, first, min(pinned.Version, oldest))
	}
	var last *metadata.File
	for v := first; v <= s.root.Version; v++ {
		raw, err := s.Root(ctx, v)
		if err != nil {
			return err
		}
		if last, err = nextRoot(last, raw); err != nil {
			return err
		}
		if v == pinned.Version && digest.FromBytes(raw) != digest.FromBytes(m.Root) {
			return fmt.Errorf("%w: root version %d is not the pinned one", tuf.ErrInvalid, v)
		}
	}
	return nil
}

// nextRoot verifies a root by the one before, the first by itself.
func nextRoot(last *metadata.File, raw []byte) (*metadata.File, error) {
	if last != nil {
		return tuf.NextRoot(last, raw)
	}
	f, err := metadata.Decode(metadata.RoleRoot, raw)
	if err != nil {
		return nil, err
	}
	return f, tuf.VerifyThreshold(metadata.RoleRoot, f, f.Root.Keys, f.Root.Roles[metadata.RoleRoot])
}

// oldestRoot returns the lowest version that a publication holds.
func oldestRoot(ctx context.Context, pub *tuf.Publication, fetch func(context.Context, tuf.File) ([]byte, error)) (int64, error) {
	oldest := pub.Roots[0].Version
	if pub.RootPack.Digest == "" {
		return oldest, nil
	}
	raw, err := fetch(ctx, pub.RootPack)
	if err != nil {
		return 0, err
	}
	packed, err := tuf.UnpackRoots(raw)
	for v := range packed {
		oldest = min(oldest, v)
	}
	return oldest, err
}
