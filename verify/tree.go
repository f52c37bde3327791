package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/registrystore"
)

// Limits of a tree: who can push can attach without end.
const (
	maxTreeNodes = 1_000
	maxTreeDepth = 8
)

// Node is an artifact, what is attached to it, and what each is vouched for.
type Node struct {
	Digest       digest.Digest
	ArtifactType string // "" if the location does not tell
	// Decision is that of the reference, for what is attached that of its
	// digest in the same repository.
	Decision  Decision
	Referrers []*Node
}

// Tree lists what is attached to an artifact, directly or not, and decides
// about each, by one update of each publisher. It fails if the location
// cannot be asked, or if more is attached than 1,000 artifacts or deeper than
// 8: what cannot be shown whole is not shown.
func (v *Verifier) Tree(ctx context.Context, ref registrystore.Reference) (*Node, error) {
	repo, err := v.opts.Registries.Artifacts(ref.Repository)
	if err != nil {
		return nil, err
	}
	desc, err := repo.Locate(ctx, ref)
	if err != nil {
		return nil, err
	}
	g := &growth{repo: repo, seen: map[digest.Digest]bool{desc.Digest: true}, nodes: []*Node{{Digest: desc.Digest}}}
	if err := g.grow(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	return g.nodes[0], g.decide(ctx, v, ref)
}

// growth is a tree while it is read.
type growth struct {
	repo  *registrystore.Artifacts
	seen  map[digest.Digest]bool
	nodes []*Node // in the order in which they were found
}

// grow reads level by level, each in parallel.
func (g *growth) grow(ctx context.Context) error {
	level := g.nodes
	for depth := 0; len(level) > 0; depth++ {
		if depth > maxTreeDepth {
			return fmt.Errorf("%w: referrers of referrers more than %d deep", registrystore.ErrTooLarge, maxTreeDepth)
		}
		found := make([][]ocispec.Descriptor, len(level))
		var group errgroup.Group
		group.SetLimit(parallel)
		for i, n := range level {
			group.Go(func() (err error) {
				found[i], err = g.repo.Referrers(ctx, n.Digest)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		var err error
		if level, err = g.attach(level, found); err != nil {
			return err
		}
		if err := g.name(ctx, level); err != nil {
			return err
		}
	}
	return nil
}

// attach adds what was found to its subjects, each once, and returns it.
func (g *growth) attach(level []*Node, found [][]ocispec.Descriptor) ([]*Node, error) {
	var next []*Node
	for i, n := range level {
		slices.SortFunc(found[i], func(a, b ocispec.Descriptor) int {
			return strings.Compare(a.ArtifactType+a.Digest.String(), b.ArtifactType+b.Digest.String())
		})
		for _, d := range found[i] {
			if g.seen[d.Digest] || d.Digest.Validate() != nil || d.Digest.Algorithm() != digest.SHA256 {
				continue
			}
			if g.seen[d.Digest] = true; len(g.seen) > maxTreeNodes {
				return nil, fmt.Errorf("%w: more than %d artifacts are attached", registrystore.ErrTooLarge, maxTreeNodes)
			}
			child := &Node{Digest: d.Digest, ArtifactType: d.ArtifactType}
			n.Referrers, next = append(n.Referrers, child), append(next, child)
		}
	}
	g.nodes = append(g.nodes, next...)
	return next, nil
}

// name reads the manifests of those whose type the registry does not tell:
// some give the config's media type, which for an artifact says nothing.
func (g *growth) name(ctx context.Context, level []*Node) error {
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, n := range level {
		if n.ArtifactType != "" && n.ArtifactType != ocispec.MediaTypeEmptyJSON {
			continue
		}
		group.Go(func() error {
			a, err := g.repo.Read(ctx, registrystore.Reference{Digest: n.Digest})
			if err == nil {
				n.ArtifactType = a.ArtifactType
			}
			return err
		})
	}
	return group.Wait()
}

func (g *growth) decide(ctx context.Context, v *Verifier, ref registrystore.Reference) error {
	refs := []registrystore.Reference{ref}
	for _, n := range g.nodes[1:] {
		refs = append(refs, registrystore.Reference{Repository: ref.Repository, Digest: n.Digest})
	}
	decisions, err := v.Verify(ctx, refs...)
	if err != nil {
		return err
	}
	for i, n := range g.nodes {
		n.Decision = decisions[i]
	}
	return nil
}

// Text draws the tree for people: a line for each artifact, and below it one
// for each publisher.
func (n *Node) Text() string {
	var b strings.Builder
	n.draw(&b, "", "")
	return b.String()
}

func (n *Node) draw(b *strings.Builder, first, rest string) {
	line(b, "%s%s %s: %s", first, or(n.ArtifactType, "artifact"), n.Digest, n.Decision.Verdict)
	bar := "│"
	if len(n.Referrers) == 0 {
		bar = " "
	}
	for _, r := range n.Decision.Results {
		text := fmt.Sprintf("%s%s   %s: %s: %s", rest, bar, or(r.Publisher, "-"), r.Reason, r.Message)
		if len(r.Claims) > 0 {
			text += " (" + claimsText(r.Claims) + ")"
		}
		line(b, "%s", text)
	}
	for i, child := range n.Referrers {
		if i == len(n.Referrers)-1 {
			child.draw(b, rest+"└── ", rest+"    ")
			continue
		}
		child.draw(b, rest+"├── ", rest+"│   ")
	}
}
