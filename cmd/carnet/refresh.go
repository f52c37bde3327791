package main

import (
	"context"
	"errors"
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
let it run with --every. It publishes the proposals that have all their signatures,
and moves the tag latest to where it belongs.

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
	res, taken, err := p.refresh(ctx)
	if err != nil {
		return err
	}
	out := refreshed{p.published(res), []string{}}
	for _, v := range taken {
		out.TakenIn = append(out.TakenIn, v.Proposal.ID())
	}
	return c.answer(out, func(w io.Writer) {
		for _, id := range out.TakenIn {
			fmt.Fprintf(w, "the proposal %.12s is in effect\n", id)
		}
		fmt.Fprintln(w, out.published)
	})
}

// refreshed is the answer of refresh.
type refreshed struct {
	published
	TakenIn []string `json:"takenIn"` // proposals
}

// refresh publishes, with the proposals that are complete. A proposal must
// never keep a publisher from refreshing: if it cannot be published with them,
// it is without.
func (p *publisher) refresh(ctx context.Context) (*tuf.Result, []*tuf.Review, error) {
	var taken []*tuf.Review
	res, err := p.publish(ctx, nil, func(ctx context.Context, d *tuf.Draft) (err error) {
		d.Force()
		taken, err = p.takeIn(ctx, d)
		return err
	})
	if err != nil && len(taken) > 0 && ctx.Err() == nil && !errors.Is(err, tuf.ErrOutcomeUnknown) {
		p.c.say("not published with proposals: %v", err)
		taken = nil
		res, err = p.publish(ctx, nil, func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil })
	}
	if err == nil {
		p.dropOver(ctx)
	}
	return res, taken, err
}

// takeIn takes in the proposals that are complete.
func (p *publisher) takeIn(ctx context.Context, d *tuf.Draft) ([]*tuf.Review, error) {
	open, err := p.repo.Proposals(ctx, d.State())
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		p.c.say("proposals could not be looked for: %v", err)
		return nil, nil
	}
	return p.repo.TakeIn(ctx, d, open)
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
