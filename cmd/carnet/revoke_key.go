package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

type revokeKeyFlags struct {
	trust, role string
	dryRun      bool
}

func newRevokeKey(c *command) *cobra.Command {
	var f revokeKeyFlags
	cmd := &cobra.Command{
		Use:   "key KEYID|KEY",
		Short: "Take a key away from its roles",
		Long: `Take a key away from every delegated role that has it, or from one with --role.
The delegator lists it no longer, and the role's file is signed again by the keys
that remain, all in one publication. It says first what that means for each role;
--dry-run says it and does nothing. It refuses what would leave a role without enough
keys: give the role another key first, with carnet rotate.

What the key vouched for is still vouched for, by the keys that remain: look at the
list of paths and withdraw what should not be.`,
		Example: "  carnet revoke key stolen --dry-run\n  carnet revoke key 3f1c9a77 --role releases",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.revokeKey(cmd.Context(), args[0], f) },
	}
	trustFlag(cmd, &f.trust)
	signWithFlag(cmd, c)
	cmd.Flags().StringVar(&f.role, "role", "", "take the key from this `role` only")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what it means and do nothing")
	return cmd
}

// impactView is what revoking a key means for one role, as it is shown.
type impactView struct {
	Role      string   `json:"role"`
	Delegator string   `json:"delegator"`
	Threshold int      `json:"threshold"`
	Remaining int      `json:"remaining"`
	AtHand    int      `json:"atHand"`
	Signed    bool     `json:"signed"`
	Alone     bool     `json:"alone"`
	Possible  bool     `json:"possible"`
	Paths     []string `json:"paths"`
}

// revokedKey is the answer of revoke key; published is null after a dry run.
type revokedKey struct {
	Key       string       `json:"key"`
	Impact    []impactView `json:"impact"`
	Published *published   `json:"published"`
}

func (c *command) revokeKey(ctx context.Context, key string, f revokeKeyFlags) error {
	p, err := c.openPublisher(f.trust)
	if err != nil {
		return err
	}
	out := revokedKey{Key: key}
	change := func(ctx context.Context, d *tuf.Draft) error {
		impacts, err := c.impacts(ctx, d, key, f.role)
		if err != nil {
			return err
		}
		out.Impact = views(impacts)
		if f.dryRun {
			return nil
		}
		if c.flags.output != "json" {
			out.impactText(c.stderr)
		}
		return revocation.RevokeKey(ctx, d, impacts)
	}
	res, err := p.publish(ctx, nil, change)
	if err != nil {
		return err
	}
	if !f.dryRun {
		pub := p.published(res)
		out.Published = &pub
	}
	return c.answer(out, func(w io.Writer) {
		if f.dryRun {
			out.impactText(w)
			fmt.Fprintln(w, "nothing was changed")
			return
		}
		fmt.Fprintf(w, "the key %s is revoked\n%s\n", key, out.Published)
	})
}

func (c *command) impacts(ctx context.Context, d *tuf.Draft, key, role string) ([]revocation.Impact, error) {
	ks, err := c.keys()
	if err != nil {
		return nil, err
	}
	all, err := allKeys(ctx, d)
	if err != nil {
		return nil, err
	}
	identity, err := c.identityIn(ctx, key, all)
	if err != nil {
		return nil, err
	}
	return revocation.Impacts(ctx, d, ks, identity, role)
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

func views(impacts []revocation.Impact) []impactView {
	out := []impactView{}
	for _, i := range impacts {
		out = append(out, impactView{
			Role: i.Role, Delegator: i.Delegator, Threshold: i.Threshold, Remaining: i.Remaining, AtHand: i.AtHand,
			Signed: i.Signed, Alone: i.Alone, Possible: i.Possible(), Paths: append([]string{}, i.Paths...),
		})
	}
	return out
}

func (r revokedKey) impactText(w io.Writer) {
	for _, i := range r.Impact {
		fmt.Fprintf(w, "role %s, delegated by %s: %d keys remain of a threshold of %d, %d of them at hand\n", i.Role, i.Delegator, i.Remaining, i.Threshold, i.AtHand)
		switch {
		case i.Alone:
			fmt.Fprintf(w, "  its file holds by this key's signature alone: it is signed again; it vouches for %d paths:\n", len(i.Paths))
		case i.Signed:
			fmt.Fprintf(w, "  its file carries this key's signature and holds without it; it vouches for %d paths:\n", len(i.Paths))
		default:
			fmt.Fprintf(w, "  its file does not carry this key's signature; it vouches for %d paths\n", len(i.Paths))
			continue
		}
		for _, p := range i.Paths {
			fmt.Fprintln(w, "    "+p)
		}
		if !i.Possible {
			fmt.Fprintf(w, "  this cannot be done now: add a key with `carnet rotate %s --add KEY`, or bring one of the remaining keys here\n", i.Role)
		}
	}
}
