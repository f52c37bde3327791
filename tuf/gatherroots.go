package tuf

import (
	"context"
	"errors"
	"fmt"

	"github.com/carnet-project/carnet/metadata"
)

// addRoots adds the chain of roots: from the pinned one to the newest, and
// those before the pinned one that are still there, so that others who pinned
// an older one can follow too.
func (g *gatherer) addRoots(ctx context.Context, pub *Publication) error {
	pinned, err := metadata.Decode(metadata.RoleRoot, g.c.opts.Root)
	if err != nil {
		return err
	}
	older, err := g.olderRoots(ctx, pinned)
	if err != nil {
		return err
	}
	newer, err := g.newerRoots(ctx, pinned)
	if err != nil {
		return err
	}
	for _, f := range append(append(older, pinned), newer...) {
		pub.Roots = append(pub.Roots, fileOf(metadata.RoleRoot, f))
	}
	return PackRoots(ctx, pub, g.opts.Fetch)
}

// newerRoots walks from the pinned root to the newest, which is known.
func (g *gatherer) newerRoots(ctx context.Context, pinned *metadata.File) ([]*metadata.File, error) {
	var out []*metadata.File
	last := pinned
	for last.Version < g.c.root.Version {
		if len(out) == metadata.MaxRootSteps {
			return nil, fmt.Errorf("more than %d roots follow the pinned one, version %d: pin a newer one", metadata.MaxRootSteps, pinned.Version)
		}
		next, err := g.rootAfter(ctx, last)
		if err != nil {
			return nil, err
		}
		out, last = append(out, next), next
	}
	return out, nil
}

// rootAfter returns the successor of a root in the chain to the newest.
func (g *gatherer) rootAfter(ctx context.Context, last *metadata.File) (*metadata.File, error) {
	if g.c.root.Version == last.Version+1 {
		return NextRoot(last, g.c.root.Raw)
	}
	f, err := g.root(ctx, last.Version+1, func(raw []byte) (*metadata.File, error) { return NextRoot(last, raw) })
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("root version %d, which follows the pinned one, is not there: %w", last.Version+1, err)
	}
	return f, err
}

// olderRoots walks back from the pinned root, as far as its predecessors are
// there and lead to it. Nothing is trusted through them here: they are for
// others, who pinned one of them.
func (g *gatherer) olderRoots(ctx context.Context, pinned *metadata.File) ([]*metadata.File, error) {
	var out []*metadata.File
	next := pinned
	for next.Version > 1 && len(out) < metadata.MaxRootSteps {
		f, err := g.root(ctx, next.Version-1, func(raw []byte) (*metadata.File, error) { return previousRoot(next, raw) })
		if errors.Is(err, ErrNotFound) {
			break
		}
		if errors.Is(err, ErrInvalid) || errors.Is(err, ErrThreshold) {
			g.report("left out: root version %d, which the pinned root does not follow: %v", next.Version-1, err)
			break
		}
		if err != nil {
			return nil, err
		}
		out, next = append([]*metadata.File{f}, out...), f
	}
	return out, nil
}

// previousRoot verifies that raw is a root, and that next is its successor.
func previousRoot(next *metadata.File, raw []byte) (*metadata.File, error) {
	f, err := metadata.Decode(metadata.RoleRoot, raw)
	if err == nil {
		err = verifyOwn(f)
	}
	if err == nil {
		_, err = NextRoot(f, next.Raw)
	}
	return f, err
}

// root returns a root that check accepts: one that is held, else from the
// first source that offers one. The most telling error stays.
func (g *gatherer) root(ctx context.Context, version int64, check func([]byte) (*metadata.File, error)) (*metadata.File, error) {
	if raw := g.heldRoot(ctx, version); raw != nil {
		if f, err := check(raw); err == nil {
			return f, nil
		}
	}
	failed := []error{}
	for _, s := range g.ordered() {
		raw, err := s.Root(ctx, version)
		if err != nil {
			if !errors.Is(err, ErrNotFound) {
				err = transport(s, err)
			}
			failed = append(failed, err)
			continue
		}
		f, err := check(raw)
		if err == nil {
			return f, nil
		}
		failed = append(failed, fmt.Errorf("%s: root version %d: %w", s, version, err))
	}
	return nil, verdict(failed)
}

// heldRoot returns a root of Held, or nil.
func (g *gatherer) heldRoot(ctx context.Context, version int64) []byte {
	held := g.opts.Held
	if held == nil {
		return nil
	}
	for _, f := range held.Roots {
		if f.Version == version {
			raw, _ := g.opts.Fetch(ctx, f)
			return raw
		}
	}
	if g.held == nil {
		g.held = map[int64][]byte{}
		if held.RootPack.Digest == "" {
			return nil
		}
		if raw, err := g.opts.Fetch(ctx, held.RootPack); err == nil {
			if roots, err := UnpackRoots(raw); err == nil {
				g.held = roots
			}
		}
	}
	return g.held[version]
}
