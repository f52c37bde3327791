package promotion

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// parallel is how many files are copied at once.
const parallel = 8

// complete checks that ours is whole, and has the roots that the destination
// has.
func (m *Mirror) complete(ctx context.Context, ours, theirs *state) error {
	oldest, err := m.oldestThere(ctx, ours, theirs)
	if err != nil {
		return at(Destination, err)
	}
	return at(Source, m.whole(ctx, ours, oldest))
}

// oldestThere is the oldest root that the destination has and ours may lack.
// Roots that do not lead to the newest bind nobody: whoever may push can list
// them.
func (m *Mirror) oldestThere(ctx context.Context, ours, theirs *state) (int64, error) {
	if theirs == nil {
		return math.MaxInt64, nil
	}
	if theirs.pub.RootPack.Digest == ours.pub.RootPack.Digest && theirs.pub.Roots[0].Version >= ours.pub.Roots[0].Version {
		return math.MaxInt64, nil
	}
	oldest, err := oldestRoot(ctx, theirs.pub, theirs.Fetch)
	if err == nil {
		err = m.roots(ctx, theirs, math.MaxInt64)
	}
	if passed(err) {
		m.report("%s: its old roots are not taken for the publisher's: %v", m.To, err)
		return math.MaxInt64, nil
	}
	return oldest, err
}

// copyMissing copies the files of s that the destination lacks.
func (m *Mirror) copyMissing(ctx context.Context, s *state) error {
	var missing []tuf.File
	for _, f := range different(s.pub) {
		if !m.To.Holds(f.Digest) {
			missing = append(missing, f)
		}
	}
	return m.copyAll(ctx, s.Pass, missing)
}

// different are the files of a publication, each once: roles that list nothing
// may have one file.
func different(pub *tuf.Publication) []tuf.File {
	seen := map[digest.Digest]bool{}
	return slices.DeleteFunc(pub.Files(), func(f tuf.File) bool {
		was := seen[f.Digest]
		seen[f.Digest] = true
		return was
	})
}

func (m *Mirror) copyAll(ctx context.Context, pass func(context.Context, tuf.File) ([]byte, error), files []tuf.File) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, f := range files {
		g.Go(func() error {
			raw, err := pass(gctx, f)
			if err != nil {
				return at(Source, err)
			}
			if err := m.To.Take(gctx, f, raw); err != nil {
				return at(Destination, err)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			m.files, m.bytes = m.files+1, m.bytes+f.Length
			return nil
		})
	}
	return g.Wait()
}

// store writes the manifest of s, whose files the destination has, under the
// state's own tag. A registry that misses a file after all gets every one that
// it does not give out.
func (m *Mirror) store(ctx context.Context, s *state) error {
	e, err := m.To.CommitManifest(ctx, s.manifest)
	if errors.Is(err, registrystore.ErrIncomplete) {
		if _, err := m.resend(ctx, s); err != nil {
			return err
		}
		e, err = m.To.CommitManifest(ctx, s.manifest)
	}
	if errors.Is(err, tuf.ErrOccupied) {
		// Under the state's tag, which does not move here, somebody keeps the
		// same publication in another form.
		there, rerr := m.there(ctx, e, s)
		if rerr != nil {
			return at(Destination, errors.Join(err, rerr))
		}
		s.manifest = there.manifest
		return nil
	}
	m.wrote = m.wrote || err == nil
	return at(Destination, err)
}

// listed reads and verifies a listed state, under the root that it names.
func (m *Mirror) listed(ctx context.Context, t *registrystore.Trust, e tuf.Entry) (*state, error) {
	l, err := t.At(ctx, e)
	if err != nil {
		return nil, err
	}
	return m.verified(ctx, l, tuf.MemoryStore{})
}

// there reads a state that the destination lists, and verifies that it is
// whole: readers are pointed at it. One that is ours needs no second look.
func (m *Mirror) there(ctx context.Context, e tuf.Entry, ours *state) (*state, error) {
	l, err := m.To.At(ctx, e)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(l.Manifest(), ours.manifest) {
		return ours, nil
	}
	s, err := m.verified(ctx, l, tuf.MemoryStore{})
	if err != nil {
		return nil, err
	}
	return s, m.whole(ctx, s, math.MaxInt64)
}

