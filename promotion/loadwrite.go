package promotion

import (
	"context"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/registrystore"
)

// copy writes the artifacts with what refers to them, and no tag.
func (c *cargo) copy(ctx context.Context) error {
	for _, h := range c.holds {
		w := registrystore.NewCopy(h.from, h.to)
		w.Step = c.Step
		err := h.copy(ctx, w)
		c.out.Sent += w.Sent()
		if err != nil {
			return at(side(err, h.from), err)
		}
	}
	return nil
}

func (h *hold) copy(ctx context.Context, w *registrystore.Copy) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, r := range h.roots {
		if r.artifact != nil {
			g.Go(func() error { return w.Manifest(gctx, r.artifact) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return w.Referrers(ctx, h.referrers)
}

// tag lets the tags name what was loaded.
func (c *cargo) tag(ctx context.Context) error {
	for _, h := range c.holds {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(parallel)
		for _, r := range h.roots {
			if r.tag != "" {
				g.Go(func() error { return h.tag(gctx, r, c.Move) })
			}
		}
		if err := g.Wait(); err != nil {
			return at(Destination, err)
		}
	}
	return nil
}

// tag looks again whether the tag is free: others may write there.
func (h *hold) tag(ctx context.Context, r *rooted, move bool) error {
	there, err := h.to.Free(ctx, r.tag, r.digest)
	if there || err != nil && !(move && isTaken(err)) {
		return err
	}
	return h.to.Tag(ctx, r.tag, r.artifact)
}
