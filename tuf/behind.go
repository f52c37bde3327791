package tuf

import (
	"context"
	"errors"
	"fmt"

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
	if c.timestamp == nil || !forged(cause) && !errors.Is(cause, ErrNotFound) {
		return nil, cause
	}
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, errors.Join(cause, err)
	}
	list := states(entries)
	for _, e := range list[:min(len(list), maxBehind)] {
		pub, err := r.opts.Journal.Read(ctx, e)
		if err != nil || pub.newestRoot() > c.Root().Version {
			continue
		}
		if s := r.loadWhole(ctx, c.Root(), pub); s != nil {
			s.spoilt = &spoilt{timestamp: c.Timestamp(), cause: cause}
			if c.current {
				s.spoilt.snapshot = c.Snapshot()
			}
			return s, nil
		}
	}
	return nil, cause
}

// loadWhole reads one publication by a client that starts from root, or
// returns nil if verifiers would refuse it.
func (r *Repository) loadWhole(ctx context.Context, root *metadata.File, pub *Publication) *State {
	now := r.opts.Now()
	c, err := NewClient(Options{Root: root.Raw, Store: MemoryStore{}, Sources: []Source{&held{pub, r.opts.Journal}}, Now: now, AllowExpired: true})
	if err != nil || c.Refresh(ctx) != nil || checkLeap(c.Snapshot()) != nil {
		return nil
	}
	return &State{client: c, now: now, rev: newRevision(pub, c.Snapshot(), c.Root(), true)}
}

// spoilt is a newer state than the one that was loaded, which verifiers
// refuse though a key that root lists sealed it.
type spoilt struct {
	timestamp *metadata.File
	snapshot  *metadata.File // nil if there is none that the timestamp names
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
		s.spoilt.timestamp.Version, s.spoilt.cause)
}

// checkSpoilt refuses to publish on an older state under a root by which
// verifiers would keep what they saw of the spoilt one: its snapshot, and
// where there is none its timestamp.
func (s *State) checkSpoilt(root *metadata.File) error {
	if s.spoilt == nil {
		return nil
	}
	role, f := metadata.RoleTimestamp, s.spoilt.timestamp
	if s.spoilt.snapshot != nil {
		role, f = metadata.RoleSnapshot, s.spoilt.snapshot
	}
	if VerifyThreshold(role, f, root.Root.Keys, root.Root.Roles[role]) != nil {
		return nil
	}
	return fmt.Errorf("%w: %w: replace the keys of snapshot and timestamp first, both in one new root", ErrImpossible, s.Spoilt())
}
