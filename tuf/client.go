package tuf

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
)

// Options are what a [Client] is made of.
type Options struct {
	// Root is the pinned root file: any version, got out of band.
	Root []byte
	// Store keeps what was trusted before. It belongs to one publisher.
	Store Store
	// Sources are asked together. With none, Refresh re-verifies what Store
	// holds and asks nobody.
	Sources []Source
	// Now is the fixed start time of the update (TUF 5.1).
	Now time.Time
	// Clock is what the clock shows where Now is another time, to see what
	// would be decided then: a timestamp may have been issued until Clock. The
	// zero Clock is Now.
	Clock time.Time
	// MaxStaleness extends the expiry of timestamp and snapshot, and of no
	// other file: for verifiers whose network is a courier.
	MaxStaleness time.Duration
	// AllowExpired takes expired files. It is for publishers, who must replace
	// them, and for looking at them; never for a decision about an artifact.
	AllowExpired bool
}

// Note is something that happened on the way and did not decide the update:
// a mirror that is behind, a registry that lies or does not answer, a file of
// the trusted state that is damaged.
type Note struct {
	Source string
	Err    error
}

func (n Note) String() string { return n.Source + ": " + n.Err.Error() }

// Client follows one publisher (TUF 5, "Detailed client workflow"). It turns
// untrusted bytes into trusted state and believes nothing else. A Client is
// for one goroutine and one update: make a new one to ask again later.
type Client struct {
	opts  Options
	notes []Note

	// What the store held, decoded; trusted once the newest root confirms it.
	known struct{ timestamp, snapshot *metadata.File }
	saved bool // the store's root is root

	root      *metadata.File
	timestamp *metadata.File
	snapshot  *metadata.File
	current   bool                      // timestamp and snapshot are those of this update
	forked    bool                      // a source offered another timestamp of the trusted version
	roles     map[string]*metadata.File // targets and delegated, as their bytes match snapshot
	edges     map[edge]*metadata.File   // delegations, and the file whose threshold was verified
	marks     []mark                    // of roles that gave themselves up, as the store keeps them
	sources   []Source                  // those that still take part
	from      Source                    // the source of the trusted timestamp, nil for the store
}

// edge is one delegation: who trusts which role.
type edge struct{ parent, role string }

// NewClient returns a client that trusts the pinned root (TUF 5.2). It fails
// if that file is malformed or not signed by its own keys.
func NewClient(opts Options) (*Client, error) {
	pinned, err := metadata.Decode(metadata.RoleRoot, opts.Root)
	if err != nil {
		return nil, fmt.Errorf("pinned root: %w", err)
	}
	if err := verifyOwn(pinned); err != nil {
		return nil, fmt.Errorf("pinned root: %w", err)
	}
	c := &Client{opts: opts, root: pinned, roles: map[string]*metadata.File{}, edges: map[edge]*metadata.File{}}
	c.sources = append(c.sources, opts.Sources...)
	return c, nil
}

// Refresh brings root, timestamp, snapshot and targets up to date (TUF 5.3 to
// 5.6.6). Paths are those that will be looked up next; sources that can fetch
// ahead are told. What was accepted is stored, also when a later step fails.
func (c *Client) Refresh(ctx context.Context, paths ...string) error {
	if err := c.loadStore(); err != nil {
		return err
	}
	if err := c.openSources(ctx, paths); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{c.updateHead, c.updateSnapshot, c.updateTargets} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// maxNext is how many publications of a source are passed by that this
// publisher's keys did not sign.
const maxNext = 4

// updateHead brings root and timestamp up to date. Whoever may push can mark a
// forged publication as the newest: where no source offers a good one, those
// with several are asked for their next. The first verdict stays if none is
// better.
func (c *Client) updateHead(ctx context.Context) error {
	open := c.sources
	update := func() error {
		c.sources = open
		if err := c.updateRoot(ctx); err != nil {
			return err
		}
		return c.updateTimestamp(ctx)
	}
	err := update()
	for n := 0; n < maxNext && forged(err) && nextOf(ctx, open); n++ {
		if update() == nil {
			return nil
		}
	}
	return err
}

func forged(err error) bool { return errors.Is(err, ErrThreshold) || errors.Is(err, ErrInvalid) }

// nextOf lets every source that can serve another publication, and reports
// whether one did.
func nextOf(ctx context.Context, sources []Source) bool {
	moved := false
	for _, s := range sources {
		if l, ok := s.(Lister); ok && l.Next(ctx) == nil {
			moved = true
		}
	}
	return moved
}

// Root returns the trusted root.
func (c *Client) Root() *metadata.File { return c.root }

// Timestamp returns the trusted timestamp, nil if there is none. After a
// Refresh that failed it may be the one of an earlier update.
func (c *Client) Timestamp() *metadata.File { return c.timestamp }

// Snapshot returns the trusted snapshot, nil if there is none. After a
// Refresh that failed it may be the one of an earlier update.
func (c *Client) Snapshot() *metadata.File { return c.snapshot }

// Source returns the name of the source that gave the timestamp, or "" if it
// was known before.
func (c *Client) Source() string {
	if c.from == nil {
		return ""
	}
	return c.from.String()
}

// Notes returns what happened on the way and decided nothing.
func (c *Client) Notes() []Note { return c.notes }

func (c *Client) note(source fmt.Stringer, err error) {
	c.notes = append(c.notes, Note{Source: source.String(), Err: err})
}

// openSources opens all sources together and lets them fetch ahead together.
// A source that fails takes no further part.
func (c *Client) openSources(ctx context.Context, paths []string) error {
	errs := make([]error, len(c.sources))
	c.together(func(i int, p Prefetcher) { errs[i] = p.Open(ctx) })
	open := c.sources[:0]
	for i, s := range c.sources {
		if errs[i] != nil {
			c.note(s, errs[i])
			continue
		}
		open = append(open, s)
	}
	c.sources = open
	if len(open) == 0 && len(c.opts.Sources) > 0 {
		return fmt.Errorf("%w: %w", ErrUnreachable, errors.Join(errs...))
	}
	want := Want{AfterRoot: c.root.Version, Now: c.opts.Now, Paths: paths, Has: c.has}
	if c.known.timestamp != nil {
		want.Timestamp = c.known.timestamp.Version
	}
	c.together(func(_ int, p Prefetcher) { p.Prefetch(ctx, want) })
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return nil
}

// together calls f for every source that can fetch ahead, all at once.
func (c *Client) together(f func(i int, p Prefetcher)) {
	var g errgroup.Group
	for i, s := range c.sources {
		if p, ok := s.(Prefetcher); ok {
			g.Go(func() error { f(i, p); return nil })
		}
	}
	_ = g.Wait()
}

// has tells a source which files need not be fetched.
func (c *Client) has(role, sha256 string) bool {
	raw, err := c.opts.Store.Get(role)
	return err == nil && metadata.SHA256(sha256).Verify(raw) == nil
}
