package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Floor is the oldest metadata of a publisher that a verifier takes, for one
// that remembers nothing of that publisher: both versions were seen once, by
// somebody whom the caller believes. The zero Floor bounds nothing.
//
// The timestamp's part is void once the newest root lacks a timestamp key that
// root version Root lists: versions may have started again when it was taken
// away. Who pinned a later root cannot know those keys: then the floor holds.
type Floor struct {
	Root      int64 // version, from 1
	Timestamp int64 // version
}

// errBelowFloor is what becomes the reason [BelowFloor].
var errBelowFloor = errors.New("below the floor")

// aboveFloor fails if the session's metadata is older than a floor: one that
// the caller gave, or one that a promoter's signature recorded
// (docs/spec.md, "Freshness").
func (s *session) aboveFloor(ctx context.Context, floor Floor) error {
	if s.err != nil {
		return s.err
	}
	return floor.Check(s.client.Root(), s.client.Timestamp(), func(version int64) (*metadata.Root, error) { return s.rootAt(ctx, version) })
}

// Check fails if root or timestamp, which are trusted, are older than the
// floor. RootAt returns the root of a version by the chain from the pinned one.
func (f Floor) Check(root, timestamp *metadata.File, rootAt func(version int64) (*metadata.Root, error)) error {
	if root.Version < f.Root {
		return fmt.Errorf("%w: root version %d where at least %d is known of", errBelowFloor, root.Version, f.Root)
	}
	if timestamp.Version >= f.Timestamp {
		return nil
	}
	if then, err := rootAt(f.Root); err == nil && restarted(then, root.Root) {
		return nil
	}
	return fmt.Errorf("%w: timestamp version %d where at least %d is known of", errBelowFloor, timestamp.Version, f.Timestamp)
}

// restarted reports whether a timestamp key of the root then was taken away
// since: versions may have started again.
func restarted(then, now *metadata.Root) bool {
	listed := timestampKeys(now)
	for id := range timestampKeys(then) {
		if !listed[id] {
			return true
		}
	}
	return false
}

func timestampKeys(r *metadata.Root) map[string]bool {
	out := map[string]bool{}
	for _, id := range r.Roles[metadata.RoleTimestamp].KeyIDs {
		if key, err := tuf.KeyIdentity(r.Keys[id]); err == nil {
			out[key] = true
		}
	}
	return out
}

// rootAt returns the root of a version by the chain from the pinned one:
// nobody else's word counts.
func (s *session) rootAt(ctx context.Context, version int64) (*metadata.Root, error) {
	f, err := OpenRoot(s.pin.Root)
	if err != nil {
		return nil, err
	}
	sources := s.attached
	if sources == nil {
		if sources, err = s.open(); err != nil {
			return nil, err
		}
		sources = opened(ctx, sources)
	}
	for f.Version < version {
		if f, err = nextRoot(ctx, f, sources); err != nil {
			return nil, err
		}
	}
	if f.Version != version {
		return nil, fmt.Errorf("root version %d is older than the pinned one", version)
	}
	return f.Root, nil
}

// nextRoot returns the first valid successor that a source has.
func nextRoot(ctx context.Context, trusted *metadata.File, sources []tuf.Source) (*metadata.File, error) {
	err := fmt.Errorf("root version %d: %w", trusted.Version+1, tuf.ErrNotFound)
	for _, s := range sources {
		var raw []byte
		if raw, err = s.Root(ctx, trusted.Version+1); err != nil {
			continue
		}
		var f *metadata.File
		if f, err = tuf.NextRoot(trusted, raw); err == nil {
			return f, nil
		}
	}
	return nil, err
}

// opened returns the sources that can be read.
func opened(ctx context.Context, sources []tuf.Source) []tuf.Source {
	return slices.DeleteFunc(sources, func(src tuf.Source) bool {
		p, ok := src.(tuf.Prefetcher)
		return ok && p.Open(ctx) != nil
	})
}
