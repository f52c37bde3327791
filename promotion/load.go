package promotion

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

var (
	// ErrIncomplete says that an archive leaves out what is not where it is
	// loaded: it was saved with --since, and what it builds on was not loaded.
	ErrIncomplete = errors.New("the file leaves out what is not at the destination")
	// ErrNotPinned says that an archive holds the trust repository of a
	// publisher that is not pinned here.
	ErrNotPinned = errors.New("the publisher is not pinned here")
	// ErrNotEmpty says that trust would be put into a repository of artifacts.
	ErrNotEmpty = errors.New("trust needs a repository of its own")
)

// Loader takes in what archives hold. It is for one goroutine.
type Loader struct {
	File *registrystore.Archive
	// To opens the destination, and Place says where in it things go.
	To    *registrystore.Registries
	Place registrystore.Place
	// Pins are the publishers that this machine knows, States what it remembers
	// of them.
	Pins   []verify.Pin
	States *verify.States
	// Policy decides about artifacts, under the names that they will have;
	// MaxAge and Floors are as in [verify.Options].
	Policy *verify.Policy
	MaxAge time.Duration
	Floors map[string]verify.Floor
	// Now is the clock.
	Now func() time.Time
	// Move lets tags move that are at another artifact. DryRun writes nothing.
	Move, DryRun bool
	// Read, if not nil, is told how many bytes of the file were read; Step, of
	// each blob and manifest that is done, by several goroutines; Note, of what
	// decided nothing.
	Read func(bytes int64)
	Step func()
	Note func(text string)
}

// Loaded says what became of an archive.
type Loaded struct {
	Artifacts []LoadedArtifact
	Trust     []LoadedTrust
	Referrers int  // that are new in the file, without those left out
	Sent      int  // blobs and manifests of artifacts that were not there
	Done      bool // all was written
}

// LoadedArtifact is one artifact of an archive, or one at the destination to
// which the archive brings referrers.
type LoadedArtifact struct {
	Source      string // repository and tag, or digest
	Destination registrystore.Reference
	Digest      digest.Digest
	Decision    verify.Decision
	// Withdrawn says who withdrew a manifest below an index, and why; "" for
	// nobody.
	Withdrawn string
}

// Allowed reports whether the artifact may be loaded.
func (a LoadedArtifact) Allowed() bool { return a.Decision.Allowed() && a.Withdrawn == "" }

// LoadedTrust is one trust repository of an archive.
type LoadedTrust struct {
	Source      string
	Destination registrystore.Repository
	Publisher   string
	// Synced is what the destination has, or will have.
	Synced *Synced
	// Older reports that this machine has seen a newer state than that of the
	// file, which is not taken then.
	Older bool
}

// cargo is one call of Load.
type cargo struct {
	*Loader
	lists  map[string]*registrystore.Lists
	holds  []*hold
	trusts []*trusted
	there  []trustThere
	view   *registrystore.Registries
	out    *Loaded
}

// hold is one repository of artifacts in the file.
type hold struct {
	source   string
	at       registrystore.Repository
	lists    *registrystore.Lists
	entries  []registrystore.Archived
	from, to *registrystore.Artifacts
	// roots are what is decided about; referrers, what comes with them.
	roots     []*rooted
	covered   map[digest.Digest]*rooted
	tops      map[digest.Digest]digest.Digest           // of referrers
	there     map[digest.Digest]*registrystore.Artifact // at the destination; digest and subject
	gone      map[digest.Digest]string                  // what is nowhere: who withdrew it
	referrers []*registrystore.Artifact
}

// Load verifies the whole file, each trust repository in it, and each artifact
// as it will be verified where it goes, by what the file and this machine know.
// Only if all that is allowed anything is written: artifacts with what refers to
// them, then trust, then tags. It fails with ErrNotTrusted or ErrUndecided
// without having written anything. What a failure interrupts is finished by the
// same call again.
func (l *Loader) Load(ctx context.Context) (*Loaded, error) {
	c := &cargo{Loader: l, view: registrystore.View(l.To.Cache()), out: &Loaded{}}
	for _, step := range []func(context.Context) error{c.read, c.sort, c.verifyTrust, c.complete, c.decide, c.free} {
		if err := step(ctx); err != nil {
			return c.out, err
		}
	}
	if l.DryRun {
		return c.out, nil
	}
	for _, step := range []func(context.Context) error{c.copy, c.writeTrust, c.tag} {
		if err := step(ctx); err != nil {
			return c.out, err
		}
	}
	c.out.Done = true
	return c.out, nil
}

// read checks the file as a whole.
func (c *cargo) read(ctx context.Context) error {
	if err := c.File.Check(ctx, c.Read); err != nil {
		return at(Source, err)
	}
	var err error
	c.lists, err = c.File.Lists(ctx)
	return at(Source, err)
}

// sort tells trust repositories from those of artifacts, and opens where they
// go.
func (c *cargo) sort(context.Context) error {
	byRepository := map[string][]registrystore.Archived{}
	for _, e := range c.File.Entries() {
		byRepository[e.Repository] = append(byRepository[e.Repository], e)
	}
	taken := map[string]string{}
	for _, source := range slices.Sorted(maps.Keys(byRepository)) {
		to, err := c.Place.Repository(source)
		if err != nil {
			return at(Source, err)
		}
		if was := taken[to.Absolute()]; was != "" {
			return at(Source, fmt.Errorf("%w: %s and %s: both go to %s", ErrSameName, was, source, to))
		}
		taken[to.Absolute()] = source
		if err := c.view.Show(to, c.File, source, c.To); err != nil {
			return at(Destination, err)
		}
		if err := c.stow(source, to, byRepository[source]); err != nil {
			return err
		}
	}
	return nil
}

func (c *cargo) stow(source string, to registrystore.Repository, entries []registrystore.Archived) error {
	publisher := entries[0].Publisher
	for _, e := range entries {
		if e.Publisher != publisher {
			return at(Source, fmt.Errorf("%w: %s: %s is said to be of several publishers", registrystore.ErrCorrupt, c.File, source))
		}
	}
	if publisher != "" {
		return c.stowTrust(source, to, publisher)
	}
	if i := slices.IndexFunc(entries, func(e registrystore.Archived) bool { return registrystore.IsOwnTag(e.Tag) }); i >= 0 {
		return at(Source, fmt.Errorf("%w: %s: %s:%s stands for no artifact", registrystore.ErrCorrupt, c.File, source, entries[i].Tag))
	}
	h := &hold{
		source: source, at: to, lists: c.lists[source], entries: entries, covered: map[digest.Digest]*rooted{}, tops: map[digest.Digest]digest.Digest{},
		there: map[digest.Digest]*registrystore.Artifact{}, gone: map[digest.Digest]string{},
	}
	var err error
	if h.from, err = c.view.Artifacts(to); err != nil {
		return at(Source, err)
	}
	if h.to, err = c.To.Artifacts(to); err != nil {
		return at(Destination, err)
	}
	c.holds = append(c.holds, h)
	return nil
}

func (c *cargo) note(text string) {
	if c.Note != nil {
		c.Note(text)
	}
}
