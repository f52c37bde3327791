package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

func newTree(c *command) *cobra.Command {
	var publishers []string
	cmd := &cobra.Command{
		Use:     "tree REF",
		Short:   "Show an artifact, its referrers, and what each is vouched for by",
		GroupID: groupVerifier,
		Long: `Tree shows the artifact at REF with all that refers to it (SBOMs, scan results,
signatures), and for each the word of every pinned publisher, or of --publisher.
It decides nothing: "carnet verify" does.`,
		Example: "  carnet tree registry.example/net-monitor:1.0\n  carnet tree oci:net-monitor:1.0 --publisher wabbit",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := c.artifactTree(cmd.Context(), args[0], publishers)
			if err != nil {
				return err
			}
			return c.answer(root, func(w io.Writer) {
				var b strings.Builder
				root.text(&b, "", "")
				_, _ = io.WriteString(w, printable(b.String()))
			})
		},
	}
	cmd.Flags().StringSliceVar(&publishers, "publisher", nil, "pinned publisher to ask; may be repeated (default all)")
	return cmd
}

// treeNode is one artifact as the tree shows it.
type treeNode struct {
	Reference    string          `json:"reference"`
	Digest       string          `json:"digest"`
	MediaType    string          `json:"mediaType"`
	ArtifactType *string         `json:"artifactType"`
	Results      []verify.Result `json:"results"`
	Referrers    []*treeNode     `json:"referrers"`

	ref registrystore.Reference
}

func (c *command) artifactTree(ctx context.Context, arg string, publishers []string) (*treeNode, error) {
	ref, err := registrystore.ParseReference(arg, c.flags.layoutRoot)
	if err != nil {
		return nil, err
	}
	regs, err := c.registry()
	if err != nil {
		return nil, err
	}
	artifacts, err := regs.Artifacts(ref.Repository)
	if err != nil {
		return nil, err
	}
	a, err := artifacts.Read(ctx, ref)
	if err != nil {
		return nil, err
	}
	found, err := c.referrers(ctx, ref.Repository, a.Digest)
	if err != nil {
		return nil, err
	}
	top := newTreeNode(&referrer{ref: ref, mediaType: a.MediaType, artifactType: a.ArtifactType, referrers: found})
	top.Digest = a.Digest.String()
	return top, c.vouchers(ctx, top.all(), publishers)
}

func newTreeNode(r *referrer) *treeNode {
	n := &treeNode{
		Reference: r.ref.String(), Digest: r.ref.Digest.String(), MediaType: r.mediaType, ref: r.ref,
		Results: []verify.Result{}, Referrers: []*treeNode{},
	}
	if r.artifactType != "" {
		n.ArtifactType = &r.artifactType
	}
	for _, below := range r.referrers {
		n.Referrers = append(n.Referrers, newTreeNode(below))
	}
	return n
}

// all lists n and everything below it.
func (n *treeNode) all() []*treeNode {
	out := []*treeNode{n}
	for _, below := range n.Referrers {
		out = append(out, below.all()...)
	}
	return out
}

// vouchers adds each publisher's word to the nodes.
func (c *command) vouchers(ctx context.Context, nodes []*treeNode, publishers []string) error {
	names, err := c.pinnedNames(publishers)
	if err != nil {
		return err
	}
	refs := make([]registrystore.Reference, len(nodes))
	for i, n := range nodes {
		refs[i] = n.ref
	}
	for _, name := range names {
		v, err := c.verifier(verifyFlags{publisher: name})
		if err != nil {
			return err
		}
		decisions, err := v.Verify(ctx, refs...)
		if err != nil {
			return err
		}
		for i, d := range decisions {
			nodes[i].Results = append(nodes[i].Results, d.Results...)
		}
	}
	return nil
}

// pinnedNames returns the publishers asked for, which must be pinned, or all.
func (c *command) pinnedNames(asked []string) ([]string, error) {
	pins, err := c.pins()
	if err != nil {
		return nil, err
	}
	if len(asked) > 0 {
		for _, name := range asked {
			if _, err := pins.Get(name); err != nil {
				return nil, err
			}
		}
		return asked, nil
	}
	list, err := pins.List()
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	if err == nil && len(names) == 0 {
		c.say("no publisher is pinned: nobody can be asked what they vouch for (see trust add)")
	}
	return names, err
}

// text draws the tree. First is before the node's own line, rest before all
// that stands below it.
func (n *treeNode) text(w io.Writer, first, rest string) {
	kind := n.MediaType
	if n.ArtifactType != nil && *n.ArtifactType != ocispec.MediaTypeImageConfig {
		kind = *n.ArtifactType
	}
	fmt.Fprintf(w, "%s%s  %s\n", first, n.Reference, kind)
	bar := rest
	if len(n.Referrers) > 0 {
		bar += "│"
	} else {
		bar += " "
	}
	if !strings.Contains(n.Reference, "@") {
		fmt.Fprintf(w, "%s   %s\n", bar, n.Digest)
	}
	for _, r := range n.Results {
		fmt.Fprintf(w, "%s   %s: %s: %s\n", bar, r.Publisher, r.Reason, r.Message)
	}
	for i, below := range n.Referrers {
		if i == len(n.Referrers)-1 {
			below.text(w, rest+"└── ", rest+"    ")
		} else {
			below.text(w, rest+"├── ", rest+"│   ")
		}
	}
}
