package promotion

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/tuf"
)

// repair sends the destination what it lists as files of s and lost, and the
// manifest under the state's own tag. It returns how many files there were.
func (m *Mirror) repair(ctx context.Context, s *state) (int, error) {
	n, err := m.resend(ctx, s)
	if err != nil {
		return n, err
	}
	wrote := m.wrote
	err = m.store(ctx, s)
	m.wrote = wrote // that it is there as before is no news
	return n, err
}

// resend asks the destination for every file of s and sends again what it does
// not give out.
func (m *Mirror) resend(ctx context.Context, s *state) (int, error) {
	files := different(s.pub)
	lacks := make([]bool, len(files))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, f := range files {
		g.Go(func() (err error) { lacks[i], err = m.To.Lacks(gctx, f); return err })
	}
	if err := g.Wait(); err != nil {
		return 0, at(Destination, err)
	}
	var lost []tuf.File
	for i, f := range files {
		if lacks[i] {
			lost = append(lost, f)
		}
	}
	return len(lost), m.copyAll(ctx, m.From.Pass, lost)
}
