package promotion

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/carnet-project/carnet/metadata"
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

// trustThere is a trust repository that the destination has already.
type trustThere struct {
	publisher string
	at        registrystore.Repository
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
		} else if t.synced.Changed {
			if err := c.holdsNoArtifacts(ctx, t); err != nil {
				return err
			}
		}
	}
	return c.showTrustThere(ctx)
}

// holdsNoArtifacts fails if trust would be written among artifacts: what the
// file calls a repository is anybody's word, and its tag latest would be trust.
func (c *cargo) holdsNoArtifacts(ctx context.Context, t *trusted) error {
	files, err := c.To.Artifacts(t.at)
	if err != nil {
		return at(Destination, err)
	}
	tags, err := files.Tags(ctx)
	if err != nil && !errors.Is(err, registrystore.ErrNotFound) {
		return at(Destination, err)
	}
	i := slices.IndexFunc(tags, func(tag string) bool { return tag != metadata.TagLatest && !registrystore.IsOwnTag(tag) })
	if i < 0 {
		return nil
	}
	return at(Destination, fmt.Errorf("%w: %s has artifacts, such as the tag %s: the trust in %s that is called %s is not put among them",
		ErrNotEmpty, t.at, tags[i], c.File, t.source))
}

// showTrustThere lets the verifier see also what the destination has of the
// publishers whom the policy knows: in their own repositories there, and where
// these are loaded to. It may know of a withdrawal that the file does not
// bring.
func (c *cargo) showTrustThere(ctx context.Context) error {
	for _, pin := range c.Policy.Publishers {
		for _, name := range pin.Repositories {
			own, err := registrystore.ParseRepository(name, "")
			if err != nil {
				continue // it is for verifiers of this machine to say so
			}
			if err := c.showThere(ctx, pin, own); err != nil {
				return err
			}
			if to, err := c.Place.Repository(own.ArchivedName()); err == nil {
				if err := c.showThere(ctx, pin, to); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// showThere shows a repository that is where the file goes, if it has trust.
func (c *cargo) showThere(ctx context.Context, pin verify.Pin, repo registrystore.Repository) error {
	if !c.Place.Contains(repo) || c.view.Shows(repo) {
		return nil
	}
	trust, err := c.To.Trust(repo)
	if err == nil {
		err = trust.Open(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !errors.Is(err, registrystore.ErrNotFound) && !errors.Is(err, tuf.ErrUnreadable) {
			c.note(fmt.Sprintf("%s, which may have trust of %s, is not asked: %v", repo, pin.Name, err))
		}
		return nil
	}
	c.there = append(c.there, trustThere{pin.Name, repo})
	return at(Destination, c.view.ShowAsIs(repo, c.To))
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
