package registrystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// maxTries is how many state tags a reader opens where latest does not help.
const maxTries = 4

// Open reads the newest publication: the one that latest names, or where that
// is missing or no publication, the highest of the listed states that can be
// read. One request if latest is usable.
func (t *Trust) Open(ctx context.Context) error {
	ctx, cancel := half(ctx)
	defer cancel()
	t.serve(nil, nil)
	t.others, t.refused, t.named = nil, nil, nil
	if k := t.cache.latest(t.name); k != nil && t.remote {
		ctx = withKnown(ctx, k)
	}
	p, raw, err := t.read(ctx, metadata.TagLatest)
	if err == nil && p.IsDraft() {
		err = fmt.Errorf("%s: latest: %w: it names a draft: tags cannot be moved here", t.name, tuf.ErrUnreadable)
	}
	if err == nil {
		t.serve(p, raw)
		t.named = raw
		t.keepLatest(raw)
		return nil
	}
	if !errors.Is(err, ErrNotFound) && !errors.Is(err, tuf.ErrUnreadable) && !failing(err) {
		return err
	}
	if err = t.openListed(ctx, 0, err); errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: %w", tuf.ErrNotFound, err)
	}
	return err
}

// keepLatest remembers the manifest that a registry has now.
func (t *Trust) keepLatest(raw []byte) {
	if t.remote {
		t.cache.putLatest(t.name, raw)
	}
}

// Publication returns what Open found, or nil.
func (t *Trust) Publication() *tuf.Publication { return t.state }

// half returns a context that leaves half of the time to others: a repository
// that does not answer must not use up what the next one needs.
func half(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// openListed tries the highest listed states of at least version.
func (t *Trust) openListed(ctx context.Context, version int64, cause error) error {
	entries, err := t.List(ctx)
	if err != nil {
		return err
	}
	states := newestStates(entries)
	for _, e := range states[:min(len(states), maxTries)] {
		if e.Version < version {
			break
		}
		p, raw, err := t.read(ctx, e.Tag)
		if err == nil {
			t.serve(p, raw)
			t.keepLatest(raw)
			return nil
		}
		cause = err
	}
	return cause
}

// Next opens the highest listed state that was not opened yet: what was opened
// turned out to be forged. It looks at a bounded number, and lists once.
func (t *Trust) Next(ctx context.Context) error {
	if t.state != nil {
		t.refused = append(t.refused, t.state.Identity())
	}
	if t.others == nil {
		entries, err := t.List(ctx)
		if err != nil {
			return err
		}
		states := newestStates(entries)
		t.others = states[:min(len(states), 2*maxTries)]
	}
	for len(t.others) > 0 {
		e := t.others[0]
		t.others = t.others[1:]
		p, raw, err := t.read(ctx, e.Tag)
		if err != nil || slices.Contains(t.refused, p.Identity()) {
			continue
		}
		t.serve(p, raw)
		return nil
	}
	return fmt.Errorf("%s: %w: no other state", t.name, tuf.ErrNotFound)
}

// Prefetch fetches in one parallel batch what an update will ask for: roots,
// snapshot, targets, and the role files whose unsigned hints match. If the
// reader knows of a newer timestamp than this repository's latest has, or that
// one is expired, the listed states are tried first.
func (t *Trust) Prefetch(ctx context.Context, want tuf.Want) {
	if t.state == nil {
		return
	}
	ctx, cancel := half(ctx)
	defer cancel()
	if t.behind(want) {
		was, raw := t.state, t.raw
		if t.openListed(ctx, want.Timestamp, nil) != nil || t.state == nil {
			t.serve(was, raw)
		}
	}
	t.fetchAll(ctx, t.wanted(want))
}

func (t *Trust) behind(want tuf.Want) bool {
	raw := t.local(t.state.Timestamp.Digest)
	if raw == nil {
		return false
	}
	f, err := metadata.Decode(metadata.RoleTimestamp, raw)
	return err == nil && (f.Version < want.Timestamp || !want.Now.IsZero() && f.ExpiredAt(want.Now))
}

func (t *Trust) wanted(want tuf.Want) []tuf.File {
	p := t.state
	var out []tuf.File
	if len(p.Roots) > 0 && p.RootPack.Digest != "" && want.AfterRoot+1 < p.Roots[0].Version {
		out = append(out, p.RootPack)
	}
	for _, f := range p.Roots {
		if f.Version > want.AfterRoot {
			out = append(out, f)
		}
	}
	for _, f := range []tuf.File{p.Timestamp, p.Snapshot, p.Targets} {
		if !want.Has(f.Role, f.Digest.Encoded()) {
			out = append(out, f)
		}
	}
	return append(out, t.hinted(want)...)
}

// hinted picks the role files that the search will probably open, within
// bounds that a lying hint cannot lift.
func (t *Trust) hinted(want tuf.Want) []tuf.File {
	var out []tuf.File
	size := int64(0)
	for _, f := range t.state.Roles {
		if !want.Hinted(f.Patterns) || want.Has(f.Role, f.Digest.Encoded()) || t.local(f.Digest) != nil {
			continue
		}
		if size+f.Length > metadata.MaxPrefetch || len(out) == metadata.MaxPrefetches {
			continue
		}
		size += f.Length
		out = append(out, f)
	}
	return out
}

// Timestamp returns the timestamp of the publication that Open found.
func (t *Trust) Timestamp(ctx context.Context) ([]byte, error) {
	return t.file(ctx, t.state.Timestamp)
}

// File returns a file by the hash that signed metadata gives it, else by its
// name in the publication that Open found.
func (t *Trust) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	if d := want.Hashes.Digest(); d != "" && want.Length > 0 {
		raw, err := t.file(ctx, tuf.File{Role: role, Version: want.Version, Length: want.Length, Digest: d})
		if errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("%w: %w", tuf.ErrNotFound, err)
		}
		return raw, err
	}
	f := t.state.Snapshot
	ok := true
	if role != metadata.RoleSnapshot {
		f, ok = t.state.Role(role)
	}
	if !ok || f.Version != want.Version {
		return nil, fmt.Errorf("%s: %w: %s version %d", t.name, tuf.ErrNotFound, role, want.Version)
	}
	return t.file(ctx, f)
}

// Root returns a root from its layer or from the root pack.
func (t *Trust) Root(ctx context.Context, version int64) ([]byte, error) {
	for _, f := range t.state.Roots {
		if f.Version == version {
			return t.file(ctx, f)
		}
	}
	if p := t.state; p.RootPack.Digest != "" && version < p.Roots[0].Version {
		return t.packed(ctx, version)
	}
	return nil, fmt.Errorf("%s: %w: root version %d", t.name, tuf.ErrNotFound, version)
}

func (t *Trust) packed(ctx context.Context, version int64) ([]byte, error) {
	if t.roots == nil {
		raw, err := t.file(ctx, t.state.RootPack)
		if err != nil {
			return nil, err
		}
		if t.roots, err = tuf.UnpackRoots(raw); err != nil {
			return nil, fmt.Errorf("%s: root pack: %w", t.name, err)
		}
	}
	if raw := t.roots[version]; raw != nil {
		return raw, nil
	}
	return nil, fmt.Errorf("%s: %w: root version %d", t.name, tuf.ErrNotFound, version)
}
