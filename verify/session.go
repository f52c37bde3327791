package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// session is what one call of Verify learns of one publisher. All references
// share it. It is for one goroutine at a time.
type session struct {
	pin  Pin
	id   string
	regs *registrystore.Registries

	// What the requirements on this publisher come to.
	paths     []string      // that will be looked up
	maxAge    time.Duration // the least that is demanded; 0: somebody demands none
	staleness time.Duration // the most that is allowed
	byDigest  bool          // no reference has a tag to be resolved

	now     time.Time // of the decision
	clock   time.Time // what the clock shows
	offline bool

	state  *State
	client *tuf.Client
	source Source
	err    error // why there is no verified metadata that is current
	// last is what was verified last, expired or not: it can say that
	// something is withdrawn, and nothing else.
	last  *tuf.Client
	notes []string
	asked []tuf.Source // the repositories, opened
	// before is the session without attachments while they are tried.
	before *session
	// attached are the sources of attachments, if the client is current by them.
	attached []tuf.Source
	// there is what is attached at the place where the artifact goes, by what it
	// is attached to: see Learn.
	there map[digest.Digest]registrystore.Tagged
}

// update makes the client current: from memory where policy lets it, else by
// asking all repositories at once. Offline, image layouts are asked.
func (s *session) update(ctx context.Context) {
	switch {
	case s.state == nil:
		return // could not be loaded, s.err says why
	case len(s.pin.Repositories) == 0:
		s.remember(ctx)
	case !s.offline && s.maxAge > 0 && s.byDigest && s.young() && s.remember(ctx):
		return
	case !s.offline || s.hasLayouts():
		s.ask(ctx)
	default:
		s.err = tuf.ErrUnreachable
	}
	if s.offline && errors.Is(s.err, tuf.ErrUnreachable) {
		s.remember(ctx)
	}
	if s.err != nil && s.last == nil {
		s.last = s.expired(ctx, nil)
	}
}

// young reports whether the timestamp that was seen last is younger than
// every requirement demands.
func (s *session) young() bool {
	raw, err := s.state.Get(metadata.RoleTimestamp)
	if err != nil {
		return false
	}
	f, err := metadata.Decode(metadata.RoleTimestamp, raw)
	if err != nil || f.Timestamp.Carnet == nil {
		return false
	}
	age := s.now.Sub(f.Timestamp.Carnet.Issued)
	return age <= s.maxAge
}

func (s *session) hasLayouts() bool {
	for _, r := range s.pin.Repositories {
		if repo, err := registrystore.ParseRepository(r, ""); err == nil && repo.IsLayout() {
			return true
		}
	}
	return false
}

// remember verifies what was seen last, and asks nobody.
func (s *session) remember(ctx context.Context) bool {
	s.source = FromCache
	s.err = s.refresh(ctx, nil)
	return s.err == nil
}

// ask asks the repositories. An answer that is expired is kept for what it
// still proves.
func (s *session) ask(ctx context.Context) {
	s.source = FromRegistry
	sources, err := s.open()
	if err == nil {
		s.asked = sources
		err = s.refresh(ctx, sources)
	}
	if err == nil {
		s.state.byRepository()
	} else if older(err) && s.state.now.Attached && s.aheadOf(ctx) {
		return
	}
	if s.err = err; errors.Is(err, tuf.ErrExpired) {
		s.last = s.expired(ctx, sources)
	}
}

// older reports whether err may be that of a repository that is behind: its
// keys may have been replaced since.
func older(err error) bool {
	return errors.Is(err, tuf.ErrRollback) || errors.Is(err, tuf.ErrThreshold)
}

// aheadOf takes what is remembered where that was attached to an artifact and
// the repositories have not come so far: they are behind, and roll nothing
// back that they showed. They could as well repeat what is remembered.
func (s *session) aheadOf(ctx context.Context) bool {
	was := *s
	s.state = s.state.fork()
	sources := append(s.known(), s.unchanged()...)
	if err := s.refresh(ctx, sources); err != nil {
		*s = was
		return false
	}
	s.note("%s: its repositories are behind what was attached to an artifact", s.pin.Name)
	s.source, s.err, s.attached = FromAttachment, nil, sources
	return true
}

// open opens the repositories that may be asked.
func (s *session) open() ([]tuf.Source, error) {
	var out []tuf.Source
	for _, r := range s.pin.Repositories {
		repo, err := registrystore.ParseRepository(r, "")
		if err != nil {
			return nil, err
		}
		if s.offline && !repo.IsLayout() {
			continue
		}
		trust, err := s.regs.Trust(repo)
		if err != nil {
			return nil, err
		}
		out = append(out, trust)
	}
	return out, nil
}

func (s *session) refresh(ctx context.Context, sources []tuf.Source) error {
	c, err := tuf.NewClient(tuf.Options{
		Root: s.pin.Root, Store: s.state, Sources: sources, Now: s.now, Clock: s.clock, MaxStaleness: s.staleness,
	})
	if err != nil {
		return err
	}
	s.client = c
	err = c.Refresh(ctx, s.paths...)
	for _, n := range c.Notes() {
		s.note("%s: %s", s.pin.Name, n)
	}
	return err
}

// maxNotes and maxNote bound what others can make a verifier say, in notes and
// in bytes of one.
const (
	maxNotes = 64
	maxNote  = 500
)

// note tells what happened and decided nothing. Others wrote parts of it.
func (s *session) note(format string, args ...any) {
	if len(s.notes) >= maxNotes {
		return
	}
	text := printable(fmt.Sprintf(format, args...))
	if len(text) > maxNote {
		text = strings.ToValidUTF8(text[:maxNote], "") + "…"
	}
	s.notes = append(s.notes, text)
}

// expired returns a client that takes expired files, or nil if there is
// nothing to take. It works on a copy: nothing that it sees is remembered.
func (s *session) expired(ctx context.Context, sources []tuf.Source) *tuf.Client {
	c, err := tuf.NewClient(tuf.Options{
		Root: s.pin.Root, Store: s.state.copy(), Sources: sources, Now: s.now, Clock: s.clock, AllowExpired: true,
	})
	if err != nil || c.Refresh(ctx, s.paths...) != nil {
		return nil
	}
	return c
}

// lookup searches for a target path in verified, current metadata.
func (s *session) lookup(ctx context.Context, path string) (*tuf.Finding, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.client.Lookup(ctx, path)
}

// withdrawn returns the notice that withdraws d. Metadata that is not current
// can still say so; that it does not proves nothing, and is no error here.
func (s *session) withdrawn(ctx context.Context, d digest.Digest) (*metadata.Notice, error) {
	if d == "" {
		return nil, nil
	}
	if s.err == nil {
		return s.client.Withdrawn(ctx, d)
	}
	if s.last != nil {
		if n, err := s.last.Withdrawn(ctx, d); err == nil {
			return n, nil
		}
	}
	return nil, nil
}

// describe says in r what the publisher's metadata is, as far as it is known.
func (s *session) describe(r *Result) {
	if s.client == nil {
		return
	}
	r.Source, r.RootVersion = s.source, s.client.Root().Version
	f := s.client.Timestamp()
	if f == nil && s.last != nil {
		f = s.last.Timestamp()
	}
	if f == nil {
		return
	}
	r.TimestampVersion, r.Expires = f.Version, f.Expires
	if x := f.Timestamp.Carnet; x != nil {
		age := max(s.now.Sub(x.Issued), 0) // clocks may differ by some minutes
		r.Issued, r.Age = x.Issued, &age
	}
}
