package tuf

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Lifetime returns how long a new file of role lives, as root says or by
// default: what a file that was signed just now has left.
func (s *State) Lifetime(role string) time.Duration { return expiry(s.Root().Root, role) }

// Hint is what the tag latest names, against the newest state. Latest is a
// hint: readers that know better, or find none, list.
type Hint struct {
	// Latest is the version of the state that latest names, 0 if it names none:
	// there is no such tag, or tags cannot be moved.
	Latest int64
	// Newest is the version of the newest state that is listed, signed and can
	// be read; never older than the state that was loaded.
	Newest int64
	// Behind says that latest names an older state than that: who knows no
	// better is shown the older one. The next publication moves latest.
	Behind bool
}

// Hint compares the tag latest of the journal's repository with the newest
// state that is listed there.
func (r *Repository) Hint(ctx context.Context, s *State) (Hint, error) {
	at := Entry{Root: s.Root().Version, Version: s.rev.version, Digest: s.rev.id[:12]}
	_, newest, err := r.greater(ctx, s.Root(), at)
	if err != nil {
		return Hint{}, err
	}
	h := Hint{Newest: newest.Version}
	pub, err := r.opts.Journal.Latest(ctx)
	switch {
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrUnreadable):
		return h, nil
	case err != nil:
		return h, fmt.Errorf("%w: latest: %w", ErrUnreachable, err)
	case pub.IsDraft() || len(pub.Roots) == 0:
		return h, nil
	}
	h.Latest = pub.Snapshot.Version
	named := Entry{Root: pub.Roots[len(pub.Roots)-1].Version, Version: h.Latest, Digest: pub.Identity()[:12]}
	h.Behind = CompareEntries(named, newest) < 0
	return h, nil
}
