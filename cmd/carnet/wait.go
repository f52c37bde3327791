package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
)

func waitFlag(cmd *cobra.Command, wait *bool) {
	cmd.Flags().BoolVar(wait, "wait", false, "wait until the publication is settled: a refresher's timestamp descends from it")
}

// settleInterval is how often the repository is asked whether a publication
// is settled.
const settleInterval = 2 * time.Second

// settled waits until the timestamp of a key that root lists as a refresher
// seals the publication or a successor of it. The publication is committed
// whether or not the wait ends well.
func (p *publisher) settled(ctx context.Context, res *tuf.Result) error {
	if res.Proposal != nil {
		p.c.say("not waiting: a proposal settles when it was published")
		return nil
	}
	for {
		ok, err := p.isSettled(ctx, res.Identity)
		if ok {
			return nil
		}
		if err != nil {
			p.c.say("published; whether it is settled could not be asked: %v", err)
		}
		if err := wait(ctx, settleInterval); err != nil {
			return &exitError{exitFailed, errNotSettled}
		}
	}
}

func (p *publisher) isSettled(ctx context.Context, identity string) (bool, error) {
	state, err := p.load(ctx)
	if err != nil {
		return false, err
	}
	settled, err := p.repo.Settled(ctx, state)
	return settled.Contains(identity), err
}