// commit stores s, unless the destination has it, and points latest at it: the
// one switch that readers see. A layout is locked so long, and no longer: a
// source that does not answer keeps nobody out.
func (m *Mirror) commit(ctx context.Context, s *state, stored bool) (has *state, err error) {
	l, locks := m.To.Journal().(tuf.Locker)
	if locks {
		unlock, err := l.Lock(ctx)
		if err != nil {
			return nil, at(Destination, err)
		}
		defer func() { err = errors.Join(err, at(Destination, unlock())) }()
	}
	if !stored {
		if err := m.store(ctx, s); err != nil {
			return nil, err
		}
	}
	if locks { // the list costs nothing, and nobody comes between
		if above, err := m.above(ctx, s); err == nil && above != nil {
			s = above
		}
	}
	has, err = m.switchLatest(ctx, s)
	return has, at(Destination, err)
}

// switchLatest points latest at s, and looks afterwards: another mirror's late
// write may have come between, or the publisher itself may write there. Every
// writer lists after its write, so the last one sees what the others stored
// before.
func (m *Mirror) switchLatest(ctx context.Context, s *state) (*state, error) {
	for range 2 {
		err := m.To.AdvanceManifest(ctx, s.manifest)
		if errors.Is(err, registrystore.ErrImmutable) {
			m.report("%s: latest stays as it is, since tags cannot be moved there: readers find the state by its own tag", m.To)
			return s, nil
		}
		if err != nil {
			return s, err
		}
		m.wrote = true
		above, err := m.above(ctx, s)
		if err != nil || above == nil {
			return s, err
		}
		s = above
	}
	return s, nil
}

// maxTries is how many listed states that cannot be verified are passed by.
const maxTries = 4

// greatest returns the greatest state that the destination lists, s or one
// above it, or nil if it lists none.
func (m *Mirror) greatest(ctx context.Context, s *state) (*state, error) {
	entries, err := m.To.List(ctx)
	if err != nil {
		return nil, err
	}
	if above, err := m.firstOf(ctx, s, aboveOf(entries, s)); above != nil || err != nil {
		return above, err
	}
	return m.firstOf(ctx, s, states(entries, func(e tuf.Entry) bool { return tuf.CompareEntries(e, s.listedAs()) == 0 }))
}

// above is greatest without s itself.
func (m *Mirror) above(ctx context.Context, s *state) (*state, error) {
	entries, err := m.To.List(ctx)
	if err != nil {
		return nil, err
	}
	return m.firstOf(ctx, s, aboveOf(entries, s))
}

func aboveOf(entries []tuf.Entry, s *state) []tuf.Entry {
	above := states(entries, func(e tuf.Entry) bool { return tuf.CompareEntries(e, s.listedAs()) > 0 })
	return above[:min(len(above), maxTries)]
}

// firstOf returns the first of the listed states that can be taken, or nil.
// What cannot be read, or is not this publisher's, is passed by.
func (m *Mirror) firstOf(ctx context.Context, ours *state, list []tuf.Entry) (*state, error) {
	for _, e := range list {
		there, err := m.there(ctx, e, ours)
		switch {
		case err == nil:
			return there, nil
		case ctx.Err() != nil:
			return nil, err
		}
		m.report("%s: tag %s: passed by: %v", m.To, e.Tag, err)
	}
	return nil, nil
}

// states returns the states among entries that keep says, the newest first.
func states(entries []tuf.Entry, keep func(tuf.Entry) bool) []tuf.Entry {
	out := slices.DeleteFunc(slices.Clone(entries), func(e tuf.Entry) bool { return e.Draft || !keep(e) })
	slices.SortFunc(out, func(a, b tuf.Entry) int { return tuf.CompareEntries(b, a) })
	return out
}

// passed reports whether err is about one listed state only: it is gone, or
// this publisher did not sign it so.
func passed(err error) bool {
	for _, kind := range []error{tuf.ErrUnreadable, tuf.ErrInvalid, tuf.ErrThreshold, tuf.ErrRollback} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}
