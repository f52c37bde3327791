package registrystore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// maxGraph bounds how many referrers one artifact may have in all, referrers
// of referrers included, and maxGraphBytes what their manifests have, which
// are kept.
const (
	maxGraph      = 1_000
	maxGraphBytes = 64 << 20
	// maxGraphLevels bounds referrers of referrers of referrers: each level
	// costs two rounds.
	maxGraphLevels = 16
)

// ReferrerGraph returns every manifest that can be reached from the digests
// through referrers, each once, sorted by digest, without the digests
// themselves. A list of referrers is anybody's claim: each manifest is read,
// and only taken if its subject is what it was listed for. What is listed and
// not there (any more) is left out. More than 1,000, or 64 MiB of manifests,
// or more than 16 levels are an error that wraps ErrTooLarge. For an index give its manifests' digests too.
func (a *Artifacts) ReferrerGraph(ctx context.Context, digests ...digest.Digest) ([]*Artifact, error) {
	seen := map[digest.Digest]bool{}
	for _, d := range digests {
		seen[d] = true
	}
	var out []*Artifact
	var size atomic.Int64
	for level, depth := digests, 0; len(level) > 0; depth++ {
		if depth > maxGraphLevels {
			return nil, a.tooMany("referrers of referrers, more than %d deep", maxGraphLevels)
		}
		found, err := a.nextLevel(ctx, level, depth == 0, seen, maxGraph-len(out), &size)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
		level = level[:0:0]
		for _, f := range found {
			level = append(level, f.Digest)
		}
	}
	slices.SortFunc(out, func(a, b *Artifact) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return out, nil
}

// claim says that a manifest is listed as a referrer of subject.
type claim struct{ subject, referrer digest.Digest }

// nextLevel returns the referrers of a level that were not seen before.
func (a *Artifacts) nextLevel(ctx context.Context, level []digest.Digest, first bool, seen map[digest.Digest]bool, most int, size *atomic.Int64) ([]*Artifact, error) {
	claims, err := a.claims(ctx, level, first)
	if err != nil {
		return nil, err
	}
	claims = slices.DeleteFunc(claims, func(c claim) bool { return seen[c.referrer] || !isSHA256(c.referrer) })
	if len(claims) > most {
		return nil, a.tooMany("more than %d in all", maxGraph)
	}
	read := make([]*Artifact, len(claims))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, c := range claims {
		g.Go(func() (err error) {
			read[i], err = a.readClaim(gctx, c)
			if r := read[i]; r != nil && size.Add(r.Size) > maxGraphBytes {
				return a.tooMany("their manifests have more than %d bytes", maxGraphBytes)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []*Artifact
	for _, r := range read {
		if r != nil && !seen[r.Digest] {
			seen[r.Digest] = true
			out = append(out, r)
		}
	}
	return out, nil
}

func (a *Artifacts) tooMany(format string, limit int) error {
	return &Error{Repository: a.name, Op: "list referrers", Kind: ErrTooLarge, Err: fmt.Errorf(format, limit)}
}

func (a *Artifacts) claims(ctx context.Context, level []digest.Digest, first bool) ([]claim, error) {
	lists := make([][]claim, len(level))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	var count atomic.Int64
	list := func(i int, ctx context.Context) error {
		found, err := a.Referrers(ctx, level[i])
		if count.Add(int64(len(found))) > maxGraph {
			return a.tooMany("more than %d in all", maxGraph)
		}
		for _, f := range found {
			lists[i] = append(lists[i], claim{level[i], f.Digest})
		}
		return err
	}
	begin := 0
	if first { // alone, so that a registry without the API is asked for it once
		if err := list(0, ctx); err != nil {
			return nil, err
		}
		begin = 1
	}
	for i := begin; i < len(level); i++ {
		g.Go(func() error { return list(i, gctx) })
	}
	err := g.Wait()
	return slices.Concat(lists...), err
}

// readClaim reads a listed referrer. It returns nil if that is not there, or
// refers to something else.
func (a *Artifacts) readClaim(ctx context.Context, c claim) (*Artifact, error) {
	r, err := a.Read(ctx, Reference{Digest: c.referrer})
	if errors.Is(err, ErrNotFound) || err == nil && r.Subject != c.subject {
		return nil, nil
	}
	return r, err
}

// Below returns a manifest and, if it is an index, all manifests that can be
// reached from it, each once.
func (a *Artifacts) Below(ctx context.Context, top *Artifact) ([]*Artifact, error) {
	out := []*Artifact{top}
	seen := map[digest.Digest]bool{top.Digest: true}
	for level, depth := out, 0; len(level) > 0; depth++ {
		var next []*Artifact
		for _, m := range level {
			for _, c := range m.Manifests {
				if seen[c.Digest] {
					continue
				}
				seen[c.Digest] = true
				if depth > maxNested || len(seen) > maxGraph+maxChildren {
					return nil, a.nested(top, errors.New("indexes in indexes, too deep or too many"))
				}
				child, err := a.Read(ctx, Reference{Digest: c.Digest})
				if err != nil {
					return nil, err
				}
				next = append(next, child)
			}
		}
		out = append(out, next...)
		level = next
	}
	return out, nil
}
