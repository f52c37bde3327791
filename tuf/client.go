package tuf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	// MaxStaleness extends the expiry of timestamp and snapshot, and of no
	// other file: for verifiers whose network is a courier.
	MaxStaleness time.Duration
	// AllowExpired takes expired files. It is for publishers, who must replace
	// them, and for looking at them; never for a decision about an artifact.
	AllowExpired bool
	// Floor refuses metadata older than what the caller knows from elsewhere.
	Floor Floor
}

// Floor is a lower bound for a client that has no state of its own. The zero
// Floor bounds nothing. The timestamp part is void once the newest root no
// longer lists every timestamp key of root version Root: versions may start
// again after keys were taken away.
type Floor struct {
	Root      int64
	Timestamp int64
}

// Note is something that happened to a source and did not decide the update:
// a mirror that is behind, a registry that lies or does not answer.
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

	root      *metadata.File
	timestamp *metadata.File
	snapshot  *metadata.File
	roles     map[string]*metadata.File // targets and delegated, as their bytes match snapshot
	edges     map[string]bool           // parent and role whose threshold was verified
	sources   []Source                  // those that still take part
	from      string                    // the source of the trusted timestamp, "" for the store
	floorRoot *metadata.Root            // root version Floor.Root, if it was passed
}

// NewClient returns a client that trusts the pinned root (TUF 5.2). It fails
// if that file is malformed or not signed by its own keys.
func NewClient(opts Options) (*Client, error) {
	pinned, err := metadata.Decode(metadata.RoleRoot, opts.Root)
	if err != nil {
		return nil, fmt.Errorf("pinned root: %w", err)
	}
	if err := VerifyThreshold(metadata.RoleRoot, pinned, pinned.Root.Keys, pinned.Root.Roles[metadata.RoleRoot]); err != nil {
		return nil, fmt.Errorf("pinned root: %w", err)
	}
	c := &Client{opts: opts, root: pinned, roles: map[string]*metadata.File{}, edges: map[string]bool{}}
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
	for _, step := range []func(context.Context) error{c.updateRoot, c.updateTimestamp, c.updateSnapshot, c.updateTargets} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Root returns the trusted root.
func (c *Client) Root() *metadata.File { return c.root }

// Timestamp returns the trusted timestamp, nil before a successful Refresh.
func (c *Client) Timestamp() *metadata.File { return c.timestamp }

// Snapshot returns the trusted snapshot, nil before a successful Refresh.
func (c *Client) Snapshot() *metadata.File { return c.snapshot }

// Source returns the name of the source that gave the timestamp, or "" if it
// was known before.
func (c *Client) Source() string { return c.from }

// Notes returns what happened on the way and decided nothing.
func (c *Client) Notes() []Note { return c.notes }

func (c *Client) note(source fmt.Stringer, err error) {
	c.notes = append(c.notes, Note{Source: source.String(), Err: err})
}

// loadStore takes up the state of the last update. A stored file that does
// not decode is dropped: it is as if it had never been seen.
func (c *Client) loadStore() error {
	stored, err := c.stored(metadata.RoleRoot)
	if err != nil {
		return err
	}
	// A root pinned later than the stored one was pinned to recover.
	if stored != nil && stored.Version > c.root.Version {
		c.root = stored
	}
	c.rememberFloorRoot()
	if c.timestamp, err = c.stored(metadata.RoleTimestamp); err != nil {
		return err
	}
	c.snapshot, err = c.stored(metadata.RoleSnapshot)
	return err
}

// stored decodes a file of the store, or returns nil if there is none.
func (c *Client) stored(role string) (*metadata.File, error) {
	raw, err := c.opts.Store.Get(role)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("trusted state: %w", err)
	}
	f, err := metadata.Decode(role, raw)
	if err != nil {
		c.notes = append(c.notes, Note{Source: "trusted state", Err: err})
		return nil, nil
	}
	return f, nil
}

// tooOld reports whether f is expired at t and the caller cares.
func (c *Client) tooOld(f *metadata.File, t time.Time) bool {
	return !c.opts.AllowExpired && f.ExpiredAt(t)
}

func (c *Client) put(role string, f *metadata.File) error {
	if err := c.opts.Store.Put(role, f.Raw); err != nil {
		return fmt.Errorf("trusted state: %s: %w", role, err)
	}
	return nil
}

func (c *Client) forget(role string) error {
	if err := c.opts.Store.Delete(role); err != nil {
		return fmt.Errorf("trusted state: %s: %w", role, err)
	}
	return nil
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
	want := Want{AfterRoot: c.root.Version, Paths: paths, Has: c.has}
	if c.timestamp != nil {
		want.Timestamp = c.timestamp.Version
	}
	c.together(func(_ int, p Prefetcher) { p.Prefetch(ctx, want) })
	return ctx.Err()
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
