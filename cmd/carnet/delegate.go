package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

func newDelegate(c *command) *cobra.Command {
	return group("delegate", "Say which roles may vouch for which names",
		"Delegate gives roles with keys of their own the trust to vouch for names, takes\nit away, and lists who is trusted with what.", groupPublisher,
		newDelegateAdd(c), newDelegateAgree(c), newDelegateRemove(c), newDelegateList(c))
}

type delegateFlags struct {
	trust, parent string
	paths, keys   []string
	threshold     int
	terminating   bool
	dryRun        bool
	agreement     agreementFlags
}

func newDelegateAdd(c *command) *cobra.Command {
	var f delegateFlags
	cmd := &cobra.Command{
		Use:   "add ROLE --path NAME --key KEY",
		Short: "Trust a new role with names",
		Long: `Add trusts a new role, whose files KEY signs, with names: NAME covers the tags
and digests of one repository path, NAME/** that path and all below it to eight
levels, ** everything; anything with *, ?, [ or : in it is a raw TUF pattern.

The role's first, empty file is signed at once, so as many of its keys as its
threshold says must be at hand. To hand a role to somebody else, delegate it to a key of yours and
theirs with a threshold of one, let them sign, and take yours out with carnet rotate.

With --agree nothing passes under these names, whoever vouches for it, until --min of
the roles that are named list the same digest. ROLE itself may be one of them; the
others must be trusted with these names by the same delegator. See carnet delegate agree.

` + keyForms,
		Example: "  carnet delegate add releases --path net-monitor --key releases\n  carnet delegate add team --path team/** --key ann --key file:bob.pub --threshold 2\n  carnet delegate add security --path net-monitor --key sec --agree releases,security",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.delegateAdd(cmd.Context(), args[0], f) },
	}
	trustFlag(cmd, &f.trust)
	cmd.Flags().StringArrayVar(&f.paths, "path", nil, "`name` or pattern to trust the role with; may be repeated")
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "`key` of the role, like a name in the keystore or file:PATH; may be repeated")
	cmd.Flags().IntVar(&f.threshold, "threshold", 1, "`number` of the keys that must sign")
	cmd.Flags().StringVar(&f.parent, "parent", metadata.RoleTargets, "`role` that delegates")
	cmd.Flags().BoolVar(&f.terminating, "terminating", false, "no role that is delegated later is asked for these names")
	dryRunFlag(cmd, &f.dryRun)
	f.agreement.register(cmd)
	_ = cmd.MarkFlagRequired("path")
	_ = cmd.MarkFlagRequired("key")
	return cmd
}

func (c *command) delegateAdd(ctx context.Context, role string, f delegateFlags) error {
	d, keys, err := c.delegation(ctx, role, f)
	if err != nil {
		return err
	}
	if d.Agreement, err = f.agreement.agreement(); err != nil {
		return err
	}
	p, err := c.openPublisher(f.trust)
	if err != nil {
		return err
	}
	var effects []revocation.Effect
	change := func(ctx context.Context, draft *tuf.Draft) (err error) {
		if err := draft.Delegate(ctx, f.parent, d, keys); err != nil || d.Agreement == nil {
			return err
		}
		effects, err = agreementEffects(ctx, draft, role)
		return err
	}
	if f.dryRun {
		return p.preview(ctx, nil, change)
	}
	res, err := p.publish(ctx, nil, change)
	if err != nil {
		return err
	}
	trusted := fmt.Sprintf("%s is trusted with %s by %s\n", role, strings.Join(f.paths, ", "), f.parent)
	out := p.published(res)
	if d.Agreement != nil {
		return c.answerDemand(trusted, demanded{out, effectViews(effects)}, d.Agreement)
	}
	return c.answer(out, func(w io.Writer) { fmt.Fprintf(w, "%s%s\n", trusted, out) })
}

// delegation checks what was asked for before anything is read.
func (c *command) delegation(ctx context.Context, role string, f delegateFlags) (metadata.Delegation, metadata.Keys, error) {
	d := metadata.Delegation{Name: role, Terminating: f.terminating}
	if err := delegations.CheckRoleName(role); err != nil {
		return d, nil, usage(err)
	}
	for _, name := range f.paths {
		patterns, err := metadata.Patterns(name)
		if err != nil {
			return d, nil, usage(err)
		}
		for _, p := range patterns {
			if err := delegations.CheckPattern(p); err != nil {
				return d, nil, usage(err)
			}
			if !slices.Contains(d.Paths, p) {
				d.Paths = append(d.Paths, p)
			}
		}
	}
	list, err := c.publicKeys(ctx, f.keys)
	if err != nil {
		return d, nil, err
	}
	if f.threshold < 1 || f.threshold > len(list) {
		return d, nil, usagef("--threshold %d with %s: want 1 to %d", f.threshold, count(len(list), "key"), len(list))
	}
	keys := metadata.Keys{}
	for _, k := range list {
		keys[k.ID()] = k
		d.KeyIDs = append(d.KeyIDs, k.ID())
	}
	d.Threshold = f.threshold
	return d, keys, nil
}

