package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

func newRefresh(c *command) *cobra.Command {
	var trust string
	var every time.Duration
	var roles []string
	var floor verify.Floor
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

A machine that remembers nothing of the publisher can be shown an old state, and
would say that it still holds. --floor ROOT.TIMESTAMP, versions that somebody
remembers from carnet status, refuses to go on from anything older.

With --every it goes on until it is interrupted; a failure is told and tried again
at the next turn. --timeout then bounds each turn.`,
		Example: "  carnet refresh\n  carnet refresh --every 6h\n  carnet refresh --role targets --role releases",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("every") {
				return c.refresh(cmd.Context(), trust, roles, floor)
			}
			if len(roles) > 0 {
				return usagef("give --every or --role, not both: what lives long is signed again when it is due")
			}
			if every < time.Second {
				return usagef("--every %s: want at least 1s", every)
			}
			return c.repeat(every, func(ctx context.Context) error { return c.refresh(ctx, trust, nil, floor) })
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	cmd.Flags().StringArrayVar(&roles, "role", nil, "`role` whose file is signed again too; may be repeated")
	cmd.Flags().Var((*floorFlag)(&floor), "floor", "`ROOT.TIMESTAMP`: go on from nothing older")
	cmd.Flags().DurationVar(&every, "every", 0, "go on, with this `duration` between turns")
	return cmd
}

func (c *command) refresh(ctx context.Context, trust string, roles []string, floor verify.Floor) error {
	p, err := c.openPublisher(trust)
	if err != nil {
		return err
	}
	res, taken, err := p.refresh(ctx, roles, floor)
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
func (p *publisher) refresh(ctx context.Context, roles []string, floor verify.Floor) (*tuf.Result, []*tuf.Review, error) {
	var taken []*tuf.Review
	renew := func(ctx context.Context, d *tuf.Draft) error {
		if err := p.above(ctx, d.State(), floor); err != nil {
			return err
		}
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

// above fails if the state is below the floor.
func (p *publisher) above(ctx context.Context, s *tuf.State, floor verify.Floor) error {
	err := floor.Check(s.Root(), s.Timestamp(), func(version int64) (*metadata.Root, error) {
		roots, err := p.repo.Roots(ctx, s)
		if err != nil || roots[version] == nil {
			return nil, errors.Join(err, fmt.Errorf("root version %d is not known here", version))
		}
		return roots[version].Root, nil
	})
	if err != nil {
		err = fmt.Errorf("nothing was published: %w: %s holds newer metadata back", err, p.trust)
	}
	return err
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

// repeat runs turn until the command is interrupted, which is its ordinary
// end. A failure is told and tried again.
func (c *command) repeat(every time.Duration, turn func(context.Context) error) error {
	for {
		ctx, cancel := c.limited()
		err := turn(ctx)
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
