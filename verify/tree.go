package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/registrystore"
)

// Node is an artifact, what is attached to it, and what each is vouched for.
type Node struct {
	Digest       digest.Digest
	MediaType    string
	ArtifactType string
	// Decision is that of the reference, for what is attached that of its
	// digest in the same repository.
	Decision  Decision
	Referrers []*Node // sorted by artifact type
}

// Tree lists what is attached to an artifact, directly or not, and decides
// about each, by one update of each publisher. It fails if the location
// cannot be asked, or if more than 1,000 artifacts are attached: what cannot
// be shown whole is not shown.
func (v *Verifier) Tree(ctx context.Context, ref registrystore.Reference) (*Node, error) {
	repo, err := v.opts.Registries.Artifacts(ref.Repository)
	if err != nil {
		return nil, err
	}
	a, err := repo.Read(ctx, ref)
	if err != nil {
		return nil, err
	}
	attached, err := repo.ReferrerGraph(ctx, a.Digest)
	if err != nil {
		return nil, err
	}
	nodes := tree(a, attached)
	refs := []registrystore.Reference{ref}
	for _, n := range nodes[1:] {
		refs = append(refs, registrystore.Reference{Repository: ref.Repository, Digest: n.Digest})
	}
	decisions, err := v.Verify(ctx, refs...)
	if err != nil {
		return nil, err
	}
	for i, n := range nodes {
		n.Decision = decisions[i]
	}
	return nodes[0], nil
}

// tree hangs what is attached below its subjects. It returns all nodes, the
// artifact first.
func tree(a *registrystore.Artifact, attached []*registrystore.Artifact) []*Node {
	nodes := []*Node{{Digest: a.Digest, MediaType: a.MediaType, ArtifactType: a.ArtifactType}}
	byDigest := map[digest.Digest]*Node{a.Digest: nodes[0]}
	for _, r := range attached {
		n := &Node{Digest: r.Digest, MediaType: r.MediaType, ArtifactType: r.ArtifactType}
		nodes, byDigest[r.Digest] = append(nodes, n), n
	}
	for i, r := range attached {
		subject := byDigest[r.Subject]
		subject.Referrers = append(subject.Referrers, nodes[i+1])
	}
	for _, n := range nodes {
		slices.SortFunc(n.Referrers, func(a, b *Node) int {
			return strings.Compare(a.ArtifactType+a.Digest.String(), b.ArtifactType+b.Digest.String())
		})
	}
	return nodes
}

// Text draws the tree for people: a line for each artifact, and below it one
// for each publisher.
func (n *Node) Text() string {
	var b strings.Builder
	n.draw(&b, "", "")
	return b.String()
}

func (n *Node) draw(b *strings.Builder, first, rest string) {
	line(b, "%s%s %s: %s", first, or(n.ArtifactType, n.MediaType), n.Digest, n.Decision.Verdict)
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
