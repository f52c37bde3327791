package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

func newPropose(c *command) *cobra.Command {
	return group("propose", "Look at changes that wait for signatures, and carry them",
		`A change that needs more signatures than the keys at hand give becomes a proposal
in the trust repository, whatever command makes it. Propose lists and shows what is
open, carries it to and from machines without network, and forgets what was given up.
carnet approve signs.`, groupPublisher,
		newProposeList(c), newProposeShow(c), newProposeExport(c), newProposeImport(c), newProposeForget(c))
}

// proposalView is a proposal as it is shown.
type proposalView struct {
	Proposal string         `json:"proposal"`
	Complete bool           `json:"complete"` // all signatures are there
	Files    []proposedFile `json:"files"`
}

type proposedFile struct {
	Role    string       `json:"role"`
	Version int64        `json:"version"`
	Expires time.Time    `json:"expires"`
	Quorums []quorumView `json:"signatures"`
}

type quorumView struct {
	By      string   `json:"demandedBy"`
	Have    int      `json:"have"`
	Need    int      `json:"need"`
	Signed  []string `json:"signed"`
	Missing []string `json:"missing"`
}

func (c *command) proposalView(v *tuf.Review) proposalView {
	out := proposalView{Proposal: v.Proposal.ID(), Complete: v.Complete(), Files: []proposedFile{}}
	for _, s := range v.Standings {
		f := proposedFile{Role: s.Role, Version: s.Version, Expires: v.Proposal.File(s.Role).Expires}
		for _, q := range s.Quorums {
			f.Quorums = append(f.Quorums, quorumView{q.By, len(q.Signed), q.Threshold, c.keyNames(q.Signed), c.keyNames(q.Missing)})
		}
		out.Files = append(out.Files, f)
	}
	return out
}

func (c *command) keyNames(keys []metadata.Key) []string {
	out := []string{}
	for _, k := range keys {
		out = append(out, c.keyName(k, k.ID()))
	}
	return out
}

// short is how a person names the proposal.
func (v proposalView) short() string { return v.Proposal[:12] }

func (v proposalView) text(w io.Writer) {
	state := "waits for signatures"
	if v.Complete {
		state = "has all its signatures: who holds keys of snapshot and timestamp publishes it, by carnet refresh"
	}
	fmt.Fprintf(w, "proposal %s %s\n", v.short(), state)
	for _, f := range v.Files {
		for _, q := range f.Quorums {
			fmt.Fprintf(w, "  %s version %d: %d of %d signatures that %s demands%s\n", printable(f.Role), f.Version, q.Have, q.Need, printable(q.By), q.missing())
		}
	}
}

func (q quorumView) missing() string {
	if q.Have >= q.Need || len(q.Missing) == 0 {
		return ""
	}
	return fmt.Sprintf(", missing %d of: %s", q.Need-q.Have, strings.Join(q.Missing, ", "))
}

// proposals returns the newest state and the proposals that are open.
func (p *publisher) proposals(ctx context.Context) (*tuf.State, []*tuf.Review, error) {
	state, err := p.load(ctx)
	if err != nil {
		return nil, nil, err
	}
	open, err := p.repo.Proposals(ctx, state)
	return state, open, err
}

// proposal returns the open proposal that an argument names, the only one if
// it is "".
func (p *publisher) proposal(ctx context.Context, id string) (*tuf.State, *tuf.Review, error) {
	state, open, err := p.proposals(ctx)
	if err != nil {
		return nil, nil, err
	}
	var found []*tuf.Review
	var names []string
	for _, v := range open {
		names = append(names, v.Proposal.ShortID())
		if strings.HasPrefix(v.Proposal.ID(), id) {
			found = append(found, v)
		}
	}
	switch {
	case len(found) == 1:
		return state, found[0], nil
	case len(open) == 0:
		return nil, nil, usagef("no proposal is open in %s", p.trust)
	case len(found) == 0:
		return nil, nil, usagef("no open proposal is called %s: there are %s; what took effect, or is based on an older state, is open no longer", printable(id), strings.Join(names, ", "))
	}
	return nil, nil, usagef("which proposal? %s are open", strings.Join(names, ", "))
}

