package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
)

func newWriterReplace(c *command) *cobra.Command {
	var trust string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "replace OLD NEW",
		Short: "Let a key publish in the place of another",
		Long: `Replace takes OLD out of snapshot and timestamp and lists NEW, in one new root: OLD
was lost or stolen. NEW settles withdrawals if OLD did. A thief may have sealed a
version so high that nobody can go on from there, or something that verifiers
refuse: then this goes on from what was published before.`,
		Example: "  carnet writer replace wabbit-online wabbit-online-2",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			add, err := c.publicKeys(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			return c.changeWriters(cmd.Context(), trust, dryRun, "publishes in the place of "+args[0], args[1], add, args[:1], func(ctx context.Context, keys metadata.Keys, refreshers []string) ([]string, error) {
				was := sortedIDs(keys)
				if err := c.exchange(ctx, metadata.RoleTimestamp, keys, add, args[:1]); err != nil {
					return nil, err
				}
				for i, id := range refreshers {
					if _, kept := keys[id]; !kept && slices.Contains(was, id) {
						refreshers[i] = add[0].ID()
					}
				}
				return refreshers, nil
			})
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	dryRunFlag(cmd, &dryRun)
	return cmd
}
