package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
)

func newRefresh(c *command) *cobra.Command {
	var trust string
	var every time.Duration
	cmd := &cobra.Command{
		Use:     "refresh",
		GroupID: groupPublisher,
		Short:   "Say that everything still holds: new snapshot and timestamp",
		Long: `Refresh signs a new snapshot and timestamp, so that verifiers know that what they
see is current. Run it more often than the timestamp expires, from cron or CI, or
let it run with --every. It also moves the tag latest to where it belongs.

With --every it goes on until it is interrupted; a failure is told and tried again
at the next turn. --timeout then bounds each turn.`,
		Example: "  carnet refresh\n  carnet refresh --every 6h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("every") {
				return c.refresh(cmd.Context(), trust)
			}
			if every < time.Second {
				return usagef("--every %s: want at least 1s", every)
			}
			return c.refreshEvery(trust, every)
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	cmd.Flags().DurationVar(&every, "every", 0, "go on, with this `duration` between turns")
	return cmd
}

func (c *command) refresh(ctx context.Context, trust string) error {
	p, err := c.openPublisher(trust)
	if err != nil {
		return err
	}
	res, err := p.publish(ctx, nil, func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil })
	if err != nil {
		return err
	}
	out := p.published(res)
	return c.answer(out, func(w io.Writer) { fmt.Fprintln(w, out) })
}

// refreshEvery refreshes until the command is interrupted, which is its
// ordinary end.
func (c *command) refreshEvery(trust string, every time.Duration) error {
	for {
		ctx, cancel := c.limited()
		err := c.refresh(ctx, trust)
		cancel()
		if c.whole.Err() != nil {
			return nil
		}
		if c.exitCode(err) == exitUsage {
			return err
		}
		if err != nil {
			c.say("%v; next try in %s", err, every)
		}
		if wait(c.whole, every) != nil {
			return nil
		}
	}
}
