package promotion

import (
	"context"
	"errors"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// parallel is how many files are copied at once.
const parallel = 8

// publish stores ours and then moves latest, which is the one switch that
// readers see.
func (m *Mirror) publish(ctx context.Context, ours, theirs *state) error {
	if err := m.complete(ctx, ours, theirs); err != nil {
		return err
	}
	if err := m.store(ctx, ours); err != nil {
		return err
	}
	return at(Destination, m.switchLatest(ctx, ours))
}

// complete checks that ours is whole, and has the roots that the destination
// has.
func (m *Mirror) complete(ctx context.Context, ours, theirs *state) error {
	oldest := int64(math.MaxInt64)
	if theirs != nil {
		var err error
		if oldest, err = oldestRoot(ctx, theirs.pub, theirs.Fetch); err != nil {
			return at(Destination, err)
		}
	}
	return at(Source, m.whole(ctx, ours, oldest))
}

// store copies the files of s that the destination lacks, then its manifest
// under the state's own tag.
func (m *Mirror) store(ctx context.Context, s *state) error {
	var missing []tuf.File
	for _, f := range s.pub.Files() {
		if !m.To.Holds(f.Digest) {
			missing = append(missing, f)
		}
	}
	if err := m.copyAll(ctx, s, missing); err != nil {
		return err
	}
	e, err := m.To.CommitManifest(ctx, s.manifest)
	if errors.Is(err, tuf.ErrOccupied) {
		// Under the state's tag, which does not move here, somebody keeps the
		// same publication in another form.
		there, rerr := m.listed(ctx, m.To, e)
		if rerr != nil {
			return at(Destination, errors.Join(err, rerr))
		}
		s.manifest, err = there.manifest, nil
	}
	return at(Destination, err)
}

func (m *Mirror) copyAll(ctx context.Context, s *state, files []tuf.File) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	done := make(chan tuf.File, len(files))
	for _, f := range files {
		g.Go(func() error {
			raw, err := s.Fetch(gctx, f)
			if err != nil {
				return at(Source, err)
			}
			f.Data = raw
			if err := m.To.StoreFile(gctx, f); err != nil {
				return at(Destination, err)
			}
			done <- f
			return nil
		})
	}
	err := g.Wait()
	close(done)
	for f := range done {
		m.files, m.bytes = m.files+1, m.bytes+f.Length
	}
	return err
}

// listed reads and verifies a listed state, under the root that it names.
func (m *Mirror) listed(ctx context.Context, t *registrystore.Trust, e tuf.Entry) (*state, error) {
	l, err := t.At(ctx, e)
	if err != nil {
		return nil, err
	}
	return m.verified(ctx, l, tuf.MemoryStore{})
}

// switchLatest points latest at the greatest state that the destination has,
// and looks again afterwards: another mirror's late write may have come between,
// or the publisher itself may write there. Every writer lists after its write,
// so the last one sees what the others stored before.
func (m *Mirror) switchLatest(ctx context.Context, s *state) error {
	s, err := m.greatest(ctx, s)
	for n := 0; err == nil && n < 2; n++ {
		if err = m.To.AdvanceManifest(ctx, s.manifest); errors.Is(err, registrystore.ErrImmutable) {
			m.report("%s: latest stays as it is, since tags cannot be moved there: readers find the state by its own tag", m.To)
			return nil
		}
		if err != nil {
			break
		}
		was := s
		if s, err = m.greatest(ctx, s); err == nil && s == was {
			return nil
		}
	}
	return err
}

// maxTries is how many listed states that cannot be verified are passed by.
const maxTries = 4

// greatest returns the greatest state that the destination lists, s or one
// above it. What is listed and cannot be read, or is not this publisher's, is
// passed by.
func (m *Mirror) greatest(ctx context.Context, s *state) (*state, error) {
	entries, err := m.To.List(ctx)
	if err != nil {
		return s, err
	}
	ours := s.entry()
	ours.Digest = ours.Digest[:12]
	above := states(entries, func(e tuf.Entry) bool { return tuf.CompareEntries(e, ours) > 0 })
	for _, e := range above[:min(len(above), maxTries)] {
		there, err := m.listed(ctx, m.To, e)
		switch {
		case err == nil:
			return there, nil
		case ctx.Err() != nil:
			return s, err
		}
		m.report("%s: tag %s: passed by: %v", m.To, e.Tag, err)
	}
	return s, nil
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

// history copies the states before ours that the destination does not list,
// and returns how many.
func (m *Mirror) history(ctx context.Context, ours *state) (int, error) {
	entries, err := m.From.List(ctx)
	if err != nil {
		return 0, at(Source, err)
	}
	have, err := m.To.List(ctx)
	if err != nil {
		return 0, at(Destination, err)
	}
	newest := ours.entry()
	newest.Digest = newest.Digest[:12]
	older := states(entries, func(e tuf.Entry) bool { return tuf.CompareEntries(e, newest) < 0 })
	n := 0
	for _, e := range older[:min(len(older), m.History)] {
		if slices.ContainsFunc(have, func(h tuf.Entry) bool { return h.Tag == e.Tag }) {
			continue
		}
		switch err := m.older(ctx, e); {
		case err == nil:
			n++
		case !passed(err):
			return n, err
		default:
			m.report("%s: tag %s: not copied: %v", m.From, e.Tag, err)
		}
	}
	return n, nil
}

// older copies one state for the history.
func (m *Mirror) older(ctx context.Context, e tuf.Entry) error {
	s, err := m.listed(ctx, m.From, e)
	if err == nil {
		err = m.whole(ctx, s, math.MaxInt64)
	}
	if err != nil {
		return at(Source, err)
	}
	return m.store(ctx, s)
}
