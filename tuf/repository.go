package tuf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// RepositoryOptions are what a [Repository] is made of.
type RepositoryOptions struct {
	// Root is the pinned root file of the publisher.
	Root []byte
	// Store is the writer's own durable rollback state.
	Store Store
	// Journal is where publications are kept.
	Journal Journal
	// Sources are read like a verifier reads them; the journal's own
	// repository is the first.
	Sources []Source
	// Keys finds private keys.
	Keys Keyring
	// Ballot is where a change goes that needs more signatures than Keys gives.
	// Without one such a change fails with ErrNoKey.
	Ballot Ballot
	// Record remembers what this signer signed that others rely on. Nil
	// remembers nothing.
	Record Record
	// Now is the clock.
	Now func() time.Time
	// Rand gives randomness for identifiers and for waiting.
	Rand io.Reader
	// Wait pauses between rounds of a join; it returns early with ctx's error.
	Wait func(ctx context.Context, d time.Duration) error
	// Report is told, in a sentence, what a person may want to know of a long
	// or contended publication. It may be nil.
	Report func(string)
}

// Repository is a publisher's TUF repository as its writers see it: it is
// read and verified, changed in a [Draft], signed, joined with what others
// published meanwhile, and committed (docs/spec.md, "Publication").
//
//	repo := tuf.NewRepository(opts)
//	result, err := repo.Publish(ctx, []string{"net-monitor:1.0"}, func(ctx context.Context, d *tuf.Draft) error {
//		return d.SetTarget(ctx, "releases", "net-monitor:1.0", target)
//	})
//
// A Repository is for one goroutine.
type Repository struct {
	opts RepositoryOptions
}

// NewRepository returns a repository that has asked nothing yet.
func NewRepository(opts RepositoryOptions) *Repository { return &Repository{opts: opts} }

// Holder is a [Source] that can tell which publication it serves. Publication
// returns nil before Open.
type Holder interface {
	Publication() *Publication
}

// State is what a publisher's repository says now, verified; expired files
// are taken too, since a publisher must be able to replace them.
type State struct {
	client *Client
	rev    *revision
	now    time.Time
	spoilt *spoilt // what verifiers are shown instead, or nil
}

// Root returns the newest root.
func (s *State) Root() *metadata.File { return s.client.Root() }

// Timestamp returns the newest timestamp.
func (s *State) Timestamp() *metadata.File { return s.client.Timestamp() }

// Snapshot returns the newest snapshot.
func (s *State) Snapshot() *metadata.File { return s.client.Snapshot() }

// Client returns the client that verified the state: it looks up and opens.
func (s *State) Client() *Client { return s.client }

// Publication returns the files of the state. They must not be changed.
func (s *State) Publication() *Publication { return s.rev.pub }

// Notes returns what happened on the way and decided nothing.
func (s *State) Notes() []Note { return s.client.Notes() }

// Load reads the repository like a verifier (docs/spec.md, "Publication", step
// 1). Paths are those that will be looked up.
func (r *Repository) Load(ctx context.Context, paths ...string) (*State, error) {
	now := r.opts.Now()
	c, err := NewClient(Options{Root: r.opts.Root, Store: r.opts.Store, Sources: r.opts.Sources, Now: now, AllowExpired: true})
	if err != nil {
		return nil, err
	}
	if err := c.Refresh(ctx, paths...); err != nil {
		return r.loadBehind(ctx, c, err)
	}
	if err := checkLeap(c.Snapshot()); err != nil {
		if s, err := r.loadBehind(ctx, c, err); err == nil {
			return s, nil
		}
	}
	pub, err := r.publicationOf(ctx, c)
	if err != nil {
		return nil, err
	}
	rev := newRevision(pub, c.Snapshot(), c.Root(), true)
	rev.client = c
	return &State{client: c, now: now, rev: rev}, nil
}

// publicationOf finds the publication that holds the trusted snapshot. Where
// only a mirror has it, all its files are fetched, to be stored in the
// journal with the next publication.
func (r *Repository) publicationOf(ctx context.Context, c *Client) (*Publication, error) {
	want := Identity(c.Snapshot())
	for i, s := range r.opts.Sources {
		h, ok := s.(Holder)
		if !ok || h.Publication() == nil || h.Publication().Identity() != want {
			continue
		}
		pub := h.Publication().clone()
		if i == 0 {
			return pub, nil
		}
		return pub, fetchAll(ctx, s, pub)
	}
	return r.listedPublication(ctx, c)
}

// listedPublication finds the publication of the trusted snapshot in the list
// of states. Of two states of one version latest names the other.
func (r *Repository) listedPublication(ctx context.Context, c *Client) (*Publication, error) {
	want, version := Identity(c.Snapshot()), c.Timestamp().Version
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Draft || e.Version != version || e.Digest != want[:12] {
			continue
		}
		if pub, err := r.opts.Journal.Read(ctx, e); err == nil && pub.Identity() == want {
			return pub, nil
		}
	}
	return nil, fmt.Errorf("%w: no repository holds the publication that is trusted, timestamp version %d", ErrUnreachable, c.Timestamp().Version)
}

func fetchAll(ctx context.Context, s Source, pub *Publication) error {
	each := func(f *File) error {
		if f.Data != nil || f.Digest == "" {
			return nil
		}
		raw, err := fetchFile(ctx, s, *f)
		f.Data = raw
		return err
	}
	for i := range pub.Roots {
		if err := each(&pub.Roots[i]); err != nil {
			return err
		}
	}
	for i := range pub.Roles {
		if err := each(&pub.Roles[i]); err != nil {
			return err
		}
	}
	return errors.Join(each(&pub.Snapshot), each(&pub.Targets), each(&pub.RootPack))
}

func fetchFile(ctx context.Context, s Source, f File) ([]byte, error) {
	if f.Role == metadata.RoleRoot {
		return s.Root(ctx, f.Version)
	}
	return s.File(ctx, f.Role, metadata.MetaFile{Version: f.Version, Length: f.Length, Hashes: metadata.SHA256(f.Digest.Encoded())})
}

// Identity returns what names the publication of a snapshot: the SHA-256 of
// the file in lower-case hexadecimal.
func Identity(snapshot *metadata.File) string {
	sum := sha256.Sum256(snapshot.Raw)
	return hex.EncodeToString(sum[:])
}

func (r *Repository) report(format string, args ...any) {
	if r.opts.Report != nil {
		r.opts.Report(fmt.Sprintf(format, args...))
	}
}

// clone copies the lists, and shares the bytes.
func (p *Publication) clone() *Publication {
	out := *p
	out.Roots = append([]File(nil), p.Roots...)
	out.Roles = append([]File(nil), p.Roles...)
	return &out
}

// fileOf describes a decoded file.
func fileOf(role string, f *metadata.File) File {
	return File{Role: role, Version: f.Version, Length: int64(len(f.Raw)), Digest: digest.FromBytes(f.Raw), Data: f.Raw}
}
