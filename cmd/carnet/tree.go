package main

import (
	"context"
	"io"

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
		Long: `Tree shows the artifact at REF, of an index the manifests too, with all that refers
to them (SBOMs, scan results, signatures), and for each the word of every pinned
publisher, or of --publisher. It decides nothing: "carnet verify" does.`,
		Example: "  carnet tree registry.example/net-monitor:1.0\n  carnet tree oci:net-monitor:1.0 --publisher wabbit",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, err := c.artifactTree(cmd.Context(), args[0], publishers)
			if err != nil {
				return err
			}
			for _, note := range root.Notes() {
				c.say("%s", note)
			}
			return c.answer(root, func(w io.Writer) { _, _ = io.WriteString(w, root.Text()) })
		},
	}
	cmd.Flags().StringSliceVar(&publishers, "publisher", nil, "pinned publisher to ask; may be repeated (default all)")
	return cmd
}

func (c *command) artifactTree(ctx context.Context, arg string, publishers []string) (*verify.Node, error) {
	ref, err := registrystore.ParseReference(arg, c.flags.layoutRoot)
	if err != nil {
		return nil, err
	}
	pins, err := c.pins()
	if err != nil {
		return nil, err
	}
	names, err := pinnedNames(pins, publishers)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		c.say("no publisher is pinned: nobody can be asked what they vouch for (see trust add)")
		regs, err := c.registry()
		if err != nil {
			return nil, err
		}
		return verify.ReadTree(ctx, regs, ref)
	}
	policy, err := verify.PublisherPolicy(pins, names...)
	if err != nil {
		return nil, err
	}
	v, err := c.verifier(verifyFlags{}, policy)
	if err != nil {
		return nil, err
	}
	return v.Tree(ctx, ref)
}

// pinnedNames returns the publishers asked for, which must be pinned, or all.
func pinnedNames(pins *verify.Pins, asked []string) ([]string, error) {
	for _, name := range asked {
		if _, err := pins.Get(name); err != nil {
			return nil, err
		}
	}
	if len(asked) > 0 {
		return asked, nil
	}
	list, err := pins.List()
	var names []string
	for _, p := range list {
		names = append(names, p.Name)
	}
	return names, err
}
