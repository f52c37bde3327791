package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// maxAttachmentsAsked bounds for how many artifacts of one call attachments
// are looked for: those of one publisher help each other.
const maxAttachmentsAsked = 64

// askAttachments reads what is attached to artifacts about which a publisher's
// repositories did not suffice, and returns the answers with it. Attachments
// are evidence: the same client verifies them, from the same pinned root and
// by the same rollback state.
func (q *inquiry) askAttachments(ctx context.Context, answers [][]Result) [][]Result {
	var g errgroup.Group
	wanted := q.wanted(answers)
	var changed atomic.Bool
	for name, subjects := range wanted {
		g.Go(func() error {
			if q.sessions[name].attachments(ctx, q.v, subjects) {
				changed.Store(true)
			}
			return nil
		})
	}
	_ = g.Wait()
	if !changed.Load() {
		return answers
	}
	was := answers
	answers = q.answers(ctx)
	reverted := false
	for name := range wanted {
		reverted = q.sessions[name].settle(q.tells(ctx, name, was, answers)) || reverted
	}
	if reverted {
		answers = q.answers(ctx)
	}
	return answers
}

// wanted lists, by publisher, the subjects whose attachments could say more.
func (q *inquiry) wanted(answers [][]Result) map[string][]*subject {
	out := map[string][]*subject{}
	for i, s := range q.subjects {
		if !s.asks() {
			continue
		}
		for j, want := range s.rule.leaves() {
			for _, name := range []string{want.Publisher, want.OriginFrom} {
				if ses := q.sessions[name]; ses != nil && s.needsAttachment(q, ses, answers[i][j]) && !slices.Contains(out[name], s) {
					out[name] = append(out[name], s)
				}
			}
		}
	}
	return out
}

// tells reports whether the publisher's evidence is to last: somebody vouches
// by it who did not before, or it withdraws what was asked about. That counts
// also where the answer is another one: somebody else may not be reached.
func (q *inquiry) tells(ctx context.Context, name string, was, answers [][]Result) bool {
	ses := q.sessions[name]
	for i, s := range q.subjects {
		if !s.asks() {
			continue
		}
		for j, want := range s.rule.leaves() {
			if want.Publisher != name && want.OriginFrom != name {
				continue
			}
			r := answers[i][j]
			if r.Satisfied && (was == nil || !was[i][j].Satisfied) || ses.newlyWithdrawn(ctx, s.ref.Digest, s.location.digest, r.SignedDigest) {
				return true
			}
		}
	}
	return false
}

// newlyWithdrawn reports whether the evidence that is tried withdraws one of
// the digests, and what was known before does not.
func (s *session) newlyWithdrawn(ctx context.Context, digests ...digest.Digest) bool {
	for _, d := range digests {
		if n, err := s.withdrawn(ctx, d); n == nil || err != nil || s.before == nil {
			continue
		}
		if n, err := s.before.withdrawn(ctx, d); n == nil || err != nil {
			return true
		}
	}
	return false
}

// needsAttachment reports whether what is attached to s could say more than
// the publisher's repositories did: they may be behind. That something is
// withdrawn is never asked twice.
func (s *subject) needsAttachment(q *inquiry, ses *session, r Result) bool {
	if ses.state == nil || q.v.opts.Offline && !s.ref.IsLayout() || s.location.digest == "" && s.ref.Digest == "" {
		return false
	}
	if ses.err != nil {
		return true
	}
	return !r.Satisfied && r.Reason != Revoked && !s.contradicts() && (r.Reason != Unreachable || s.location.err == nil)
}

// attachments updates the session from what is attached to the subjects, and
// reports whether it may answer otherwise now. What the repositories gave stays
// where attachments do not give more, but for a root that replaces theirs.
func (s *session) attachments(ctx context.Context, v *Verifier, subjects []*subject) bool {
	found := s.findAttachments(ctx, v, subjects)
	if len(found) == 0 {
		return false
	}
	was := *s
	s.state = s.state.fork()
	sources := s.known()
	for _, a := range found {
		sources = append(sources, a)
	}
	sources = append(sources, s.unchanged()...)
	err := s.refresh(ctx, sources)
	if err == nil {
		err = s.behind(was.last)
	}
	if err != nil {
		s.note("%s: what is attached does not help: %v", s.pin.Name, err)
		return s.discard(ctx, &was)
	}
	s.source, s.err, s.attached, s.before = FromAttachment, nil, sources, &was
	return true
}

// discard takes back a trial that failed, but for what lasts. If that is a newer
// root, the repositories are asked again under it; discard reports so.
func (s *session) discard(ctx context.Context, was *session) bool {
	root := was.root()
	was.state.lasts(s.state)
	was.notes = s.notes
	*s = *was
	if s.root() == root {
		return false
	}
	s.update(ctx)
	return true
}

