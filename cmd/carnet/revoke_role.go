package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

type revokeRoleFlags struct {
	trust              string
	self, dryRun, wait bool
}

func newRevokeRole(c *command) *cobra.Command {
	var f revokeRoleFlags
	cmd := &cobra.Command{
		Use:   "role ROLE --self",
		Short: "Give a role up, by its own keys and without its delegator",
		Long: `Give a delegated role up at once, with nothing but the role's own keys and those of
snapshot and timestamp: for holders of a role whose key was stolen, when whoever
delegates to it cannot be reached. The role's next version lists nothing, delegates to
nobody and says, signed, that it gave itself up: no later version takes that back. Every
TUF client obeys, and nothing that the role vouched for passes any more unless another
role vouches for it too.

A role that gave itself up is over. Whoever delegates to it makes a new one, under a new
name and with new keys, with delegate add; what is good is signed there again. delegate
remove then takes the old delegation away: do that soon, since a thief who has an online
key too can show verifiers that never asked before a role that goes on. --dry-run says
what would stop passing.`,
		Example: "  carnet revoke role releases --self --dry-run\n  carnet revoke role releases --self",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.revokeRole(cmd.Context(), args[0], f) },
	}
	trustFlag(cmd, &f.trust)
	signWithFlag(cmd, c)
	cmd.Flags().BoolVar(&f.self, "self", false, "by the role's own keys")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would stop passing and do nothing")
	waitFlag(cmd, &f.wait)
	return cmd
}

// revokedRole is the answer of revoke role; published is null after a dry run.
type revokedRole struct {
	Role      string       `json:"role"`
	Effects   []effectView `json:"effects"`
	Published *published   `json:"published"`
}

func (c *command) revokeRole(ctx context.Context, role string, f revokeRoleFlags) error {
	if !f.self {
		return usagef("give --self to give the role up by its own keys; whoever delegates to it takes it away with `carnet delegate remove %s`", role)
	}
	p, err := c.openPublisher(f.trust)
	if err != nil {
		return err
	}
	out := revokedRole{Role: role}
	res, err := p.publish(ctx, nil, func(ctx context.Context, d *tuf.Draft) error {
		effects, err := revocation.GiveUp(ctx, d, role)
		if err != nil {
			return err
		}
		out.Effects = effectViews(effects)
		if f.dryRun {
			return errDryRun
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return err
	}
	if err == nil {
		pub := p.published(res)
		out.Published = &pub
		if f.wait {
			err = p.settled(ctx, res)
		}
		if err != nil {
			return err
		}
	}
	return c.answer(out, out.text)
}

func (r revokedRole) text(w io.Writer) {
	if r.Published == nil {
		fmt.Fprintf(w, "%s would give itself up\n", r.Role)
		effectText(w, r.Effects)
		fmt.Fprintln(w, "nothing was changed")
		return
	}
	if r.Published.Changed {
		fmt.Fprintf(w, "%s gave itself up\n", r.Role)
		effectText(w, r.Effects)
	}
	fmt.Fprintln(w, r.Published)
}
