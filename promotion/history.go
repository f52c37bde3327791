package promotion

import (
	"context"
	"math"
	"slices"

	"github.com/carnet-project/carnet/tuf"
)

// history copies the states before ours that the destination does not list,
// and looks after those that it lists if that is asked for. Listed ones that
// cannot be taken are passed by, so many at most as elsewhere.
func (m *Mirror) history(ctx context.Context, ours *state, out *Synced) error {
	entries, err := m.From.List(ctx)
	if err != nil {
		return at(Source, err)
	}
	have, err := m.To.List(ctx)
	if err != nil {
		return at(Destination, err)
	}
	older := states(entries, func(e tuf.Entry) bool { return tuf.CompareEntries(e, ours.listedAs()) < 0 })
	left := m.History
	for _, e := range older[:min(len(older), m.History+maxTries)] {
		isThere := slices.ContainsFunc(have, func(h tuf.Entry) bool { return h.Tag == e.Tag })
		switch err := m.older(ctx, e, isThere, out); {
		case err == nil:
			left--
		case !passed(err):
			return err
		default:
			m.report("%s: tag %s: not copied: %v", m.From, e.Tag, err)
		}
		if left == 0 {
			break
		}
	}
	return nil
}

// older copies one state for the history, or looks after it.
func (m *Mirror) older(ctx context.Context, e tuf.Entry, isThere bool, out *Synced) error {
	if isThere && !m.Repair {
		return nil
	}
	s, err := m.listed(ctx, m.From, e)
	if err == nil {
		err = m.whole(ctx, s, math.MaxInt64)
	}
	if err != nil {
		return at(Source, err)
	}
	if isThere {
		n, err := m.repair(ctx, s)
		out.Repaired += n
		return err
	}
	if err := m.copyMissing(ctx, s); err != nil {
		return err
	}
	out.History++
	return m.store(ctx, s)
}