// settle ends the trial of attachments. Where they are not to last and the
// repositories were current, their answer stands again; settle reports so.
func (s *session) settle(tells bool) (reverted bool) {
	was := s.before
	if s.remembers(tells) || was == nil || was.err != nil {
		return false
	}
	notes := s.notes
	*s = *was
	s.notes = notes
	return true
}

// remembers ends a trial: what attachments prove is remembered only if it tells
// something, and reports whether it is. Else somebody who may push could lay a
// newer state beside any artifact, and repositories that are behind it would be
// refused from then on. A newer root is remembered in any case, with the state
// that came with it: whom it took keys from is not to be believed again.
func (s *session) remembers(tells bool) bool {
	was := s.before
	s.before = nil
	switch {
	case was == nil:
		return false
	case tells || s.root() > was.root():
		s.state.byAttachment(was.state)
		return true
	}
	was.state.lasts(s.state)
	s.state = was.state
	return false
}

// root is the version of the newest root that is remembered, or pinned.
func (s *session) root() int64 {
	raw, err := s.state.Get(metadata.RoleRoot)
	if err != nil {
		raw = s.pin.Root
	}
	return version(metadata.RoleRoot, raw)
}

// has reports whether the file of a role is remembered.
func (s *session) has(role, sha256 string) bool {
	raw, err := s.state.Get(role)
	return err == nil && metadata.SHA256(sha256).Verify(raw) == nil
}

// known offers what was seen before, if there is anything.
func (s *session) known() []tuf.Source {
	if _, err := s.state.Get(metadata.RoleTimestamp); err != nil {
		return nil
	}
	return []tuf.Source{&remembered{s.state}}
}

// unchanged offers the repositories that were opened for the files that did
// not change since.
func (s *session) unchanged() []tuf.Source {
	var out []tuf.Source
	if _, err := s.state.Get(metadata.RoleTimestamp); err != nil {
		return nil
	}
	for _, src := range s.asked {
		if trust, ok := src.(*registrystore.Trust); ok && trust.Publication() != nil {
			out = append(out, &unchanged{remembered{s.state}, trust})
		}
	}
	return out
}

// behind fails if an expired publication that a repository has is newer than
// what the client took: then that is held back from this verifier.
func (s *session) behind(last *tuf.Client) error {
	if last == nil || last.Timestamp() == nil || last.Root().Version > s.client.Root().Version {
		return nil
	}
	if was, now := last.Timestamp().Version, s.client.Timestamp().Version; last.Root().Version == s.client.Root().Version && now < was {
		return &tuf.RollbackError{File: metadata.RoleTimestamp, Trusted: was, Offered: now}
	}
	return nil
}

// findAttachments looks for attachments, for all subjects at once.
func (s *session) findAttachments(ctx context.Context, v *Verifier, subjects []*subject) []*registrystore.Attachment {
	subjects = subjects[:min(len(subjects), maxAttachmentsAsked)]
	lists, notes := make([][]*registrystore.Attachment, len(subjects)), make([][]error, len(subjects))
	want := tuf.Want{AfterRoot: s.root(), Has: s.has}
	var g errgroup.Group
	g.SetLimit(parallel)
	for i, sub := range subjects {
		g.Go(func() error {
			repo, err := v.opts.Registries.Artifacts(sub.ref.Repository)
			if err != nil {
				notes[i] = []error{err}
				return nil
			}
			d := sub.location.digest
			if d == "" {
				d = sub.ref.Digest
			}
			lists[i], notes[i] = repo.Attachments(ctx, d, s.id, want)
			return nil
		})
	}
	_ = g.Wait()
	for _, n := range slices.Concat(notes...) {
		s.note("%s: %v", s.pin.Name, n)
	}
	found, dropped := affordable(distinct(slices.Concat(lists...)))
	if dropped > 0 {
		s.note("%s: %d trust attachments are not looked at: all together they would take more than %d bytes", s.pin.Name, dropped, maxEvidence)
	}
	return found
}

// maxEvidence bounds what attachments may have fetched ahead of any signature,
// in bytes for one publisher: for each artifact that is asked for as much as
// one of them may, though there may be several.
const maxEvidence = maxAttachmentsAsked * metadata.MaxPrefetch

