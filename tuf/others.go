package tuf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// Limits on what a writer looks at (docs/spec.md, "Join").
const (
	window   = metadata.MaxAncestors // versions below the newest
	maxReads = 32                    // publications read in one round
)

// others lists the repository and returns the publications that ours does not
// contain and that are properly signed: states first, the newest first. What
// cannot be read, breaks a limit or is signed by nobody who may is passed by.
// More says that some were not looked at: they are in the next round.
func (w *writing) others(ctx context.Context, ours *revision) (revs []*revision, more bool, err error) {
	entries, err := w.repo.opts.Journal.List(ctx)
	if err != nil {
		return nil, false, err
	}
	w.listed = entries
	var out []*revision
	reads := 0
	for _, e := range w.unknown(entries, ours) {
		rev, known := w.seen[e.Tag]
		if !known {
			if reads++; reads > maxReads {
				more = true
				break
			}
			if rev, err = w.read(ctx, e); err != nil {
				return nil, false, err
			}
		}
		if rev != nil && !ours.descends(rev) {
			out = append(out, rev)
		}
	}
	w.compared = true
	return heads(out), more, nil
}

// unknown picks the entries worth reading.
func (w *writing) unknown(entries []Entry, ours *revision) []Entry {
	out := slices.Clone(entries)
	out = slices.DeleteFunc(out, func(e Entry) bool {
		far := e.Root <= w.root.Version && (e.Version < w.own.version-window || e.Version >= w.own.version+MaxLeap)
		return w.void[e.Tag] || far || w.contained(ours, e)
	})
	slices.SortFunc(out, func(a, b Entry) int {
		if a.Draft != b.Draft {
			return cmp.Compare(boolInt(a.Draft), boolInt(b.Draft))
		}
		return CompareEntries(b, a)
	})
	return out
}

