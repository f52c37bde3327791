package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

func newAudit(c *command) *cobra.Command {
	return group("audit", "Find out from the history what a key did",
		"Audit reads the states that the trust repository keeps, the oldest first, and says\nwhat was done by whom.", groupPublisher, newAuditKey(c))
}

type auditFlags struct {
	trust, since, reason, advisory, by string
	withdraw, dryRun, wait             bool
}

func newAuditKey(c *command) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "key KEY",
		Short: "List everything a key ever vouched for, and withdraw it",
		Long: `List everything that a key vouched for, in the order of the states in which it first
appeared. Those are signed by others, the keys of snapshot and timestamp; dates inside
the key's own files are worth nothing once it is stolen. What another key signed again
later, after a rotation say, stays the work of the key in whose file it appeared first.
Withdrawals, delegations and roots that the key signed are listed too.

The history begins with the oldest state that is kept: what that lists already is shown
as "at or before". If the key of snapshot and timestamp was stolen as well, name the
last good state by version and identity, as carnet log shows it: a thief of both can
write states that claim an old version.

--since VERSION takes only what came after that state, the last good one; 0 is all.
--withdraw withdraws that, all in one publication with one reason; an artifact that
other keys vouched for before, or that the key vouched for by the last good state, is
left alone, and said. --dry-run lists and does nothing.

` + keyForms + "\nor as the key's ID, or the beginning of it.",
		Example: "  carnet audit key stolen\n  carnet audit key 3f1c9a77 --since 41 --withdraw --reason 'signing key stolen' --dry-run",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.auditKey(cmd.Context(), args[0], f) },
	}
	trustFlag(cmd, &f.trust)
	signWithFlag(cmd, c)
	cmd.Flags().StringVar(&f.since, "since", "", "only what came after this `state`, VERSION or VERSION.IDENTITY, the last good one; 0 is all")
	cmd.Flags().BoolVar(&f.withdraw, "withdraw", false, "withdraw what the key alone vouched for since then")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, in `words`, for people")
	cmd.Flags().StringVar(&f.advisory, "advisory", "", "`id` of an advisory, such as CVE-2026-1234")
	cmd.Flags().StringVar(&f.by, "by", "", "`name` of who withdraws (default: the user's login name)")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "list what would be withdrawn and do nothing")
	waitFlag(cmd, &f.wait)
	return cmd
}

func (f auditFlags) check() error {
	switch {
	case f.withdraw && f.since == "":
		return usagef("--withdraw needs --since VERSION, the last good state (0: all that the key ever vouched for)")
	case f.withdraw && f.reason == "":
		return usagef("--withdraw needs --reason TEXT: people will ask")
	case !f.withdraw && f.reason+f.advisory+f.by != "" || !f.withdraw && (f.dryRun || f.wait):
		return usagef("--reason, --advisory, --by, --dry-run and --wait are of --withdraw")
	}
	return nil
}

func (c *command) auditKey(ctx context.Context, key string, f auditFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	p, err := c.openPublisher(f.trust)
	if err != nil {
		return err
	}
	out := auditAnswer{Key: key}
	if !f.withdraw {
		a, err := p.audit(ctx, key)
		if err != nil {
			return err
		}
		if err := out.fill(a, f.since); err != nil {
			return err
		}
		return c.answerAudit(out)
	}
	res, err := p.publish(ctx, nil, func(ctx context.Context, d *tuf.Draft) error {
		a, err := p.audit(ctx, key)
		if err != nil {
			return err
		}
		if err := out.fill(a, f.since); err != nil {
			return err
		}
		return out.withdraw(ctx, d, f)
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
	return c.answerAudit(out)
}

// answerAudit prints the answer, and says if it may not be all.
func (c *command) answerAudit(out auditAnswer) error {
	if err := c.answer(out, out.text); err != nil {
		return err
	}
	for _, u := range out.History.Unread {
		if !u.Garbage {
			return &exitError{exitFailed, fmt.Errorf("%w: %s: %s", errIncomplete, u.Tag, u.Error)}
		}
	}
	return nil
}

// errIncomplete says that an audit could not read all of the history.
var errIncomplete = errors.New("what is listed may not be all: part of the history could not be read; repeat the command")

// audit reads the history and finds out what a key did.
func (p *publisher) audit(ctx context.Context, key string) (*revocation.Audit, error) {
	reading := p.c.countdown("reading states")
	past, err := p.repo.Past(ctx, reading.at)
	reading.done()
	if err != nil {
		return nil, errors.Join(err, p.state.Commit())
	}
	identity, err := p.c.identityInPast(ctx, key, past)
	if err != nil {
		return nil, err
	}
	looking := p.c.countdown("looking at states")
	defer looking.done()
	return revocation.MakeAudit(ctx, past, identity, looking.at)
}

// identityInPast finds a key that a role has, or had once.
func (c *command) identityInPast(ctx context.Context, name string, past *tuf.Past) (string, error) {
	present := metadata.Keys{}
	for _, f := range past.Roots {
		for id, k := range f.Root.Keys {
			present[id] = k
		}
	}
	identity, err := c.identityIn(ctx, name, present)
	if err == nil {
		return identity, nil
	}
	all, kerr := revocation.Keys(ctx, past)
	if kerr != nil {
		return "", errors.Join(err, kerr)
	}
	if k, ok := all.ByID(name); ok {
		return tuf.KeyIdentity(k)
	}
	return "", err
}

// withdraw withdraws what was found, or would.
func (a *auditAnswer) withdraw(ctx context.Context, d *tuf.Draft, f auditFlags) error {
	by := revokeArtifactFlags{by: f.by}.author()
	var all []revocation.Withdrawal
	for _, bad := range a.Withdraw.Digests {
		all = append(all, revocation.Withdrawal{Digest: bad, Reason: f.reason, Advisory: f.advisory, By: by})
	}
	out, err := revocation.WithdrawAll(ctx, d, all)
	if err != nil {
		return err
	}
	a.Withdraw.Paths = append([]string{}, out.Paths...)
	a.Withdraw.Reason = f.reason
	if f.dryRun {
		return errDryRun
	}
	return nil
}
