package verify

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/registrystore"
)

// Options are what a [Verifier] is made of.
type Options struct {
	// Registries opens the repositories of artifacts and of metadata. Its
	// cache makes the next verification cheap.
	Registries *registrystore.Registries
	// Policy decides.
	Policy *Policy
	// States remembers what was verified. With nil nothing is remembered from
	// one call to the next: then a registry can show, within their expiry,
	// older states than it showed before.
	States *States
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// At, if set, asks what would be decided at that time with the metadata
	// that is there now. Nothing is remembered of it.
	At time.Time
	// Offline opens no socket: image layouts and what was seen before must do.
	Offline bool
	// MaxAge, if set, stands in for the max-age of every requirement.
	MaxAge time.Duration
	// Floors refuse metadata of a publisher, by its name, that is older.
	Floors map[string]Floor
	// Resolve takes the signed digest of a tag for its digest, also where the
	// location has another one or cannot tell.
	Resolve bool
}

// Verifier decides about references. It is safe for concurrent use.
type Verifier struct {
	opts Options
}

// New returns a verifier. It fails if an option makes no sense.
func New(opts Options) (*Verifier, error) {
	if opts.Registries == nil || opts.Policy == nil {
		return nil, fmt.Errorf("a verifier needs registries and a policy")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.MaxAge < 0 {
		return nil, fmt.Errorf("max-age: want a positive duration, found %s", opts.MaxAge)
	}
	for name, f := range opts.Floors {
		if _, ok := opts.Policy.publisher(name); !ok {
			return nil, fmt.Errorf("floor: %w: the policy names no %q", ErrUnknownPublisher, name)
		}
		if f.Root < 1 || f.Timestamp < 0 {
			return nil, fmt.Errorf("floor of %s: want ROOT.TIMESTAMP with a root version from 1, found %d.%d", name, f.Root, f.Timestamp)
		}
	}
	return &Verifier{opts: opts}, nil
}

// parallel is how many tags are resolved at once.
const parallel = 32

// Verify decides about references, one decision each in their order. All are
// asked about together: each tag costs one request, and each publisher one
// for each of its repositories, in one round while nothing changed. A
// publisher's word about digests alone that is younger than max-age costs
// none. Where a publisher's repositories do not suffice, what is attached to
// the artifacts is read. What could not be found out is no error but an
// undecided decision.
func (v *Verifier) Verify(ctx context.Context, refs ...registrystore.Reference) ([]Decision, error) {
	_, out, err := v.verify(ctx, refs)
	return out, err
}

func (v *Verifier) verify(ctx context.Context, refs []registrystore.Reference) (*inquiry, []Decision, error) {
	for _, ref := range refs {
		if ref.Tag == "" && ref.Digest == "" {
			return nil, nil, fmt.Errorf("%w: %s names no tag and no digest", registrystore.ErrReference, ref)
		}
	}
	q := v.inquire(refs)
	q.ask(ctx)
	answers := q.answers(ctx)
	if q.askAgain(answers) {
		q.ask(ctx)
		answers = q.answers(ctx)
	}
	answers = q.askAttachments(ctx, answers)
	q.commit(answers)
	out := make([]Decision, len(refs))
	for i, s := range q.subjects {
		out[i] = v.decision(s, answers[i], q.notes(s))
	}
	return q, out, nil
}

// inquiry is one call of Verify.
type inquiry struct {
	v        *Verifier
	now      time.Time
	subjects []*subject
	sessions map[string]*session // by the publisher's name
	asked    map[string]bool     // publishers that are up to date
}

// subject is one reference on its way to a decision.
type subject struct {
	ref  registrystore.Reference
	rule *Rule // nil: none matches
	name string
	// named is false if the rule's strip leaves no name.
	named    bool
	location location
}

func (v *Verifier) inquire(refs []registrystore.Reference) *inquiry {
	q := &inquiry{v: v, now: v.opts.Now().UTC(), sessions: map[string]*session{}, asked: map[string]bool{}}
	clock := q.now
	if !v.opts.At.IsZero() {
		q.now = v.opts.At.UTC()
	}
	for _, ref := range refs {
		q.add(clock, ref)
	}
	return q
}

// add takes a reference up, and notes what has to be asked for it.
func (q *inquiry) add(clock time.Time, ref registrystore.Reference) *subject {
	s := &subject{ref: ref, location: location{digest: ref.Digest}}
	if rule, ok := q.v.opts.Policy.Match(ref.Repository); ok {
		s.rule = rule
		s.name, s.named = rule.targetName(ref.Repository)
	}
	if s.asks() {
		for _, want := range s.rule.leaves() {
			q.plan(clock, s, want)
			if name := want.OriginFrom; name != "" {
				q.plan(clock, s, s.rule.promoter(name))
			}
		}
	}
	q.subjects = append(q.subjects, s)
	return s
}

// asks reports whether anybody has to be asked about s.
func (s *subject) asks() bool {
	return s.rule != nil && s.rule.Level != Skip && s.named && len(s.rule.Require) > 0
}

// plan notes what a requirement asks of its publisher.
func (q *inquiry) plan(clock time.Time, s *subject, want *Requirement) {
	ses := q.session(clock, want.Publisher)
	if ses == nil {
		return
	}
	ses.paths = append(ses.paths, s.paths()...)
	ses.byDigest = ses.byDigest && s.ref.Tag == ""
	ses.staleness = max(ses.staleness, want.MaxStaleness)
	if age := q.v.maxAge(want); age == 0 || ses.maxAge > age || ses.maxAge < 0 {
		ses.maxAge = age
	}
}

// maxAge returns the bound on a timestamp's age, 0 for none.
func (v *Verifier) maxAge(want *Requirement) time.Duration {
	if v.opts.MaxAge > 0 {
		return v.opts.MaxAge
	}
	return want.MaxAge
}

// paths are those that will be looked up. A digest that is not known yet is
// stood in for by none: patterns that match one match the other.
func (s *subject) paths() []string {
	path := refPath(s.name, s.ref)
	digestPath := path
	digestPath.Tag, digestPath.Digest = "", or0(s.ref.Digest)
	return slices.Compact([]string{path.String(), digestPath.String()})
}

// session returns what is known of a publisher, nil if nobody knows it.
func (q *inquiry) session(clock time.Time, name string) *session {
	if s := q.sessions[name]; s != nil {
		return s
	}
	pin, ok := q.v.opts.Policy.publisher(name)
	if !ok {
		return nil
	}
	s := &session{
		pin: pin, regs: q.v.opts.Registries, maxAge: -1, byDigest: true,
		now: q.now, clock: clock, offline: q.v.opts.Offline,
	}
	if s.id, s.err = pin.ID(); s.err == nil {
		s.state, s.err = q.v.state(pin)
	}
	q.sessions[name] = s
	return s
}

func (v *Verifier) state(pin Pin) (*State, error) {
	if v.opts.States == nil {
		return NewMemoryState(pin.Root, v.opts.Registries.Cache()), nil
	}
	return v.opts.States.Load(pin.Root, v.opts.Registries.Cache())
}

// ask resolves tags and updates publishers, all at the same time.
func (q *inquiry) ask(ctx context.Context) {
	var g, tags errgroup.Group
	tags.SetLimit(parallel)
	for name, s := range q.sessions {
		if !q.asked[name] {
			g.Go(func() error { s.update(ctx); return nil })
		}
	}
	for _, s := range q.subjects {
		if s.asks() && !s.location.asked {
			tags.Go(func() error { s.locate(ctx, q.v); return nil })
		}
	}
	_, _ = g.Wait(), tags.Wait()
	for name := range q.sessions {
		q.asked[name] = true
	}
}

// askAgain reports whether somebody must be asked after all: a "no" from
// memory may be a "yes" by now. It prepares for asking them.
func (q *inquiry) askAgain(answers [][]Result) bool {
	again := false
	for i, s := range q.subjects {
		if !s.asks() || s.rule.verdict(answers[i]) == Allowed && satisfied(answers[i]) {
			continue
		}
		for _, want := range s.rule.leaves() {
			for _, name := range []string{want.Publisher, want.OriginFrom} {
				ses := q.sessions[name]
				if ses == nil || ses.source != FromCache || ses.offline {
					continue
				}
				ses.maxAge, q.asked[name], again = 0, false, true
			}
		}
	}
	return again
}

func satisfied(results []Result) bool {
	return !slices.ContainsFunc(results, func(r Result) bool { return !r.Satisfied })
}

// commit makes durable what was accepted, also where an update failed half
// way. An answer that could not be remembered is none: who can fill a disk
// could else roll a verifier back that believes to be protected.
func (q *inquiry) commit(answers [][]Result) {
	if !q.v.opts.At.IsZero() {
		return
	}
	for name, ses := range q.sessions {
		if ses.state == nil {
			continue
		}
		err := ses.state.Commit()
		if err == nil {
			continue
		}
		for i, s := range q.subjects {
			if s.asks() {
				s.rule.forget(name, answers[i], err)
			}
		}
	}
}

// forget takes back the answers that rest on a publisher whose state could
// not be kept.
func (r *Rule) forget(name string, results []Result, err error) {
	for i, want := range r.leaves() {
		if (want.Publisher == name || want.OriginFrom == name) && results[i].Satisfied {
			results[i].Satisfied, results[i].Reason = false, Unreachable
			results[i].Message += "; but that could not be remembered: " + err.Error()
		}
	}
}

func (q *inquiry) notes(s *subject) []string {
	if !s.asks() {
		return nil
	}
	var out []string
	for _, want := range s.rule.leaves() {
		for _, name := range []string{want.Publisher, want.OriginFrom} {
			if ses := q.sessions[name]; ses != nil {
				out = append(out, ses.notes...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
