package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/registrystore"
)

// Node is an artifact with what belongs to it.
type Node struct {
	// Reference is the one that was asked for; below it, a digest in the same
	// repository.
	Reference    registrystore.Reference
	Digest       digest.Digest
	MediaType    string
	ArtifactType string // "" for what an index lists: that is not read
	Platform     string // what an index says that it is for, "linux/arm64"; else ""
	// Attachment is what a trust attachment says of itself; nil for all else.
	// Nobody vouches for it, and no decision is made about it.
	Attachment *AttachmentHint
	Decision   Decision
	Manifests  []*Node // of an index, in its order; one that several list stands below the nearest
	Referrers  []*Node // sorted by artifact type
}

// Tree lists what belongs to an artifact, an index's manifests, those of the
// indexes in it, and all that refers to one of them, directly or not, and
// decides about each, by one update of each publisher. It fails if the location
// cannot be asked, or if more than 1,000 manifests are listed, something more
// than 8 deep, or more than 1,000 artifacts refer to it: what cannot be shown
// whole is not shown.
func (v *Verifier) Tree(ctx context.Context, ref registrystore.Reference) (*Node, error) {
	top, err := v.readTree(ctx, ref)
	if err != nil {
		return nil, err
	}
	v.name(top)
	return top, v.decide(ctx, top)
}

// VerifyRecursive decides about references and about all that belongs to each
// ([Verifier.Tree]), by one update of each publisher. The decision about a
// reference stands before those about what belongs to it. If that cannot be
// listed, the reference is not allowed: it is undecided, unless it is denied
// anyway or its rule enforces nothing.
func (v *Verifier) VerifyRecursive(ctx context.Context, refs ...registrystore.Reference) ([]Decision, error) {
	at, err := v.signed(ctx, refs)
	if err != nil {
		return nil, err
	}
	trees, failed := v.readTrees(ctx, at)
	for i, ref := range refs {
		trees[i].Reference = ref
	}
	if err := v.decide(ctx, trees...); err != nil {
		return nil, err
	}
	var out []Decision
	for i, top := range trees {
		v.complete(top, failed[i])
		for _, n := range top.decided() {
			out = append(out, n.Decision)
		}
	}
	return out, nil
}

// decide asks about all nodes of all trees together.
func (v *Verifier) decide(ctx context.Context, trees ...*Node) error {
	var nodes []*Node
	for _, top := range trees {
		nodes = append(nodes, top.decided()...)
	}
	refs := make([]registrystore.Reference, len(nodes))
	for i, n := range nodes {
		refs[i] = n.Reference
	}
	decisions, err := v.Verify(ctx, refs...)
	for i, d := range decisions {
		nodes[i].Decision = d
	}
	return err
}

// signed replaces tags by the digests that are signed for them where these,
// and not the location's, are to be used.
func (v *Verifier) signed(ctx context.Context, refs []registrystore.Reference) ([]registrystore.Reference, error) {
	if !v.opts.Resolve {
		return refs, nil
	}
	decisions, err := v.Verify(ctx, refs...)
	out := slices.Clone(refs)
	for i, d := range decisions {
		if signed := d.SignedDigest(); signed != "" {
			out[i] = registrystore.Reference{Repository: refs[i].Repository, Digest: signed}
		}
	}
	return out, err
}

// complete takes back what a decision about a tree allows if that is not
// known to be the whole tree of the digest that was decided about.
func (v *Verifier) complete(top *Node, err error) {
	d := &top.Decision
	about := d.Digest
	if v.opts.Resolve {
		about = d.SignedDigest()
	}
	if err == nil && about != "" && about != top.Digest {
		err = fmt.Errorf("%s was listed for, and meanwhile it is %s", top.Digest, about)
	}
	rule, ok := v.opts.Policy.Match(top.Reference.Repository)
	if err == nil || !d.Allowed() || !ok || rule.Level == Skip {
		return
	}
	d.Results = append(d.Results, Result{Reason: Unreachable, Message: "what is attached could not be listed: " + err.Error()})
	if rule.Level == Enforce {
		d.Verdict = Undecided
	}
}

// all lists the node and everything below it, each before what belongs to it.
func (n *Node) all() []*Node {
	out := []*Node{n}
	for _, below := range n.below() {
		out = append(out, below.all()...)
	}
	return out
}

// Notes are those of all decisions, each once.
func (n *Node) Notes() []string {
	var out []string
	for _, below := range n.decided() {
		out = append(out, below.Decision.Notes...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// decided are those of all that somebody can vouch for.
func (n *Node) decided() []*Node {
	return slices.DeleteFunc(n.all(), func(n *Node) bool { return n.Attachment != nil })
}

func (n *Node) below() []*Node { return slices.Concat(n.Manifests, n.Referrers) }

// Text draws the tree for people: a line for each artifact, and below it one
// for each publisher.
func (n *Node) Text() string {
	var b strings.Builder
	n.draw(&b, "", "")
	return b.String()
}

// draw writes first before the node's own line, rest before all below it.
func (n *Node) draw(b *strings.Builder, first, rest string) {
	line(b, "%s%s  %s", first, n.Reference, n.kind())
	below := n.below()
	bar := rest + "│"
	if len(below) == 0 {
		bar = rest + " "
	}
	if n.Reference.Digest == "" {
		line(b, "%s   %s", bar, n.Digest)
	}
	for _, r := range n.Decision.Results {
		text := fmt.Sprintf("%s   %s: %s: %s", bar, or(r.Publisher, "-"), r.Reason, r.Message)
		if len(r.Claims) > 0 {
			text += " (" + claimsText(r.Claims) + ")"
		}
		line(b, "%s", text)
		if first == "" && r.TimestampVersion > 0 { // once: it is the same below
			line(b, "%s     %s", bar, r.freshness())
		}
	}
	for i, child := range below {
		if i == len(below)-1 {
			child.draw(b, rest+"└── ", rest+"    ")
			continue
		}
		child.draw(b, rest+"├── ", rest+"│   ")
	}
}

// kind says what the artifact is. That an image's config is an image's config
// says less than its media type.
func (n *Node) kind() string {
	out := n.MediaType
	if n.ArtifactType != "" && n.ArtifactType != ocispec.MediaTypeImageConfig {
		out = n.ArtifactType
	}
	if n.Platform != "" {
		out += " for " + n.Platform
	}
	out = clipped(out)
	if n.Attachment != nil {
		out += n.Attachment.text()
	}
	return out
}