func newDelegateRemove(c *command) *cobra.Command {
	var trust string
	var dryRun bool
	cmd := &cobra.Command{
		Use:     "remove ROLE",
		Short:   "Trust a role no longer",
		Long:    "Remove takes the trust in a role away: nothing that it vouched for passes any more,\nunless another role vouches for it too.",
		Example: "  carnet delegate remove releases",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			change := func(ctx context.Context, d *tuf.Draft) error { return d.Undelegate(ctx, args[0]) }
			if dryRun {
				return p.preview(cmd.Context(), nil, change)
			}
			res, err := p.publish(cmd.Context(), nil, change)
			if err != nil {
				return err
			}
			out := p.published(res)
			return c.answer(out, func(w io.Writer) { fmt.Fprintf(w, "%s is trusted no longer\n%s\n", args[0], out) })
		},
	}
	trustFlag(cmd, &trust)
	dryRunFlag(cmd, &dryRun)
	signWithFlag(cmd, c)
	return cmd
}

// roleEntry is one row of delegate list.
type roleEntry struct {
	Role        string    `json:"role"`
	Parent      string    `json:"parent"`
	Paths       []string  `json:"paths"`
	Keys        []string  `json:"keys"`
	Threshold   int       `json:"threshold"`
	Terminating bool      `json:"terminating"`
	Withdrawal  bool      `json:"withdrawal"`
	Agree       []string  `json:"agree"` // the roles that must agree under these paths, none if it is not demanded
	Min         int       `json:"min"`   // how many of them
	Version     int64     `json:"version"`
	Expires     time.Time `json:"expires"`
	Targets     int       `json:"targets"`
}

func newDelegateList(c *command) *cobra.Command {
	var trust string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List who is trusted with what",
		Long:    "List shows every delegated role: who delegates it, its names, keys and threshold,\nhow much it vouches for and until when its file is valid.",
		Example: "  carnet delegate list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			list, err := p.roles(cmd.Context())
			if err != nil {
				return err
			}
			return c.answer(list, func(w io.Writer) {
				for _, r := range list {
					r.print(w)
				}
			})
		},
	}
	trustFlag(cmd, &trust)
	return cmd
}

func (r roleEntry) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n  delegated by %s, %d of %s\n  paths   %s\n", r.Role, r.Parent, r.Threshold, strings.Join(r.Keys, ", "), strings.Join(r.Paths, " "))
	if r.Min > 0 {
		fmt.Fprintf(w, "  agree   %d of %s must list the same\n", r.Min, strings.Join(r.Agree, ", "))
	}
	fmt.Fprintf(w, "  targets %d, version %d, valid till %s\n", r.Targets, r.Version, r.Expires.Format(time.RFC3339))
}

func (p *publisher) roles(ctx context.Context) ([]roleEntry, error) {
	state, err := p.load(ctx)
	if err != nil {
		return nil, err
	}
	client := state.Client()
	out := []roleEntry{}
	open := func(e delegations.Edge) (*metadata.Targets, error) { return client.Open(ctx, e) }
	err = delegations.Walk(open, func(e delegations.Edge, d metadata.Delegation) error {
		t, err := client.Open(ctx, e)
		if err != nil {
			return err
		}
		r := roleEntry{
			Role: e.Role, Parent: e.Parent, Paths: append(d.Paths, d.HashPrefixes...), Threshold: e.RoleKeys.Threshold, Terminating: e.Terminating,
			Withdrawal: e.Withdrawal, Version: t.Version, Expires: t.Expires, Targets: len(t.Targets), Keys: []string{}, Agree: []string{},
		}
		if a := d.Agreement; a != nil {
			r.Agree, r.Min = a.Roles, a.Min
		}
		for _, id := range e.RoleKeys.KeyIDs {
			r.Keys = append(r.Keys, p.c.keyName(e.Keys[id], id))
		}
		out = append(out, r)
		return nil
	})
	return out, err
}

// keyName is how a key is shown: by its name here, else by its ID.
func (c *command) keyName(k metadata.Key, id string) string {
	if name := c.storedName(k); name != "" {
		return name
	}
	return id[:min(len(id), 12)]
}

// storedName returns a key's name in the keystore here, or "".
func (c *command) storedName(k metadata.Key) string {
	identity, err := tuf.KeyIdentity(k)
	if err != nil {
		return ""
	}
	ks, err := c.keys()
	if err != nil {
		return ""
	}
	return nameOf(ks, identity)
}