// affordable drops attachments until what is left fits, the largest first: a
// forged one must not take the place of an honest one.
func affordable(list []*registrystore.Attachment) (fit []*registrystore.Attachment, dropped int) {
	bySize := slices.Clone(list)
	slices.SortStableFunc(bySize, func(a, b *registrystore.Attachment) int { return cmp.Compare(a.Ahead(), b.Ahead()) })
	gone := map[*registrystore.Attachment]bool{}
	size := int64(0)
	for _, a := range bySize {
		if size += a.Ahead(); size > maxEvidence {
			gone[a] = true
		}
	}
	return slices.DeleteFunc(list, func(a *registrystore.Attachment) bool { return gone[a] }), len(gone)
}

func distinct(list []*registrystore.Attachment) []*registrystore.Attachment {
	seen := map[digest.Digest]bool{}
	return slices.DeleteFunc(list, func(a *registrystore.Attachment) bool {
		was := seen[a.Digest]
		seen[a.Digest] = true
		return was
	})
}

// remembered offers what was trusted last as a source among others: an
// attachment that is older than what was seen is no rollback then, and can
// still give the files that did not change since.
type remembered struct{ state *State }

func (r *remembered) String() string { return "what was seen before" }

func (r *remembered) Root(context.Context, int64) ([]byte, error) {
	return nil, fmt.Errorf("%w: roots are not remembered", tuf.ErrNotFound)
}

func (r *remembered) Timestamp(context.Context) ([]byte, error) {
	return r.state.Get(metadata.RoleTimestamp)
}

// File offers no other file than the wanted one: what changed since is not
// forged, and nobody's fault.
func (r *remembered) File(_ context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	raw, err := r.state.Get(role)
	if err == nil && want.Hashes != nil && want.Hashes.Verify(raw) != nil {
		err = fmt.Errorf("%w: %s changed since", tuf.ErrNotFound, role)
	}
	return raw, err
}

// unchanged offers the roots and files of a repository that is behind: they
// are verified or asked for by their hashes, and what it calls its newest
// counts no more.
type unchanged struct {
	remembered
	trust *registrystore.Trust
}

func (u *unchanged) String() string { return u.trust.String() }

func (u *unchanged) Root(ctx context.Context, version int64) ([]byte, error) {
	return u.trust.Root(ctx, version)
}

func (u *unchanged) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	return u.trust.File(ctx, role, want)
}

// Evidence is what a publisher's word about an artifact rests on: what a
// trust attachment holds (docs/spec.md, "Trust attachment").
type Evidence struct {
	Publisher string // the verifier's own name for it
	ID        string
	Files     *tuf.Publication // with their bytes
	// There is what was attached for the publisher where the artifact goes, by
	// what it was attached to, as [Examination.Learn] found it.
	There map[digest.Digest]registrystore.Tagged
}

// Examination is a decision with what it rests on. It is for one goroutine.
type Examination struct {
	Decision Decision
	q        *inquiry
	s        *subject
	// What is decided about the artifact elsewhere: see At.
	elsewhere Decision
	there     *subject
}

