package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

// agreementFlags say which roles must agree.
type agreementFlags struct {
	roles []string
	min   int
}

func (f *agreementFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.roles, "agree", nil, "`roles`, comma separated, that must list the same digest")
	cmd.Flags().IntVar(&f.min, "min", 0, "`number` of these roles that must agree (default: all)")
}

// agreement returns what was asked for, or nil.
func (f *agreementFlags) agreement() (*metadata.Agreement, error) {
	n := len(f.roles)
	if n == 0 {
		if f.min != 0 {
			return nil, usagef("--min %d of nobody: name the roles with --agree", f.min)
		}
		return nil, nil
	}
	for i, role := range f.roles {
		if slices.Contains(f.roles[:i], role) {
			return nil, usagef("--agree: %q is named twice: it counts once", role)
		}
	}
	a := &metadata.Agreement{Roles: f.roles, Min: f.min}
	if f.min == 0 {
		a.Min = n
	}
	if a.Min < 2 || a.Min > n {
		return nil, usagef("--min %d with --agree of %d: at least two roles must agree, at most all", a.Min, n)
	}
	return a, nil
}

func agreementText(a *metadata.Agreement) string {
	if a == nil {
		return "under these names no agreement is demanded"
	}
	return fmt.Sprintf("under these names nothing passes that not %d of %s list alike", a.Min, strings.Join(a.Roles, ", "))
}

func newDelegateAgree(c *command) *cobra.Command {
	var f agreementFlags
	var trust string
	var none, dryRun bool
	cmd := &cobra.Command{
		Use:   "agree ROLE --agree ROLES|--none",
		Short: "Demand that several roles agree, or demand it no longer",
		Long: `Agree changes what the delegation to ROLE demands: under its names nothing passes,
whoever the delegator lets vouch for it, until --min of the roles that are named list
the same digest. A key that is stolen from one of them passes nothing then.

The roles must be trusted with ROLE's names by the same delegator, and have no key in
common. What one of them has signed alone does not pass until enough of the others sign it
too. Other TUF clients go on to take it: only Carnet enforces agreement. --none lifts it.`,
		Example: "  carnet delegate agree security --agree releases,security,qa --min 2\n  carnet delegate agree security --none",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := f.agreement()
			if err != nil {
				return err
			}
			if none == (a != nil) {
				return usagef("give --agree ROLES, or --none")
			}
			return c.delegateAgree(cmd.Context(), args[0], trust, a, dryRun)
		},
	}
	trustFlag(cmd, &trust)
	signWithFlag(cmd, c)
	f.register(cmd)
	cmd.Flags().BoolVar(&none, "none", false, "demand no agreement: one role is enough")
	dryRunFlag(cmd, &dryRun)
	return cmd
}

func (c *command) delegateAgree(ctx context.Context, role, trust string, a *metadata.Agreement, dryRun bool) error {
	p, err := c.openPublisher(trust)
	if err != nil {
		return err
	}
	var effects []revocation.Effect
	change := func(ctx context.Context, d *tuf.Draft) (err error) {
		if err := d.SetAgreement(ctx, role, a); err != nil {
			return err
		}
		effects, err = agreementEffects(ctx, d, role)
		return err
	}
	if dryRun {
		return p.preview(ctx, nil, change)
	}
	res, err := p.publish(ctx, nil, change)
	if err != nil {
		return err
	}
	return c.answerDemand("", demanded{p.published(res), effectViews(effects)}, a)
}

// demanded is the answer where an agreement is demanded, or no longer.
type demanded struct {
	published
	Effects []effectView `json:"effects"` // of what passed before, or passes now
}

func (c *command) answerDemand(first string, out demanded, a *metadata.Agreement) error {
	return c.answer(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s%s\n", first, agreementText(a))
		if len(out.Effects) > 0 {
			effectText(w, out.Effects)
		}
		fmt.Fprintln(w, out.published)
	})
}

// agreementEffects returns what the agreement at role changes for what is
// listed already.
func agreementEffects(ctx context.Context, d *tuf.Draft, role string) ([]revocation.Effect, error) {
	delegation, err := d.Delegation(ctx, role)
	if err != nil {
		return nil, err
	}
	listed, err := revocation.Under(ctx, d, delegation)
	if err != nil {
		return nil, err
	}
	effects, err := revocation.Effects(ctx, d, listed)
	return slices.DeleteFunc(effects, func(e revocation.Effect) bool { return !e.Changes() }), err
}
