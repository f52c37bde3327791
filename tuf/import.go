package tuf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// Importing says what [Import] copies and where to.
type Importing struct {
	// Root is the pinned root file of the publisher: any version, got out of band.
	Root []byte
	// Store keeps what was trusted before, of this publisher.
	Store Store
	// Source is where the publisher publishes: a plain TUF repository. It must be
	// safe for concurrent use.
	Source Source
	// To is the trust repository.
	To Destination
	// Now is the time of the import.
	Now time.Time
	// Report is told, in a sentence, what a person may want to know. It may be nil.
	Report func(string)
}

// Destination is a trust repository that is read like a source and written
// like a journal.
type Destination interface {
	Repairer
	Prefetcher
	Holder
	// StoreFile stores a file, whose bytes are at hand, unless it is there.
	StoreFile(ctx context.Context, f File) error
}

// Imported is what an import came to.
type Imported struct {
	Changed   bool // false: the trust repository holds this publication
	Root      int64
	Timestamp int64
	Identity  string
	Tag       string // of the state, where it changed
	Expires   time.Time
	Roles     int // files of targets and delegated roles
	// Restored is how many files of what was there were lost, and are stored
	// again.
	Restored int
}

// ErrOtherPublisher says that a trust repository holds what the pinned root
// does not vouch for.
var ErrOtherPublisher = errors.New("the trust repository holds another publisher")

// Import copies the newest publication of a plain TUF repository, byte for
// byte, into a trust repository (docs/spec.md, "Exchange with other TUF
// repositories"). It verifies like a client that pinned Root, expired files
// included, and never replaces what is there by something older. Where nothing
// changed it asks the source for the next root and the timestamp, and writes
// nothing. What the trust repository lost of its newest publication is stored
// again, if the source still has it: each file is asked for, without a body.
func Import(ctx context.Context, o Importing) (*Imported, error) {
	if l, ok := o.To.(Locker); ok {
		unlock, err := l.Lock(ctx)
		if err != nil {
			return nil, err
		}
		res, err := o.run(ctx)
		return res, errors.Join(err, unlock())
	}
	return o.run(ctx)
}

func (o Importing) run(ctx context.Context) (*Imported, error) {
	there, err := o.there(ctx)
	if err != nil {
		return nil, err
	}
	c, err := o.client(o.Source)
	if err != nil {
		return nil, err
	}
	if err := c.Refresh(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Source, err)
	}
	o.tellExpired(c)
	o.tellFork(c)
	lost, err := o.lost(ctx, there)
	if err != nil {
		return nil, err
	}
	changed := there == nil || there.newestRoot() != c.root.Version || there.Timestamp.Digest != fileOf(metadata.RoleTimestamp, c.timestamp).Digest
	if !changed && len(lost) == 0 {
		return o.result(c, there, false), nil
	}
	pub, err := c.Gather(ctx, Gathering{Held: there, Fetch: o.To.Fetch, Report: o.Report})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Source, err)
	}
	if !changed {
		return o.restore(ctx, c, pub, lost)
	}
	if err := o.accept(ctx, pub); err != nil {
		return nil, err
	}
	return o.commit(ctx, c, pub)
}

func (o Importing) client(s Source) (*Client, error) {
	return NewClient(Options{Root: o.Root, Store: o.Store, Sources: []Source{s}, Now: o.Now, AllowExpired: true})
}

// there returns the publication that the trust repository holds, or nil if
// there is none, or one that is older than what was seen. What it holds is
// seen too: nothing older is imported.
func (o Importing) there(ctx context.Context) (*Publication, error) {
	c, err := o.client(o.To)
	if err != nil {
		return nil, err
	}
	err = c.Refresh(ctx)
	switch {
	case err == nil:
		return o.To.Publication(), nil
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrRollback):
		_, err := o.lost(ctx, o.To.Publication()) // so that it is not taken for stored
		return nil, err
	case errors.Is(err, ErrThreshold), errors.Is(err, ErrInvalid):
		return nil, fmt.Errorf("%w than the one with this root: give each publisher a repository of its own: %s: %w", ErrOtherPublisher, o.To, err)
	}
	return nil, err
}

// tellExpired says which of the top-level files verifiers refuse.
func (o Importing) tellExpired(c *Client) {
	for _, f := range []*metadata.File{c.root, c.timestamp, c.snapshot, c.roles[metadata.RoleTargets]} {
		if f.ExpiredAt(o.Now) && o.Report != nil {
			o.Report(fmt.Sprintf("%s version %d expired at %s: verifiers refuse it until its publisher signs a new one",
				f.Type, f.Version, metadata.FormatTime(f.Expires)))
		}
	}
}

// lost returns the files of a publication that the trust repository does not
// have any more, by digest.
func (o Importing) lost(ctx context.Context, pub *Publication) (map[digest.Digest]bool, error) {
	if pub == nil {
		return nil, nil
	}
	gone, err := o.To.Repair(ctx, pub)
	lost := map[digest.Digest]bool{}
	for _, f := range gone {
		lost[f.Digest] = true
	}
	return lost, err
}

// restore stores what was lost of the publication that is there.
func (o Importing) restore(ctx context.Context, c *Client, pub *Publication, lost map[digest.Digest]bool) (*Imported, error) {
	res := o.result(c, pub, false)
	for _, f := range pub.Files() {
		if !lost[f.Digest] {
			continue
		}
		if err := o.To.StoreFile(ctx, f); err != nil {
			return nil, err
		}
		delete(lost, f.Digest)
		res.Restored++
	}
	if len(lost) > 0 && o.Report != nil {
		o.Report(fmt.Sprintf("%s lost %d files that %s does not have", o.To, len(lost), o.Source))
	}
	return res, nil
}

// tellFork says that there are two timestamps of one version: both are signed
// by their publisher, and the first that was seen is kept.
func (o Importing) tellFork(c *Client) {
	if c.forked && o.Report != nil {
		o.Report(fmt.Sprintf("%s serves another timestamp version %d than the one that was taken before, and both are signed: the first one is kept", o.Source, c.timestamp.Version))
	}
}

// accept is the last look before a commit: who knows nothing but the pinned
// root must be able to take the publication.
func (o Importing) accept(ctx context.Context, pub *Publication) error {
	c, err := NewClient(Options{
		Root: o.Root, Store: MemoryStore{}, Sources: []Source{&held{pub: pub, journal: o.To}}, Now: o.Now, AllowExpired: true,
	})
	if err == nil {
		err = c.Refresh(ctx)
	}
	if err != nil {
		return fmt.Errorf("what was read would be refused by verifiers, nothing was committed: %w", err)
	}
	return nil
}

func (o Importing) commit(ctx context.Context, c *Client, pub *Publication) (*Imported, error) {
	e, err := o.To.Commit(ctx, pub)
	if err != nil {
		return nil, err
	}
	// Another importer may have been faster, with something newer.
	repo := NewRepository(RepositoryOptions{Root: o.Root, Store: o.Store, Journal: o.To, Now: func() time.Time { return o.Now }, Report: o.Report})
	repo.advance(ctx, c.root, pub, e)
	res := o.result(c, pub, true)
	res.Tag = e.Tag
	return res, nil
}

func (o Importing) result(c *Client, pub *Publication, changed bool) *Imported {
	return &Imported{
		Changed: changed, Root: c.root.Version, Timestamp: c.timestamp.Version, Identity: pub.Identity(),
		Expires: c.timestamp.Expires, Roles: len(pub.Roles) + 1,
	}
}
