package promotion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/registrystore"
)

// leftOut is what the manifests of a repository list and the file does not
// hold: the values tell whether it is a manifest.
type leftOut map[digest.Digest]absent

type absent struct {
	ocispec.Descriptor
	isManifest bool
}

func (c *cargo) leftOut(l *registrystore.Lists) leftOut {
	out := leftOut{}
	for d, b := range l.Blobs {
		if !c.File.Has(d) && len(b.URLs) == 0 {
			out[d] = absent{b, false}
		}
	}
	for d, m := range l.Others {
		out[d] = absent{m, true}
	}
	return out
}

// complete checks that whatever the file leaves out is at the destination. What
// its referrers refer to may be gone for a reason: see [cargo.withoutGone].
func (c *cargo) complete(ctx context.Context) error {
	for _, h := range c.holds {
		if err := c.areThere(ctx, h.to, c.leftOut(h.lists)); err != nil {
			return err
		}
		if err := h.lookForSubjects(ctx); err != nil {
			return at(Destination, err)
		}
	}
	return nil
}

func (h *hold) lookForSubjects(ctx context.Context) error {
	seen := map[digest.Digest]bool{}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, m := range h.referring() {
		s := m.Subject
		if seen[s] || h.lists.Manifests[s] != nil {
			continue
		}
		seen[s] = true
		g.Go(func() error {
			there, err := h.to.Holds(gctx, ocispec.Descriptor{Digest: s}, true)
			mu.Lock()
			defer mu.Unlock()
			if !there {
				h.gone[s] = ""
			}
			return err
		})
	}
	return g.Wait()
}

func (c *cargo) incomplete(to *registrystore.Artifacts, d digest.Digest) error {
	return at(Source, fmt.Errorf("%w: %s: %s of %s: load the file first that was given to save as --since, or save all again without it", ErrIncomplete, c.File, d, to))
}

// referring are the manifests that the file names as referrers: without a tag.
func (h *hold) referring() []*registrystore.Artifact {
	var out []*registrystore.Artifact
	for _, e := range h.entries {
		if m := h.lists.Manifests[e.Digest]; e.Tag == "" && m.Subject != "" {
			out = append(out, m)
		}
	}
	return out
}

func (c *cargo) areThere(ctx context.Context, to *registrystore.Artifacts, left leftOut) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for d, a := range left {
		g.Go(func() error {
			there, err := to.Holds(gctx, a.Descriptor, a.isManifest)
			if err != nil {
				return at(Destination, err)
			}
			if there {
				return nil
			}
			return c.incomplete(to, d)
		})
	}
	return g.Wait()
}

// free fails, before anything is written, if a tag is at something else.
func (c *cargo) free(ctx context.Context) error {
	if c.Move {
		return nil
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	var mu sync.Mutex
	var taken []error
	for _, h := range c.holds {
		for _, r := range h.roots {
			if r.tag == "" {
				continue
			}
			g.Go(func() error {
				_, err := h.to.Free(gctx, r.tag, r.digest)
				if !errors.Is(err, registrystore.ErrTagTaken) {
					return err
				}
				mu.Lock()
				taken = append(taken, err)
				mu.Unlock()
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return at(Destination, err)
	}
	slices.SortFunc(taken, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return at(Destination, errors.Join(taken[:min(len(taken), 10)]...))
}