// checkProposalID refuses what cannot be the beginning of a proposal's ID.
func checkProposalID(id string) error {
	if len(id) < 4 || len(id) > 64 || strings.Trim(id, "0123456789abcdef") != "" {
		return usagef("%.80q names no proposal: want the first 12 digits that `carnet propose list` shows", id)
	}
	return nil
}

func newProposeList(c *command) *cobra.Command {
	var trust string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the proposals that are open, and whose signatures they lack",
		Long:    "List shows the proposals that are open: for each file how many signatures it has, how\nmany it needs, and whose are missing. What took effect, or is based on an older\nstate, is open no longer.",
		Example: "  carnet propose list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			_, open, err := p.proposals(cmd.Context())
			if err != nil {
				return err
			}
			out := []proposalView{}
			for _, v := range open {
				out = append(out, c.proposalView(v))
			}
			return c.answer(out, func(w io.Writer) {
				for _, v := range out {
					v.text(w)
				}
				if len(out) == 0 {
					fmt.Fprintf(w, "no proposal is open in %s\n", p.trust)
				}
			})
		},
	}
	trustFlag(cmd, &trust)
	return cmd
}

// shownProposal is the answer of propose show.
type shownProposal struct {
	proposalView
	Changes []*tuf.Difference `json:"changes"`
}

func newProposeShow(c *command) *cobra.Command {
	var trust, file string
	cmd := &cobra.Command{
		Use:   "show [PROPOSAL]",
		Short: "Say in words what a proposal would change",
		Long: `Show says what would change if the proposal took effect: keys, thresholds, paths,
artifacts added, removed and withdrawn, expiry. PROPOSAL is what carnet propose list
shows, and may be left out if only one is open. With --file it shows the proposal of a
file, without network.`,
		Example: "  carnet propose show 3f1c9a77b2d4\n  carnet propose show --file change.proposal",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.proposeShow(cmd.Context(), trust, file, args)
		},
	}
	trustFlag(cmd, &trust)
	cmd.Flags().StringVar(&file, "file", "", "`file` with the proposal, in place of the trust repository's")
	return cmd
}

func (c *command) proposeShow(ctx context.Context, trust, file string, args []string) error {
	a, err := c.openProposal(ctx, trust, file, args)
	if err != nil {
		return err
	}
	out := shownProposal{proposalView: c.proposalView(a.review)}
	if out.Changes, err = a.review.Differences(ctx); err != nil {
		return err
	}
	err = c.answer(out, func(w io.Writer) {
		out.text(w)
		_ = c.writeDifferences(w, out.Changes) // told below
	})
	return errors.Join(err, hiddenIn(out.Changes))
}

// hiddenIn returns an error if something changes that cannot be shown.
func hiddenIn(list []*tuf.Difference) error {
	var errs []error
	for _, d := range list {
		errs = append(errs, d.Err())
	}
	return errors.Join(errs...)
}

// openedProposal is a proposal that was checked, from the trust repository or
// from a file.
type openedProposal struct {
	p      *publisher
	repo   *tuf.Repository
	state  *tuf.State
	review *tuf.Review
	file   *tuf.ProposalFile // or nil
}

// openProposal finds the proposal that a verb is about.
func (c *command) openProposal(ctx context.Context, trust, file string, args []string) (*openedProposal, error) {
	id := ""
	if len(args) > 0 {
		if id = args[0]; file != "" {
			return nil, usagef("give PROPOSAL or --file, not both")
		}
		if err := checkProposalID(id); err != nil {
			return nil, err
		}
	}
	p, err := c.openPublisher(trust)
	if err != nil {
		return nil, err
	}
	if file != "" {
		return p.openProposalFile(ctx, file)
	}
	a := &openedProposal{p: p, repo: p.repo}
	a.state, a.review, err = p.proposal(ctx, id)
	return a, err
}

// openProposalFile checks the proposal of a file against what this machine
// knows, without network.
func (p *publisher) openProposalFile(ctx context.Context, path string) (*openedProposal, error) {
	if err := p.c.bringKeys(ctx); err != nil {
		return nil, err
	}
	f, err := readProposalFile(path)
	if err != nil {
		return nil, err
	}
	opts := p.opts
	journal := f.Journal()
	opts.Journal, opts.Sources, opts.Ballot = journal, []tuf.Source{journal}, nil
	a := &openedProposal{p: p, repo: tuf.NewRepository(opts), file: f}
	if a.state, err = a.repo.Load(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the state in %s: %w", path, err), p.state.Commit())
	}
	if a.review, err = a.repo.ReviewFile(ctx, a.state, f); err != nil {
		return nil, err
	}
	return a, p.state.Commit()
}

