package promotion

import (
	"context"
	"errors"
	"fmt"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// trusted is one trust repository in the file.
type trusted struct {
	source string
	at     registrystore.Repository
	pin    verify.Pin
	state  *verify.State
	mirror *Mirror
	synced *Synced
	older  bool
}

// stowTrust finds the pinned publisher of a trust repository. The hash that the
// file gives is a claim, which decides only what is verified.
func (c *cargo) stowTrust(source string, to registrystore.Repository, hash string) error {
	for _, pin := range c.Pins {
		id, err := pin.ID()
		if err != nil {
			return err
		}
		if registrystore.PublisherHash(id) == hash {
			t := &trusted{source: source, at: to, pin: pin}
			c.trusts = append(c.trusts, t)
			return c.openTrust(t)
		}
	}
	return at(Source, fmt.Errorf("%w: that of %s in %s: have the digest of its root brought by a way of its own, and run: carnet trust add NAME %s --root-digest sha256:... --archive %s",
		ErrNotPinned, source, c.File, to, c.File))
}

func (c *cargo) openTrust(t *trusted) error {
	var err error
	if t.state, err = c.States.Load(t.pin.Root, c.To.Cache()); err != nil {
		return err
	}
	t.mirror = &Mirror{Root: t.pin.Root, Store: t.state, Now: c.Now, Report: c.Note}
	if t.mirror.From, err = c.view.Trust(t.at); err != nil {
		return at(Source, err)
	}
	t.mirror.To, err = c.To.Trust(t.at)
	return at(Destination, err)
}

// verifyTrust verifies every trust repository in the file as a client does,
// and by what this machine remembers. One that is older than that, or than
// what the destination has, is not looked at any more: the newer one is.
func (c *cargo) verifyTrust(ctx context.Context) error {
	for _, t := range c.trusts {
		if err := c.filesOf(ctx, t); err != nil {
			return err
		}
		var err error
		t.synced, err = t.mirror.Check(ctx)
		var back *tuf.RollbackError
		var side *SideError
		if t.older = errors.As(err, &back) && errors.As(err, &side) && side.Side == Source; t.older {
			c.note(fmt.Sprintf("%s: %s is not taken: this machine has seen a newer state of %s", c.File, t.source, t.pin.Name))
			err = nil
		}
		if err != nil {
			return err
		}
		c.out.Trust = append(c.out.Trust, LoadedTrust{Source: t.source, Destination: t.at, Publisher: t.pin.Name, Synced: t.synced, Older: t.older})
		if t.older || t.synced.Behind {
			if err := c.view.ShowAsIs(t.at, c.To); err != nil {
				return at(Destination, err)
			}
		}
	}
	return nil
}

// filesOf checks that the files of a state are in the file, or left out of it
// and at the destination.
func (c *cargo) filesOf(ctx context.Context, t *trusted) error {
	to := t.mirror.To
	if err := to.Open(ctx); err != nil && !errors.Is(err, registrystore.ErrNotFound) && !errors.Is(err, tuf.ErrUnreadable) {
		return at(Destination, err)
	}
	left := c.leftOut(c.lists[t.source])
	for d := range left {
		if to.Holds(d) {
			delete(left, d)
		}
	}
	files, err := c.To.Artifacts(t.at)
	if err != nil {
		return at(Destination, err)
	}
	return c.areThere(ctx, files, left)
}

// writeTrust publishes the trust repositories at the destination, and lets this
// machine remember them, so that it can verify with no network.
func (c *cargo) writeTrust(ctx context.Context) error {
	for i, t := range c.trusts {
		if t.older {
			continue
		}
		synced, err := t.mirror.Sync(ctx)
		if err != nil {
			return err
		}
		c.out.Trust[i].Synced = synced
		if err := c.remember(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// remember keeps the state and every file of it that a verifier may look for.
func (c *cargo) remember(ctx context.Context, t *trusted) error {
	from := t.mirror.From
	for _, f := range from.Publication().Files() {
		raw, err := from.Fetch(ctx, f)
		if err != nil {
			return at(Source, err)
		}
		c.To.Cache().Put(raw)
	}
	return t.state.Commit()
}
