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
	var roles []string
	cmd := &cobra.Command{
		Use:     "refresh [--role ROLE]",
		GroupID: groupPublisher,
		Short:   "Say that everything still holds: new snapshot and timestamp",
		Long: `Refresh signs a new snapshot and timestamp, so that verifiers know that what they
see is current. Run it more often than the timestamp expires, from cron or CI, or
let it run with --every. It publishes the proposals that have all their signatures,
and moves the tag latest to where it belongs.

With --role the file of that role is signed again too, with what it says and the
keys that it has: root, targets and delegated roles expire as well, only later.
Several roles are one publication. carnet status says when that is due, and whose
keys it needs.

With --every it goes on until it is interrupted; a failure is told and tried again
at the next turn. --timeout then bounds each turn.`,
		Example: "  carnet refresh\n  carnet refresh --every 6h\n  carnet refresh --role targets --role releases",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("every") {
				return c.refresh(cmd.Context(), trust, roles)
			}
			if len(roles) > 0 {
				return usagef("give --every or --role, not both: what lives long is signed again when it is due")
			}
			if every < time.Second {
				return usagef("--every %s: want at least 1s", every)
			}
			return c.refreshEvery(trust, every)
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	cmd.Flags().StringArrayVar(&roles, "role", nil, "`role` whose file is signed again too; may be repeated")
	cmd.Flags().DurationVar(&every, "every", 0, "go on, with this `duration` between turns")
	return cmd
}

func (c *command) refresh(ctx context.Context, trust string, roles []string) error {
	p, err := c.openPublisher(trust)
	if err != nil {
		return err
	}
	res, taken, err := p.refresh(ctx, roles)
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
// it is without. The files of roles are signed again.
func (p *publisher) refresh(ctx context.Context, roles []string) (*tuf.Result, []*tuf.Review, error) {
	var taken []*tuf.Review
	renew := func(ctx context.Context, d *tuf.Draft) error {
		d.Force()
		for _, role := range roles {
			if err := d.Renew(ctx, role); err != nil {
				return err
			}
		}
		return nil
	}
	res, err := p.publish(ctx, nil, func(ctx context.Context, d *tuf.Draft) (err error) {
		if err := renew(ctx, d); err != nil {
			return err
		}
		taken, err = p.takeIn(ctx, d)
		return err
	})
	if err != nil && len(taken) > 0 && ctx.Err() == nil && !errors.Is(err, tuf.ErrOutcomeUnknown) {
		p.c.say("not published with proposals: %v", err)
		taken = nil
		res, err = p.publish(ctx, nil, renew)
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
		err := c.refresh(ctx, trust, nil)
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
