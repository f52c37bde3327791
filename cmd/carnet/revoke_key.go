package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

type revokeKeyFlags struct {
	trust, role  string
	dryRun, wait bool
}

func newRevokeKey(c *command) *cobra.Command {
	var f revokeKeyFlags
	cmd := &cobra.Command{
		Use:   "key KEYID|KEY",
		Short: "Take a key away from its roles",
		Long: `Take a key away from every role that has it, TUF's own included, or from one with
--role. Whoever delegates to the role lists the key no longer, and the role's file is
signed again by the keys that remain, all in one publication: a new root, if the key is
one of root, targets, snapshot or timestamp. What needs more signatures than the keys
here give becomes a proposal.

It says first what that means: for each role the keys that remain, which artifacts only
this key vouched for, which files have to be signed by whom, and what a verifier says of
each artifact before and after. --dry-run says it, with the state since which the key
alone vouched, and does nothing. It refuses what would leave a role without enough keys:
replace the key with carnet rotate ROLE --add NEW --remove KEY.

What the key vouched for is still vouched for, by the keys that remain: look at it with
carnet audit key, which can withdraw what should not be.`,
		Example: "  carnet revoke key stolen --dry-run\n  carnet revoke key 3f1c9a77 --role releases",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.revokeKey(cmd.Context(), args[0], f) },
	}
	trustFlag(cmd, &f.trust)
	signWithFlag(cmd, c)
	cmd.Flags().StringVar(&f.role, "role", "", "take the key from this `role` only")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what it means and do nothing")
	waitFlag(cmd, &f.wait)
	return cmd
}

func (c *command) revokeKey(ctx context.Context, key string, f revokeKeyFlags) error {
	p, err := c.openPublisher(f.trust)
	if err != nil {
		return err
	}
	out := revokedKey{Key: key}
	res, err := p.publish(ctx, nil, func(ctx context.Context, d *tuf.Draft) error {
		refused := c.edit(ctx, d, f.role, &out)
		if refused == nil && !f.dryRun && c.flags.output != "json" && !c.flags.quiet {
			out.impactText(c.stderr)
		}
		if !f.dryRun || refused != nil && !errors.Is(refused, revocation.ErrBelowThreshold) {
			return refused
		}
		if refused != nil {
			s := refused.Error()
			out.Refused = &s
		}
		out.since(ctx, p)
		return errDryRun
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return err
	}
	if err == nil {
		pub := p.published(res)
		out.Published = &pub
		if f.wait {
			if err := p.settled(ctx, res); err != nil {
				return err
			}
		}
	}
	return c.answer(out, out.text)
}

// edit takes the key away in d, and fills in what that means. A person is told
// before it is done.
func (c *command) edit(ctx context.Context, d *tuf.Draft, role string, out *revokedKey) error {
	ks, err := c.keys()
	if err != nil {
		return err
	}
	all, err := allKeys(ctx, d)
	if err != nil {
		return err
	}
	if out.identity, err = c.identityIn(ctx, out.Key, all); err != nil {
		return err
	}
	impacts, err := revocation.Impacts(ctx, d, ks, out.identity, role)
	if err != nil {
		return err
	}
	out.Impact = impactViews(impacts)
	if err := revocation.RevokeKey(ctx, d, out.identity, impacts); err != nil {
		return err
	}
	needs, err := revocation.Needs(ctx, d, ks, impacts)
	if err != nil {
		return err
	}
	out.Needs = needViews(needs)
	listings, err := revocation.Affected(ctx, d, impacts)
	if err != nil {
		return err
	}
	effects, err := revocation.Effects(ctx, d, listings)
	out.Effects = effectViews(effects)
	return err
}

// allKeys returns every key that a publisher lists, by ID.
func allKeys(ctx context.Context, d *tuf.Draft) (metadata.Keys, error) {
	all := metadata.Keys{}
	for id, k := range d.Root().Keys {
		all[id] = k
	}
	open := func(e delegations.Edge) (*metadata.Targets, error) { return d.Open(ctx, e) }
	err := delegations.Walk(open, func(e delegations.Edge, _ metadata.Delegation) error {
		for id, k := range e.Keys {
			all[id] = k
		}
		return nil
	})
	return all, err
}