func readProposalFile(path string) (*tuf.ProposalFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, usage(err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, tuf.MaxProposalFile+1))
	if err != nil {
		return nil, err
	}
	f, err := tuf.ReadProposalFile(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func newProposeExport(c *command) *cobra.Command {
	var trust string
	cmd := &cobra.Command{
		Use:   "export PROPOSAL FILE",
		Short: "Write a proposal to a file, for a machine without network",
		Long: `Export writes a proposal to FILE, with all that a machine without network needs to
check what it is based on: there carnet approve --file FILE adds a signature. The
publisher must be pinned on that machine.`,
		Example: "  carnet propose export 3f1c9a77b2d4 change.proposal",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := c.openProposal(cmd.Context(), trust, "", args[:1])
			if err != nil {
				return err
			}
			raw, err := a.repo.ExportProposal(cmd.Context(), a.state, a.review.Proposal)
			if err != nil {
				return err
			}
			if err := registrystore.WriteFile(args[1], raw, 0o644); err != nil {
				return err
			}
			out := map[string]any{"proposal": a.review.Proposal.ID(), "file": args[1]}
			return c.answer(out, func(w io.Writer) {
				fmt.Fprintf(w, "wrote the proposal %s to %s\nOn the machine without network:\n  carnet approve --file %s\nand back here:\n  carnet propose import %s\n",
					a.review.Proposal.ShortID(), args[1], args[1], args[1])
			})
		},
	}
	trustFlag(cmd, &trust)
	return cmd
}

func newProposeImport(c *command) *cobra.Command {
	var trust string
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Put the proposal of a file, with its signatures, into the trust repository",
		Long: `Import puts the proposal of a file that came back into the trust repository, with
the signatures that were added. It must still be based on the newest state.`,
		Example: "  carnet propose import change.proposal",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.proposeImport(cmd.Context(), trust, args[0]) },
	}
	trustFlag(cmd, &trust)
	return cmd
}

func (c *command) proposeImport(ctx context.Context, trust, path string) error {
	f, err := readProposalFile(path)
	if err != nil {
		return err
	}
	p, err := c.openPublisher(trust)
	if err != nil {
		return err
	}
	state, err := p.load(ctx)
	if err != nil {
		return err
	}
	v, err := p.repo.ReviewFile(ctx, state, f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := p.repo.Submit(ctx, v); err != nil {
		return err
	}
	out := c.proposalView(v)
	return c.answer(out, out.text)
}

// forgotten is a file that this machine may sign another one of.
type forgotten struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
}

func newProposeForget(c *command) *cobra.Command {
	var trust string
	cmd := &cobra.Command{
		Use:   "forget PROPOSAL",
		Short: "Let this machine sign another file in place of a proposal's that was given up",
		Long: `This machine signs one file of a role's version, and remembers which. If everybody
gave that proposal up, forget it: then this machine signs another.

This is dangerous while somebody may still complete the old one: two files of one
version, each with enough signatures, can be shown to different readers by whoever holds
keys of snapshot and timestamp. Make sure first that it lacks signatures that nobody
will add.`,
		Example: "  carnet propose forget 3f1c9a77b2d4",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkProposalID(args[0]); err != nil {
				return err
			}
			p, err := c.openPublisher(trust)
			if err != nil {
				return err
			}
			gone, err := p.record.Forget(args[0])
			if err != nil {
				return err
			}
			if len(gone) == 0 {
				return usagef("this machine signed nothing in a proposal %s", args[0])
			}
			out := []forgotten{}
			for _, f := range gone {
				out = append(out, forgotten{f.Role, f.Version})
			}
			return c.answer(out, func(w io.Writer) {
				for _, f := range out {
					fmt.Fprintf(w, "this machine may sign another %s version %d\n", printable(f.Role), f.Version)
				}
			})
		},
	}
	trustFlag(cmd, &trust)
	return cmd
}
