package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// publisher is a pinned publisher whose metadata this machine writes.
type publisher struct {
	c     *command
	pin   verify.Pin
	trust *registrystore.Trust // where it writes
	at    string               // the same, from any folder
	state *verify.State
	opts  tuf.RepositoryOptions
	repo  *tuf.Repository
	// record is what this machine signed that others rely on.
	record *tuf.FolderRecord
}

// trustFlag adds --trust.
func trustFlag(cmd *cobra.Command, trust *string) {
	cmd.Flags().StringVar(trust, "trust", "", "trust `repository` of the publisher (default $CARNET_TRUST, else that of the only pinned publisher)")
}

// openPublisher opens the pinned publisher that keeps its metadata in the
// trust repository of --trust or CARNET_TRUST. It asks nothing yet.
func (c *command) openPublisher(trust string) (*publisher, error) {
	repo, err := c.trustRepository(trust)
	if err != nil {
		return nil, err
	}
	p := &publisher{c: c, at: repo.Absolute()}
	if p.pin, err = c.pinOf(repo); err != nil {
		return nil, err
	}
	regs, err := c.registryAt(repo.Host)
	if err != nil {
		return nil, err
	}
	states, err := c.states()
	if err != nil {
		return nil, err
	}
	if p.state, err = states.Load(p.pin.Root, regs.Cache()); err != nil {
		return nil, err
	}
	opts, err := c.writer(regs, repo, p.pin.Repositories)
	if err != nil {
		return nil, err
	}
	p.trust = opts.Sources[0].(*registrystore.Trust)
	if p.record, err = c.signed(p.pin); err != nil {
		return nil, err
	}
	opts.Root, opts.Store, opts.Ballot, opts.Record = p.pin.Root, p.state, p.trust, p.record
	p.opts, p.repo = opts, tuf.NewRepository(opts)
	return p, nil
}

// signed returns the record of what this machine signed for a publisher. It
// lies in the configuration folder: who deletes it takes the protection away.
func (c *command) signed(pin verify.Pin) (*tuf.FolderRecord, error) {
	id, err := pin.ID()
	if err != nil {
		return nil, err
	}
	dir, err := c.config("signed", strings.TrimPrefix(id, "sha256:"))
	return tuf.OpenFolderRecord(dir), err
}

// trustRepository reads --trust, else CARNET_TRUST, else takes the first
// repository of the only publisher that is pinned.
func (c *command) trustRepository(trust string) (registrystore.Repository, error) {
	if trust == "" {
		trust = os.Getenv("CARNET_TRUST")
	}
	if trust == "" {
		pins, err := c.pins()
		if err != nil {
			return registrystore.Repository{}, err
		}
		list, err := pins.List()
		if err != nil {
			return registrystore.Repository{}, err
		}
		if len(list) != 1 {
			return registrystore.Repository{}, usagef("which trust repository? %d publishers are pinned here: give --trust, or set CARNET_TRUST", len(list))
		}
		trust = list[0].Repositories[0]
	}
	return registrystore.ParseRepository(trust, "")
}

// pinOf returns the pinned publisher that has its metadata in repo.
func (c *command) pinOf(repo registrystore.Repository) (verify.Pin, error) {
	pins, err := c.pins()
	if err != nil {
		return verify.Pin{}, err
	}
	list, err := pins.List()
	if err != nil {
		return verify.Pin{}, err
	}
	var found []verify.Pin
	for _, p := range list {
		if hasRepository(p, repo) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return verify.Pin{}, usagef("no pinned publisher has its metadata in %s: pin it with trust add, or make it with init", repo)
	}
	return verify.Pin{}, usagef("%s and %s are both pinned with %s: a trust repository holds one publisher", found[0].Name, found[1].Name, repo)
}

// sameRepository compares what is pinned with what was asked for.
func sameRepository(pinned string, repo registrystore.Repository) bool {
	p, err := registrystore.ParseRepository(pinned, "")
	if err != nil || p.IsLayout() != repo.IsLayout() {
		return false
	}
	if p.IsLayout() {
		return sameFolder(p.Dir, repo.Dir)
	}
	return p == repo
}

// writer returns what a publisher's repository is made of, but its root and
// its store: it writes to repo and reads that and the others.
func (c *command) writer(regs *registrystore.Registries, repo registrystore.Repository, others []string) (tuf.RepositoryOptions, error) {
	keys, err := c.keys()
	if err != nil {
		return tuf.RepositoryOptions{}, err
	}
	trust, err := regs.Trust(repo)
	if err != nil {
		return tuf.RepositoryOptions{}, err
	}
	opts := tuf.RepositoryOptions{
		Journal: trust.Journal(), Sources: []tuf.Source{trust}, Keys: keys,
		Now: c.now, Rand: rand.Reader, Wait: wait, Report: func(s string) { c.say("%s", s) },
	}
	for _, other := range others {
		if sameRepository(other, repo) {
			continue
		}
		mirror, err := regs.OpenTrust(other)
		if err != nil {
			return opts, err
		}
		opts.Sources = append(opts.Sources, mirror)
	}
	return opts, nil
}

// publish publishes a change and keeps what was learned on the way, also when
// it fails. That it could not be kept takes no publication back.
func (p *publisher) publish(ctx context.Context, paths []string, change func(context.Context, *tuf.Draft) error) (*tuf.Result, error) {
	if err := p.c.bringKeys(ctx); err != nil {
		return nil, err
	}
	res, err := p.repo.Publish(ctx, paths, p.c.telling(change))
	if kept := p.state.Commit(); kept != nil {
		if err == nil {
			return res, fmt.Errorf("published as state %d, but this machine could not remember it: %w", res.Timestamp, kept)
		}
		err = errors.Join(err, kept)
	}
	if err == nil && res.Proposal != nil {
		p.sayProposed(res.Proposal)
	}
	return res, p.c.named(err)
}

// sayProposed says what has to happen until a change takes effect.
func (p *publisher) sayProposed(v *tuf.Review) {
	id := v.Proposal.ShortID()
	if v.Complete() {
		p.c.say("the proposal %s has all its signatures; who holds keys of snapshot and timestamp publishes it: carnet refresh", id)
		return
	}
	p.c.say("nothing is published yet: the change needs more signatures than the keys here give, and became the proposal %s; others sign it: carnet approve %s", id, id)
	for _, f := range p.c.proposalView(v).Files {
		for _, q := range f.Quorums {
			if q.Have < q.Need {
				p.c.say("  %s version %d has %d of %d signatures%s", printable(f.Role), f.Version, q.Have, q.Need, q.missing())
			}
		}
	}
}

// wait pauses for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
