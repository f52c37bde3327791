package tuf

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// checkLeap refuses a snapshot in whose versions nobody can go on: only a
// thief comes to them.
func checkLeap(snapshot *metadata.File) error {
	highest := max(snapshot.Version, snapshot.Snapshot.Meta[metadata.RoleTargets].Version)
	if highest <= maxVersion {
		return nil
	}
	return fmt.Errorf("%w: snapshot version %d leapt to version %d", ErrInvalid, snapshot.Version, highest)
}

// maxBehind is how many listed states are passed by in search of one that can
// be read whole.
const maxBehind = 32

// loadBehind reads the newest state that verifiers take whole, where the one
// they are shown is sealed by keys that root lists and refused all the same,
// for the reason cause. Only a thief of the snapshot and timestamp keys makes
// such a state; his victim must be able to go on from the one before.
func (r *Repository) loadBehind(ctx context.Context, c *Client, cause error) (*State, error) {
	// That a file is nowhere is no verdict elsewhere; here it leads to nothing
	// but a root without the key.
	if c.timestamp == nil || !forged(cause) && !errors.Is(cause, ErrNotFound) && !rollsBack(cause) {
		return nil, cause
	}
	list, err := r.wholeStates(ctx, c.Root())
	if err != nil {
		return nil, errors.Join(cause, err)
	}
	seen := make([]*revision, 0, len(list)+1)
	for _, s := range list {
		seen = append(seen, s.rev)
	}
	if rev := c.remembered(); rev != nil {
		seen = append(seen, rev)
	}
	for _, s := range list {
		if !followsAll(s.rev, seen) {
			continue // in it something was taken back
		}
		s.spoilt = &spoilt{version: c.Timestamp().Version, cause: cause}
		if !c.current {
			s.spoilt.timestamp = c.Timestamp()
		}
		s.spoilt.snapshot = c.sealed(ctx)
		return s, nil
	}
	return nil, cause
}

// rollsBack reports whether the snapshot that a good timestamp names lists an
// older file than was seen. A timestamp that is old itself says nothing about
// keys: some mirror is behind.
func rollsBack(err error) bool {
	var back *RollbackError
	return errors.As(err, &back) && back.File == metadata.RoleSnapshot
}

// wholeStates returns the newest listed states that verifiers take whole, the
// newest first.
func (r *Repository) wholeStates(ctx context.Context, root *metadata.File) ([]*State, error) {
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []*State
	list := states(entries)
	for _, e := range list[:min(len(list), maxBehind)] {
		pub, err := r.opts.Journal.Read(ctx, e)
		if err != nil || pub.newestRoot() > root.Version {
			continue
		}
		if s := r.loadWhole(ctx, root, pub); s != nil {
			out = append(out, s)
		}
	}
	return out, ctx.Err()
}

// followsAll reports whether rev lists nothing in an older version than any of
// others. A thief of the key of snapshot can make a state that does, and its
// word on what it contains is worth nothing.
func followsAll(rev *revision, others []*revision) bool {
	return !slices.ContainsFunc(others, func(o *revision) bool { return !rev.follows(o) })
}

// remembered is the snapshot that was trusted before this update, if verifiers
// took that whole, or nil.
func (c *Client) remembered() *revision {
	if c.current || c.snapshot == nil || checkLeap(c.snapshot) != nil {
		return nil
	}
	had, err := c.stored(metadata.RoleTargets)
	if had == nil || err != nil || checkFile(metadata.RoleTargets, had, c.snapshot.Snapshot.Meta[metadata.RoleTargets]) != nil {
		return nil
	}
	return newRevision(nil, c.snapshot, c.root, true)
}

// sealed is the snapshot that the timestamp names, if root's keys signed one.
func (c *Client) sealed(ctx context.Context) *metadata.File {
	if c.current {
		return c.snapshot
	}
	f, err := c.fetch(ctx, metadata.RoleSnapshot, c.timestamp.Timestamp.Snapshot, func(f *metadata.File) error {
		return c.verifyTop(metadata.RoleSnapshot, f)
	})
	if err != nil {
		return nil
	}
	return f
}

// loadWhole reads one publication by a client that starts from root, or
// returns nil if verifiers would refuse it.
func (r *Repository) loadWhole(ctx context.Context, root *metadata.File, pub *Publication) *State {
	now := r.opts.Now()
	c, err := NewClient(Options{Root: root.Raw, Store: MemoryStore{}, Sources: []Source{&held{pub: pub, journal: r.opts.Journal}}, Now: now, AllowExpired: true})
	if err != nil || c.Refresh(ctx) != nil || checkLeap(c.Snapshot()) != nil {
		return nil
	}
	return &State{client: c, now: now, rev: newRevision(pub, c.Snapshot(), c.Root(), true)}
}

// spoilt is a newer state than the one that was loaded, which verifiers
// refuse though a key that root lists sealed it. They keep what they took of
// it: the snapshot, or where that was refused the timestamp, beside whatever
// snapshot they had; who sees it first may take the snapshot too.
type spoilt struct {
	version   int64
	timestamp *metadata.File // that they may keep, or nil
	snapshot  *metadata.File // that they may keep, or nil
	cause     error
}

// Spoilt says why verifiers refuse the newest state although a key that root
// lists sealed it, or is nil. The state itself is then the newest that they
// would take; nothing can be published but a root without the key that signed
// the other.
func (s *State) Spoilt() error {
	if s.spoilt == nil {
		return nil
	}
	return fmt.Errorf("timestamp version %d is signed by a key that root lists, and what it seals is not valid or not there: whoever did that has the key of timestamp, and perhaps that of snapshot: %w",
		s.spoilt.version, s.spoilt.cause)
}

// checkSpoilt refuses to publish on an older state under a root by which
// verifiers would keep what they saw of the spoilt one.
func (s *State) checkSpoilt(root *metadata.File) error {
	if s.spoilt == nil {
		return nil
	}
	for role, f := range map[string]*metadata.File{metadata.RoleTimestamp: s.spoilt.timestamp, metadata.RoleSnapshot: s.spoilt.snapshot} {
		if f != nil && VerifyThreshold(role, f, root.Root.Keys, root.Root.Roles[role]) == nil {
			return fmt.Errorf("%w: %w: replace the keys of snapshot and timestamp first, both in one new root", ErrImpossible, s.Spoilt())
		}
	}
	return nil
}
