package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
)

func newPrune(c *command) *cobra.Command {
	var trust string
	keep := tuf.DefaultPruning
	cmd := &cobra.Command{
		Use:     "prune",
		GroupID: groupPublisher,
		Short:   "Drop old states, drafts and proposals from the trust repository, never a root",
		Long: `Prune deletes the states that are neither among the newest nor younger than
--pause, and drafts older than that, which were committed or given up. Every state
holds all roots, so none is lost. --pause must be longer than any writer takes. Proposals
go that are in effect, are based on an older state, or are none.`,
		Example: "  carnet prune --keep 100",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if keep.Keep < 1 || keep.Pause < 0 {
				return usagef("--keep %d --pause %s: want at least one state, and a duration from 0", keep.Keep, keep.Pause)
			}
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			tags, err := p.repo.Prune(cmd.Context(), keep)
			if err != nil {
				return err
			}
			out := map[string]any{"trust": p.trust.String(), "deleted": append([]string{}, tags...)}
			return c.answer(out, func(w io.Writer) {
				fmt.Fprintf(w, "deleted %d old states, drafts and proposals from %s\n", len(tags), p.trust)
			})
		},
	}
	trustFlag(cmd, &trust)
	cmd.Flags().IntVar(&keep.Keep, "keep", keep.Keep, "`number` of states to keep, the newest ones")
	cmd.Flags().DurationVar(&keep.Pause, "pause", keep.Pause, "keep everything younger than this `duration`")
	return cmd
}
