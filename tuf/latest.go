package tuf

import (
	"context"
	"fmt"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// advance points latest at the greatest state: at ours, and if a list then
// shows a greater one that is properly signed, at that; a write that failed is
// made once more after the list (docs/spec.md, "Latest"). Latest is a hint: a
// failure is reported and changes nothing. It returns the greater state, or nil.
func (r *Repository) advance(ctx context.Context, root *metadata.File, pub *Publication, at Entry) (above *revision) {
	for n := 0; n < 2 && (n == 0 || ctx.Err() == nil); n++ {
		moved := r.opts.Journal.Advance(ctx, pub)
		rev, e, err := r.greater(ctx, root, at)
		if err != nil {
			r.report("the list of tags could not be read after the publication: %v", err)
		}
		if rev != nil {
			pub, at, above = rev.pub, e, rev
		}
		if moved != nil {
			r.report("the tag latest was not moved: %v", moved)
		} else if rev == nil {
			return above
		}
	}
	return above
}

// greater returns the greatest listed state above at that can be read and is
// signed, or nil. It tries a bounded number.
func (r *Repository) greater(ctx context.Context, root *metadata.File, at Entry) (*revision, Entry, error) {
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, at, err
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Draft || CompareEntries(e, at) <= 0 })
	slices.SortFunc(entries, func(a, b Entry) int { return CompareEntries(b, a) })
	for _, e := range entries[:min(len(entries), maxTries)] {
		if rev, err := r.readRevision(ctx, root, e); err == nil {
			return rev, e, nil
		}
	}
	return nil, at, nil
}

// maxTries is how many listed states that cannot be read are passed by.
const maxTries = 4

// errHidden says that what was committed must be joined with a greater state,
// which somebody committed who could not wait for it (docs/spec.md,
// "Publication", step 6).
var errHidden = fmt.Errorf("%w: hidden", errStartOver)

// lacks reports whether above, a greater state than rev, is without something
// that rev says.
func (w *writing) lacks(ctx context.Context, above, rev *revision) bool {
	if above.descends(rev) {
		return false
	}
	if above.root.Version > w.root.Version {
		return true
	}
	j, err := w.joinOne(ctx, above, rev)
	return err != nil || j == nil || !j.equalsOurs
}