// contained reports whether ours contains e: by its own word, unless e was
// read and is a witness against that.
func (w *writing) contained(ours *revision, e Entry) bool {
	for _, rev := range w.seen {
		if rev != nil && strings.HasPrefix(rev.id, e.Digest) && !ours.descends(rev) {
			return false
		}
	}
	return ours.knows(e)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// read reads one listed publication and remembers it. A failure concerns that
// publication alone, unless the command's time is over or root moved on.
func (w *writing) read(ctx context.Context, e Entry) (*revision, error) {
	rev, err := w.repo.readRevision(ctx, w.root, e)
	if err == nil && rev.root.Version > w.root.Version {
		rev, err = nil, w.rootMoved(rev)
	}
	if w.former != nil && errors.Is(err, errForeign) {
		rev, err = w.beside(ctx, e, err)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if errors.Is(err, errStartOver) {
		return nil, err
	}
	if err != nil {
		w.repo.report("%s is passed by: %v", e.Tag, err)
		rev = nil
	}
	if !w.waits {
		w.seen[e.Tag] = rev
	}
	return rev, nil
}

// heads leaves out what another one contains, and of a draft and the state
// that was committed from it the draft.
func heads(revs []*revision) []*revision {
	var out []*revision
	for i, a := range revs {
		contained := slices.ContainsFunc(revs[:i], func(b *revision) bool { return b.id == a.id }) ||
			slices.ContainsFunc(revs, func(b *revision) bool { return b.id != a.id && b.descends(a) })
		if !contained {
			out = append(out, a)
		}
	}
	return out
}

// fold joins others into ours. It returns ours itself if nothing is to do, or
// one of others if that contains ours and is greater: then it is adopted.
func (w *writing) fold(ctx context.Context, ours *revision, others []*revision) (*revision, error) {
	n := next{root: w.root, keep: ours, version: ours.version}
	parts := []*revision{ours}
	cur := ours
	above := ours.version // the version that ours must exceed, if below
	for _, x := range others {
		j, err := w.joinOne(ctx, cur, x)
		if errors.Is(err, errStartOver) && w.outlasts(x) {
			w.repo.report("%s is passed by: it is by a key that the new root drops, and again and again somebody makes such ones: %v", short(x), err)
			j, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case j == nil: // left to its writers
			above = max(above, x.version+1)
		case cur == ours && !w.isOld(x) && !w.stale(x) && adopts(ours, x, j):
			return x, w.repo.mend(ctx, x)
		case j.equalsOurs && x.version < cur.version:
		default:
			parts = append(parts, x)
			n.keep, n.files, n.hints = cur, j.files, j.hints
			n.version = max(cur.version+1, x.version+1, above)
			n.parents = lineage(parts...)
			if cur, err = w.repo.assemble(ctx, n); err != nil {
				return nil, err
			}
		}
	}
	if above > cur.version {
		return w.repo.assemble(ctx, next{root: w.root, keep: cur, version: above, parents: lineage(parts...)})
	}
	return cur, nil
}

// stale reports whether x was committed before this refresh began: to adopt it
// would refresh nothing.
func (w *writing) stale(x *revision) bool {
	return w.forced && x.committed && w.repo.age(x) > DraftLife/2
}

// adopts reports whether x contains ours and is greater: more content, then
// version, then digest. A draft must name ours among its parents, or say the
// same in the same version: another one may be taken away by its writer, and
// then who comes later joins ours, in a version that x would hide.
func adopts(ours, x *revision, j *joined) bool {
	stays := x.committed || x.contains(ours.id)
	if !j.equalsTheirs || x.madeUnder() < ours.madeUnder() {
		return false
	}
	if j.equalsOurs {
		return compareRevisions(x, ours) > 0 && (stays || x.version == ours.version)
	}
	return x.version >= ours.version && stays
}

// joinOne joins x into cur. It returns nil if x is a draft that is left to
// its writers.
func (w *writing) joinOne(ctx context.Context, cur, x *revision) (*joined, error) {
	base, err := w.ancestor(ctx, cur, x)
	if errors.Is(err, errForeign) {
		return nil, w.refusal(ctx, cur, x, err)
	}
	if err != nil {
		return nil, err
	}
	if base == nil {
		if x.committed && compareRevisions(x, cur) > 0 {
			return nil, fmt.Errorf("%w: %s, with which nothing recent is shared", errStartOver, short(x))
		}
		if !x.committed && w.repo.age(x) < DraftLife/2 {
			w.left = true
		}
		return nil, nil
	}
	j, err := w.repo.join(ctx, w.root, base, cur, x)
	if err == nil {
		return j, nil
	}
	return nil, w.refusal(ctx, cur, x, err)
}

// refusal decides what it means that x cannot be joined: nil leaves it to its
// writers.
func (w *writing) refusal(ctx context.Context, cur, x *revision, err error) error {
	var conflict *ConflictError
	age := w.repo.age(x)
	stale := !x.committed && (age > DraftLife || age < -MaxClockSkew)
	switch {
	case errors.Is(err, errForeign) || stale:
		w.repo.report("%s is passed by: %v", short(x), err)
		return nil
	case w.taken && x.committed && (errors.Is(err, ErrNoKey) || errors.As(err, &conflict)):
		return fmt.Errorf("%w: it overtook a proposal: %w", errStartOver, err)
	case errors.Is(err, ErrNoKey):
		if x.committed && cur != w.own {
			return fmt.Errorf("%w: %w", errStartOver, err) // cur took a draft that contradicts it
		}
		if x.committed {
			return fmt.Errorf("%s, which others committed, must be joined first: %w", short(x), err)
		}
		w.left = true
		return nil
	case errors.As(err, &conflict) && cur != w.own:
		// Perhaps between others, and not with what is wanted here.
		if _, own := w.joinOne(ctx, w.own, x); own != nil {
			return own
		}
		if !x.committed {
			w.left = true
			return nil
		}
		return fmt.Errorf("%w: %w", errStartOver, err)
	case errors.Is(err, errStartOver) && !x.committed:
		return fmt.Errorf("%w: somebody is changing the same role and needs more than one signature: wait up to %s", ErrContended, DraftLife.Round(time.Minute))
	}
	return err
}

// ancestor returns the newest publication that cur and x contain, or nil if
// none is known or that one cannot be read: an older one would bring back
// what was removed since. It fails with errForeign if x goes behind what it
// claims to contain.
func (w *writing) ancestor(ctx context.Context, cur, x *revision) (*revision, error) {
	for _, p := range ancestors(cur, x) {
		rev, err := w.find(ctx, p.ID, cur, x)
		if rev == nil || err != nil {
			return nil, err
		}
		if !x.follows(rev) {
			return nil, fmt.Errorf("%w: it claims to contain %s and lists older files", errForeign, short(rev))
		}
		if cur.follows(rev) { // else cur took that from somebody who lied
			return rev, nil
		}
	}
	return nil, nil
}

// find returns the publication with an identity, or nil if it is not listed or
// cannot be read.
func (w *writing) find(ctx context.Context, id string, others ...*revision) (*revision, error) {
	revs := slices.Collect(maps.Values(w.seen))
	for _, rev := range append(revs, append(others, w.base, w.own)...) {
		if rev != nil && rev.id == id {
			return rev, nil
		}
	}
	for _, e := range w.listed {
		if e.Digest != id[:12] {
			continue
		}
		if _, known := w.seen[e.Tag]; !known {
			if rev, err := w.read(ctx, e); err != nil || rev != nil && rev.id == id {
				return rev, err
			}
		}
		if w.former == nil {
			continue
		}
		// From before the new root: good enough to compare with.
		if rev, err := w.repo.readRevision(ctx, w.former, e); err == nil && rev.id == id {
			return rev, nil
		}
	}
	return nil, nil
}
