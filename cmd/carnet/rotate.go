package main

import (
	"context"
	"fmt"
	"io"
	"maps"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

type rotateFlags struct {
	trust       string
	add, remove []string
	threshold   int
	dryRun      bool
}

func newRotate(c *command) *cobra.Command {
	var f rotateFlags
	cmd := &cobra.Command{
		Use:     "rotate ROLE [--add KEY] [--remove KEY]",
		GroupID: groupPublisher,
		Short:   "Change the keys or the threshold of a role, root included",
		Long: `Rotate changes which keys may sign for a role, and how many must. The delegator's
file and the role's file are signed in one publication; nothing that the role
vouches for has to be signed again. It refuses what would leave the role without
enough signatures.

For root, targets, snapshot and timestamp a new root says so, signed by as many
of the present root keys as the present root demands, and as many of the new ones
as the new one does. Verifiers follow from whatever root they pinned. Keys of two
algorithms may stand side by side for as long as you like: files are signed with
all that are at hand. For a writer's key of snapshot and timestamp, see carnet writer.`,
		Example: "  carnet rotate releases --add new --remove old\n  carnet rotate root --add carol --threshold 2",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.rotate(cmd.Context(), args[0], f) },
	}
	trustFlag(cmd, &f.trust)
	cmd.Flags().StringArrayVar(&f.add, "add", nil, "`key` to add, like a name in the keystore or file:PATH; may be repeated")
	cmd.Flags().StringArrayVar(&f.remove, "remove", nil, "`key` to remove, or its key ID; may be repeated")
	signWithFlag(cmd, c)
	cmd.Flags().IntVar(&f.threshold, "threshold", 0, "`number` of keys that must sign (default: as before)")
	dryRunFlag(cmd, &f.dryRun)
	return cmd
}

func (c *command) rotate(ctx context.Context, role string, f rotateFlags) error {
	if len(f.add)+len(f.remove)+f.threshold == 0 {
		return usagef("nothing to change: give --add, --remove or --threshold")
	}
	add, err := c.publicKeys(ctx, f.add)
	if err != nil {
		return err
	}
	p, err := c.openPublisher(f.trust)
	if err != nil {
		return err
	}
	change := func(ctx context.Context, d *tuf.Draft) error {
		keys, rk, err := d.KeysOf(ctx, role)
		if err != nil {
			return err
		}
		if err := c.exchange(ctx, role, keys, add, f.remove); err != nil {
			return err
		}
		threshold := f.threshold
		if threshold == 0 {
			threshold = rk.Threshold
		}
		if threshold < 1 || threshold > len(keys) {
			return usagef("%q would have %s and a threshold of %d: want one that its keys can meet: --add a key, or change --threshold", role, count(len(keys), "key"), threshold)
		}
		return d.SetKeys(ctx, role, keys, threshold)
	}
	if f.dryRun {
		return p.preview(ctx, nil, change)
	}
	res, err := p.publish(ctx, nil, change)
	if err != nil {
		return err
	}
	out := p.published(res)
	return c.answer(out, func(w io.Writer) { fmt.Fprintf(w, "%s has its new keys\n%s\n", role, out) })
}

// exchange changes the keys of a role.
func (c *command) exchange(ctx context.Context, role string, keys metadata.Keys, add []metadata.Key, remove []string) error {
	for _, name := range remove {
		identity, err := c.identityIn(ctx, name, keys)
		if err != nil {
			return err
		}
		before := len(keys)
		dropKey(keys, identity)
		if len(keys) == before {
			return usagef("%q is no key of the role %q", name, role)
		}
	}
	for _, k := range add {
		identity, err := tuf.KeyIdentity(k)
		if err != nil {
			return err
		}
		dropKey(keys, identity) // one key under two IDs is one
		keys[k.ID()] = k
	}
	return nil
}

func dropKey(keys metadata.Keys, identity string) {
	maps.DeleteFunc(keys, func(_ string, k metadata.Key) bool {
		id, err := tuf.KeyIdentity(k)
		return err == nil && id == identity
	})
}

// identityIn finds the key that a person names: by its ID or the beginning of
// it, by its name in the keystore, by URI.
func (c *command) identityIn(ctx context.Context, name string, keys metadata.Keys) (string, error) {
	if k, ok := keys.ByID(name); ok {
		return tuf.KeyIdentity(k)
	}
	k, err := c.publicKey(ctx, name)
	if err != nil {
		return "", err
	}
	return tuf.KeyIdentity(k)
}
