package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

type approveFlags struct {
	trust, file string
	keys        []string
	yes         bool
}

func newApprove(c *command) *cobra.Command {
	var f approveFlags
	cmd := &cobra.Command{
		Use:     "approve [PROPOSAL]",
		GroupID: groupPublisher,
		Short:   "Sign a proposal, after showing what it would change",
		Long: `Approve shows what a proposal would change and signs it, with every key at hand that
counts and has not signed, or with --key only. If then all signatures are there and the
keys of snapshot and timestamp are at hand too, it publishes; else whoever has those does,
by carnet refresh. PROPOSAL may be left out if only one is open.

It refuses a proposal that is not based on the newest state, one that cannot be shown in
full, and a second file of a role's version that this machine signed another of. On a
terminal it asks first, unless --yes is given.

With --file it signs the proposal of a file from carnet propose export, without
network, and writes the signature into the file.

` + keyForms,
		Example: "  carnet approve 3f1c9a77b2d4\n  carnet approve --file change.proposal --key ann-root",
		Args:    cobra.MaximumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.approve(cmd.Context(), args, f) },
	}
	trustFlag(cmd, &f.trust)
	cmd.Flags().StringVar(&f.file, "file", "", "`file` with the proposal, which is written anew")
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "sign with this `key` only; may be repeated")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	return cmd
}

// approved is the answer of approve; published is null where it published
// nothing.
type approved struct {
	proposalView
	Added     []addedSignature `json:"added"`
	Published *published       `json:"published"`
}

type addedSignature struct {
	Role string `json:"role"`
	Key  string `json:"key"`
}

func (c *command) approve(ctx context.Context, args []string, f approveFlags) error {
	only, err := c.onlyKeys(ctx, f.keys)
	if err != nil {
		return err
	}
	a, err := c.openProposal(ctx, f.trust, f.file, args)
	if err != nil {
		return err
	}
	if err := c.showBeforeSigning(ctx, a.review, f.yes); err != nil {
		return err
	}
	added, err := a.repo.Approve(ctx, a.review, only...)
	if err != nil {
		return c.named(err)
	}
	if len(added) > 0 {
		if err := a.handOn(ctx, f.file); err != nil {
			return err
		}
	}
	out := approved{Added: []addedSignature{}}
	for _, s := range added {
		out.Added = append(out.Added, addedSignature{s.Role, c.keyName(s.Key, s.Key.ID())})
	}
	if out.Published, err = a.publish(ctx); err != nil {
		return err
	}
	out.proposalView = c.proposalView(a.review)
	return c.answer(out, out.text)
}

func (o approved) text(w io.Writer) {
	for _, s := range o.Added {
		fmt.Fprintf(w, "%s signed %s\n", s.Key, printable(s.Role))
	}
	if len(o.Added) == 0 {
		fmt.Fprintln(w, "the keys here have signed it already")
	}
	if o.Published != nil {
		fmt.Fprintln(w, o.Published)
		return
	}
	o.proposalView.text(w)
}

// onlyKeys returns the material of the keys of --key, and puts them at hand.
func (c *command) onlyKeys(ctx context.Context, names []string) ([]string, error) {
	var out []string
	keys, err := c.publicKeys(ctx, names)
	for _, k := range keys {
		id, err := tuf.KeyIdentity(k)
		if err != nil {
			return nil, err
		}
		out = append(out, id)
	}
	return out, err
}

// showBeforeSigning says what would change, and asks on a terminal. What cannot
// be shown is not signed.
func (c *command) showBeforeSigning(ctx context.Context, v *tuf.Review, yes bool) error {
	changes, err := v.Differences(ctx)
	if err != nil {
		return err
	}
	if err := hiddenIn(changes); err != nil {
		return err
	}
	var b strings.Builder
	c.proposalView(v).text(&b)
	if err := c.writeDifferences(&b, changes); err != nil {
		return err
	}
	if _, err := io.WriteString(c.stderr, b.String()); err != nil {
		return fmt.Errorf("what would change could not be shown, so nothing is signed: %w", err)
	}
	if yes {
		return nil
	}
	if signs, err := c.ask(ctx, "Sign it?"); signs || err != nil {
		return err
	}
	return usagef("not signed")
}

// handOn puts the signatures where the others find them.
func (a *openedProposal) handOn(ctx context.Context, path string) error {
	if a.file == nil {
		return a.repo.Submit(ctx, a.review)
	}
	raw, err := a.file.With(a.review.Proposal)
	if err != nil {
		return err
	}
	return registrystore.WriteFile(path, raw, 0o644)
}

// publish publishes the proposal, if it is complete and the keys for that are
// here; else it returns nil. If somebody else did meanwhile it returns that.
func (a *openedProposal) publish(ctx context.Context) (*published, error) {
	if a.file != nil || !a.review.Complete() || a.repo.CanPublish(a.review.Draft().Root()) != nil {
		return nil, nil
	}
	res, err := a.p.publish(ctx, nil, func(ctx context.Context, d *tuf.Draft) error {
		open, err := a.repo.Proposals(ctx, d.State())
		if err != nil {
			return err
		}
		for _, v := range open {
			if v.Proposal.ID() == a.review.Proposal.ID() {
				_, err = a.repo.TakeIn(ctx, d, []*tuf.Review{v})
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	a.p.dropOver(ctx)
	out := a.p.published(res)
	return &out, nil
}

// dropOver takes proposals away that are over. That a registry deletes nothing
// is no harm: they are not read any more.
func (p *publisher) dropOver(ctx context.Context) {
	state, err := p.load(ctx)
	if err == nil {
		_, err = p.repo.DropOver(ctx, state)
	}
	if err != nil {
		p.c.detail("proposals that are over stay: %v", err)
	}
}
