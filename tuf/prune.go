package tuf

import (
	"context"
	"errors"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// Pruning says what [Repository.Prune] leaves.
type Pruning struct {
	Keep  int           // states, the newest ones; at least 1
	Pause time.Duration // the longest that a writer may take: nothing younger goes
}

// DefaultPruning keeps as many states as a join may look back on, and
// everything younger than a day.
var DefaultPruning = Pruning{Keep: metadata.MaxAncestors, Pause: 24 * time.Hour}

// Prune takes old states away, drafts that were committed or abandoned,
// proposals that are over or are none, and what is listed above the newest state
// and is no state. No root is lost:
// every state holds all of them. It returns the tags that are gone.
func (r *Repository) Prune(ctx context.Context, keep Pruning) ([]string, error) {
	state, err := r.Load(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	roots, err := r.Roots(ctx, state)
	if err != nil {
		return nil, err
	}
	var old []Entry
	newest := state.Timestamp().Version
	oldest := oldestKept(entries, newest, keep.Keep)
	for _, e := range states(entries) {
		if e.Version >= oldest && e.Version <= newest {
			continue
		}
		// Above the newest: garbage, or where a thief leapt to before a new root.
		rev, err := r.readPrunable(ctx, state, roots, e)
		passed := e.Version < oldest || e.Root < state.Root().Version
		if isGarbage(err) || rev != nil && passed && r.isOld(rev, keep.Pause) {
			old = append(old, e)
		}
	}
	for _, e := range entries {
		if !e.Draft {
			continue
		}
		rev, err := r.readRevision(ctx, state.Root(), e)
		if isGarbage(err) || err == nil && r.isOld(rev, keep.Pause) {
			old = append(old, e)
		}
	}
	tags, err := r.pruneProposals(ctx, state)
	if len(old) == 0 || err != nil {
		return tags, err
	}
	for _, e := range old {
		tags = append(tags, e.Tag)
	}
	return tags, r.opts.Journal.Delete(ctx, old...)
}

// oldestKept returns the version below which states may go. It counts
// versions up to the newest and not tags, of which anybody who may push can
// add any number.
func oldestKept(entries []Entry, newest int64, n int) int64 {
	oldest := newest
	for _, e := range states(entries) {
		if e.Version < oldest {
			if n--; n < 1 {
				break
			}
			oldest = e.Version
		}
	}
	return oldest
}

// readPrunable reads a state that may go. One that claims a root after the
// newest is held against that: no such root is known.
func (r *Repository) readPrunable(ctx context.Context, state *State, roots map[int64]*metadata.File, e Entry) (*revision, error) {
	if e.Root > state.Root().Version {
		return r.readRevision(ctx, state.Root(), e)
	}
	return r.readState(ctx, roots, e)
}

// isGarbage reports that what was read is no publication. What could not be
// read just now may be one.
func isGarbage(err error) bool {
	return (errors.Is(err, errForeign) || errors.Is(err, ErrUnreadable)) && !errors.Is(err, ErrNotFound)
}

// isOld reports whether rev was signed longer ago than d, or will be: no
// honest clock is that far ahead.
func (r *Repository) isOld(rev *revision, d time.Duration) bool {
	age := r.age(rev)
	return age > d || age < -d
}
