package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/registrystore"
)

// parallelTrees is how many trees are read at once; each is read in parallel.
const parallelTrees = 4

// ReadTree lists what belongs to an artifact, as [Verifier.Tree] does, and
// decides nothing.
func ReadTree(ctx context.Context, regs *registrystore.Registries, ref registrystore.Reference) (*Node, error) {
	repo, err := regs.Artifacts(ref.Repository)
	if err != nil {
		return nil, err
	}
	a, err := repo.Read(ctx, ref)
	if err != nil {
		return nil, err
	}
	listed, err := repo.Manifests(ctx, a)
	if err != nil {
		return nil, err
	}
	from := []digest.Digest{a.Digest}
	for _, m := range listed {
		from = append(from, m.Digest)
	}
	attached, err := repo.ReferrerGraph(ctx, from...)
	if err != nil {
		return nil, err
	}
	return hang(ref, a, listed, attached), nil
}

func (v *Verifier) readTree(ctx context.Context, ref registrystore.Reference) (*Node, error) {
	if v.opts.Offline && !ref.IsLayout() {
		return nil, fmt.Errorf("%s: what is attached in a registry cannot be listed offline", ref)
	}
	return ReadTree(ctx, v.opts.Registries, ref)
}

// readTrees reads several trees. In place of one that cannot be read stands
// an empty one, and the reason.
func (v *Verifier) readTrees(ctx context.Context, refs []registrystore.Reference) ([]*Node, []error) {
	trees, failed := make([]*Node, len(refs)), make([]error, len(refs))
	var g errgroup.Group
	g.SetLimit(parallelTrees)
	for i, ref := range refs {
		g.Go(func() error {
			if trees[i], failed[i] = v.readTree(ctx, ref); failed[i] != nil {
				trees[i] = &Node{}
			}
			return nil
		})
	}
	_ = g.Wait()
	return trees, failed
}

// hang hangs what is listed below its index, and what is attached below its
// subjects.
func hang(ref registrystore.Reference, a *registrystore.Artifact, listed []registrystore.Child, attached []*registrystore.Artifact) *Node {
	top := &Node{Reference: ref, Digest: a.Digest, MediaType: a.MediaType, ArtifactType: a.ArtifactType}
	byDigest := map[digest.Digest]*Node{a.Digest: top}
	for _, m := range listed {
		n, index := newNode(ref, m.Digest, m.MediaType, m.ArtifactType), byDigest[m.In]
		n.Platform = platform(m.Platform)
		index.Manifests, byDigest[m.Digest] = append(index.Manifests, n), n
	}
	for _, r := range attached {
		n := newNode(ref, r.Digest, r.MediaType, r.ArtifactType)
		if r.IsAttachment {
			n.Attachment = hintOf(r)
		}
		byDigest[r.Digest] = n
	}
	for _, r := range attached {
		subject := byDigest[r.Subject]
		subject.Referrers = append(subject.Referrers, byDigest[r.Digest])
	}
	for _, n := range byDigest {
		slices.SortFunc(n.Referrers, func(a, b *Node) int {
			return strings.Compare(a.ArtifactType+a.Digest.String(), b.ArtifactType+b.Digest.String())
		})
	}
	return top
}

func newNode(in registrystore.Reference, d digest.Digest, mediaType, artifactType string) *Node {
	ref := registrystore.Reference{Repository: in.Repository, Digest: d}
	return &Node{Reference: ref, Digest: d, MediaType: mediaType, ArtifactType: artifactType}
}

func platform(p *ocispec.Platform) string {
	if p == nil {
		return ""
	}
	parts := []string{p.OS, p.Architecture}
	if p.Variant != "" {
		parts = append(parts, p.Variant)
	}
	return strings.Join(parts, "/")
}

// MarshalJSON writes the tree as one line; what is absent is null.
func (n *Node) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Reference    string          `json:"reference"`
		Digest       string          `json:"digest"`
		MediaType    string          `json:"mediaType"`
		ArtifactType *string         `json:"artifactType"`
		Attachment   *AttachmentHint `json:"attachment"`
		Platform     *string         `json:"platform"`
		Results      []Result        `json:"results"`
		Manifests    []*Node         `json:"manifests"`
		Referrers    []*Node         `json:"referrers"`
	}{
		n.Reference.String(), n.Digest.String(), n.MediaType, orNull(n.ArtifactType), n.Attachment, orNull(n.Platform),
		notNil(n.Decision.Results), notNil(n.Manifests), notNil(n.Referrers),
	})
}

func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
