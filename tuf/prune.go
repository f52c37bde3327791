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

// Prune takes old states away, and drafts that were committed or abandoned.
// No root is lost: every state holds all of them. It returns the tags that
// are gone. A state that cannot be read is old if it is not among the newest.
func (r *Repository) Prune(ctx context.Context, keep Pruning) ([]string, error) {
	state, err := r.Load(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	var old []Entry
	for i, e := range states(entries) {
		if i >= max(keep.Keep, 1) && e.Version < state.rev.version && r.olderThan(ctx, state.Root(), e, keep.Pause) {
			old = append(old, e)
		}
	}
	for _, e := range entries {
		if e.Draft && r.olderThan(ctx, state.Root(), e, keep.Pause) {
			old = append(old, e)
		}
	}
	tags := make([]string, len(old))
	for i, e := range old {
		tags[i] = e.Tag
	}
	if len(old) == 0 {
		return nil, nil
	}
	return tags, r.opts.Journal.Delete(ctx, old...)
}

func (r *Repository) olderThan(ctx context.Context, root *metadata.File, e Entry, d time.Duration) bool {
	rev, err := r.readRevision(ctx, root, e)
	if err != nil {
		// What is no publication is old; what could not be asked is not.
		return errors.Is(err, errForeign) || errors.Is(err, ErrUnreadable)
	}
	age := r.age(root, rev)
	return age > d || age < -d // no honest clock is that far ahead
}
