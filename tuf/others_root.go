package tuf

import (
	"context"
	"fmt"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// rootMoved decides what it means that another publication has a newer root.
// Roots are never joined: who meets one starts over from it. A draft of one
// may be committed at any moment, and what is committed beside it would be
// lost to its readers.
func (w *writing) rootMoved(rev *revision) error {
	if rev.committed {
		return fmt.Errorf("%w: it has root version %d", errStartOver, rev.root.Version)
	}
	if age := w.repo.age(rev); age > DraftLife || age < -MaxClockSkew {
		return fmt.Errorf("%w: a draft of root version %d that nobody committed", errForeign, rev.root.Version)
	}
	return fmt.Errorf("%w: somebody is publishing root version %d, which takes at most %s", errStartOver, rev.root.Version, DraftLife.Round(time.Minute))
}

// dropped is what a publication with a new root knows of the keys of snapshot
// and timestamp that the new root drops. What they published before its draft
// was first held against a list is the last word of writers who could not know
// of the new root: it is joined, role by role as the new root trusts them.
// Whoever lists later sees the draft and does not commit; what comes then is a
// thief's, who could go on for ever.
type dropped struct {
	former   *metadata.File  // the root before; nil: this publication has no new root
	early    map[string]bool // identities of what was there
	compared bool            // the draft was held against a list
	waits    bool            // some of it is a draft that its writer may commit
}

// beside reads a publication that is not valid under the root of this one, for
// the reason cause, but was under the former root.
func (w *writing) beside(ctx context.Context, e Entry, cause error) (*revision, error) {
	if w.own.version <= w.base.version { // versions start again: what a thief could sign counts for nothing
		return nil, cause
	}
	rev, err := w.repo.readRevision(ctx, w.former, e)
	if err != nil {
		return nil, cause
	}
	if rev.root.Version > w.former.Version {
		return nil, w.rootMoved(rev)
	}
	if !w.compared {
		w.early[rev.id] = true
	}
	switch {
	case w.early[rev.id] && rev.committed:
		return rev, nil
	case w.early[rev.id] && w.repo.age(rev) < DraftLife/2:
		w.waits = true
	}
	return nil, fmt.Errorf("%w: it is by a key that the new root drops", errForeign)
}

// outlasts reports whether starting over because of x has to end: it is by a
// key that the new root drops, and a thief who has that could go on making such
// publications for ever.
func (w *writing) outlasts(x *revision) bool {
	return w.try > maxRestarts/2 && x.root.Version < w.root.Version
}

// late looks, after the commit of a new root, whether a draft that could not be
// waited for was committed meanwhile: then it has to be joined.
func (w *writing) late(ctx context.Context, rev *revision) error {
	if len(w.early) == 0 {
		return nil
	}
	entries, err := w.repo.opts.Journal.List(ctx)
	if err != nil {
		w.repo.report("whether others published under the former root could not be asked: %v", err)
		return nil
	}
	for _, e := range states(entries) {
		if e.Root > w.former.Version || rev.knows(e) || w.seen[e.Tag] != nil { // contained, or it was there and could not be joined
			continue
		}
		x, err := w.repo.readRevision(ctx, w.former, e)
		if err == nil && w.early[x.id] && w.lacks(ctx, rev, x) {
			return fmt.Errorf("%w: %s was committed under the former root at the same time", errHidden, e.Tag)
		}
	}
	return nil
}