// Examine is [Verifier.Verify] for one reference, and keeps what the
// publishers said, to ask more about it.
func (v *Verifier) Examine(ctx context.Context, ref registrystore.Reference) (*Examination, error) {
	all, err := v.ExamineAll(ctx, ref)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// ExamineAll is Examine for many references, about which everybody is asked
// together: one examination each, in their order. They are for one goroutine.
func (v *Verifier) ExamineAll(ctx context.Context, refs ...registrystore.Reference) ([]*Examination, error) {
	q, decisions, err := v.verify(ctx, refs)
	if err != nil {
		return nil, err
	}
	out := make([]*Examination, len(refs))
	for i, d := range decisions {
		out[i] = &Examination{Decision: d, q: q, s: q.subjects[i]}
	}
	return out, nil
}

// asked returns the names of the publishers that were asked about the
// reference, and about where it goes.
func (e *Examination) asked() []string {
	var out []string
	for _, s := range []*subject{e.s, e.there} {
		if s == nil || !s.asks() {
			continue
		}
		for _, want := range s.rule.leaves() {
			for _, name := range []string{want.Publisher, want.OriginFrom} {
				if e.q.sessions[name] != nil {
					out = append(out, name)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Withdrawn returns the notice by which one of the publishers that were asked
// withdrew d, and its name, or nil.
func (e *Examination) Withdrawn(ctx context.Context, d digest.Digest) (*metadata.Notice, string, error) {
	for _, name := range e.asked() {
		if n, err := e.q.sessions[name].withdrawn(ctx, d); n != nil || err != nil {
			return n, name, err
		}
	}
	return nil, "", nil
}

// Origin describes, for a promoter's signature, what was verified: the first
// word that counted, or nil.
func (e *Examination) Origin() *metadata.Origin {
	for _, r := range e.Decision.Results {
		if s := e.q.sessions[r.Publisher]; r.Satisfied && s != nil && s.err == nil {
			return &metadata.Origin{Publisher: s.id, Target: r.Target, RootVersion: r.RootVersion, TimestampVersion: r.TimestampVersion}
		}
	}
	return nil
}

// Evidence returns what the word of every publisher that counted rests on, in
// the order of the rule: all roots, timestamp, snapshot, targets and the role
// files that a search visits for one of the paths, or for what was looked up
// to decide, those included that vouch for nothing. Roots that are not at hand
// are asked for.
func (e *Examination) Evidence(ctx context.Context, paths ...string) ([]Evidence, error) {
	var out []Evidence
	for _, r := range slices.Concat(e.Decision.Results, e.elsewhere.Results) {
		s := e.q.sessions[r.Publisher]
		if s == nil || s.err != nil || !r.Satisfied || slices.ContainsFunc(out, func(e Evidence) bool { return e.Publisher == r.Publisher }) {
			continue
		}
		want := append(slices.Clone(paths), r.Target)
		if r.Origin != nil {
			want = append(want, r.Origin.Target)
		}
		files, err := s.evidence(ctx, withDigest(want, r.SignedDigest))
		if err != nil {
			return nil, fmt.Errorf("the evidence of %s: %w", r.Publisher, err)
		}
		out = append(out, Evidence{Publisher: r.Publisher, ID: s.id, Files: files, There: s.there})
	}
	return out, nil
}

// withDigest adds to each path the one of the same name with the digest.
func withDigest(paths []string, d digest.Digest) []string {
	var out []string
	for _, text := range paths {
		out = append(out, text)
		if p, err := metadata.ParsePath(text); err == nil && d != "" {
			out = append(out, metadata.DigestPath(p.Name, d))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// evidence gathers the files on which an answer about the paths rests.
func (s *session) evidence(ctx context.Context, paths []string) (*tuf.Publication, error) {
	roles := map[string]bool{}
	for _, path := range paths {
		f, err := s.client.Lookup(ctx, path)
		if err != nil {
			return nil, err
		}
		for _, role := range f.Visited {
			roles[role] = true
		}
	}
	p := &tuf.Publication{
		Timestamp: tuf.NewFile(metadata.RoleTimestamp, 0, s.client.Timestamp().Raw),
		Snapshot:  tuf.NewFile(metadata.RoleSnapshot, s.client.Snapshot().Version, s.client.Snapshot().Raw),
	}
	for role := range roles {
		f := s.client.RoleFile(role)
		p.Add(tuf.NewFile(role, f.Version, f.Raw))
	}
	byName := func(a, b tuf.File) int { return strings.Compare(a.Role, b.Role) }
	slices.SortFunc(p.Roles, byName)
	if err := s.keep(ctx, p); err != nil {
		return nil, err
	}
	slices.SortFunc(p.Roles, byName)
	if err := s.addRoots(ctx, p); err != nil {
		return nil, err
	}
	return p, tuf.PackRoots(ctx, p, nil)
}

// addRoots adds the chain of roots to p: from the first that any source has,
// else from the pinned one, to the trusted one.
func (s *session) addRoots(ctx context.Context, p *tuf.Publication) error {
	pinned, err := OpenRoot(s.pin.Root)
	if err != nil {
		return err
	}
	sources := s.attached
	if sources == nil && pinned.Version < s.client.Root().Version || pinned.Version > 1 {
		more, err := s.open()
		if err != nil {
			return err
		}
		sources = append(opened(ctx, more), sources...)
	}
	chain := []*metadata.File{pinned}
	for f := pinned; f.Version < s.client.Root().Version; chain = append(chain, f) {
		if f.Version+1 == s.client.Root().Version {
			f = s.client.Root()
		} else if f, err = nextRoot(ctx, f, sources); err != nil {
			return err
		}
	}
	for first := pinned; first.Version > 1; {
		before := previousRoot(ctx, first, sources)
		if before == nil {
			break
		}
		chain, first = append([]*metadata.File{before}, chain...), before
	}
	for _, f := range chain {
		p.Add(tuf.NewFile(metadata.RoleRoot, f.Version, f.Raw))
	}
	return nil
}

// previousRoot returns a root before f that f follows, for verifiers that
// pinned it; nil if no source has one.
func previousRoot(ctx context.Context, f *metadata.File, sources []tuf.Source) *metadata.File {
	for _, s := range sources {
		raw, err := s.Root(ctx, f.Version-1)
		if err != nil {
			continue
		}
		before, err := OpenRoot(raw)
		if err != nil || before.Version != f.Version-1 {
			continue
		}
		if _, err := tuf.NextRoot(before, f.Raw); err == nil {
			return before
		}
	}
	return nil
}
