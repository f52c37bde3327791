package verify

import (
	"context"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// Learn reads what is attached to digests in the repository at, where an
// artifact goes, one request for each digest and publisher. What is newer there
// than what was seen, and verifies, takes part from now on: a mirror on this
// side may be behind, and the other side know of a withdrawal. The decision is
// made anew then. What is attached there for other names is kept in [Evidence].
// An error says that the repository could not be asked; what it has and is no
// evidence is told in the decision's notes.
func (e *Examination) Learn(ctx context.Context, at *registrystore.Artifacts, digests ...digest.Digest) error {
	g, gctx := errgroup.WithContext(ctx)
	learnt := map[string]bool{}
	for _, name := range e.asked() {
		s := e.q.sessions[name]
		if s.err != nil || s.state == nil {
			continue
		}
		learnt[name] = true
		g.Go(func() error { return s.readAttached(gctx, at, digests) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var changed []string
	for name := range learnt {
		if e.q.sessions[name].learn(ctx) {
			changed = append(changed, name)
		}
	}
	if len(changed) > 0 {
		answers := e.q.answers(ctx)
		for _, name := range changed {
			e.q.sessions[name].remembers(e.q.tells(ctx, name, nil, answers))
		}
		e.Decision = e.decide(ctx, e.s)
	}
	e.Decision.Notes = e.q.notes(e.s)
	return nil
}

// decide decides anew.
func (e *Examination) decide(ctx context.Context, s *subject) Decision {
	answers := e.q.answers(ctx)
	e.q.commit(answers)
	return e.q.v.decision(s, answers[slices.Index(e.q.subjects, s)], e.q.notes(s))
}

// At decides about the artifact as if it were at another place, which is not
// asked: what the policy will say there once it was copied. Who counts there
// counts for [Examination.Evidence] too.
func (e *Examination) At(ctx context.Context, ref registrystore.Reference) Decision {
	s := e.q.add(e.q.v.opts.Now().UTC(), ref)
	s.location = location{asked: true, digest: e.Decision.Digest}
	e.q.ask(ctx)
	e.there, e.elsewhere = s, e.decide(ctx, s)
	e.q.subjects = slices.DeleteFunc(e.q.subjects, func(o *subject) bool { return o == s })
	return e.elsewhere
}

// readAttached reads the publisher's attachments of the digests, by their tags.
func (s *session) readAttached(ctx context.Context, at *registrystore.Artifacts, digests []digest.Digest) error {
	found := make([]registrystore.Tagged, len(digests))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, d := range digests {
		g.Go(func() (err error) { found[i], err = at.Attached(gctx, d, s.id); return err })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if s.there == nil {
		s.there = map[digest.Digest]registrystore.Tagged{}
	}
	for i, d := range digests {
		if s.there[d] = found[i]; found[i].Note != nil {
			s.note("%s: %v", s.pin.Name, found[i].Note)
		}
	}
	return nil
}

// learn updates the session by attachments that are newer than what it has,
// and reports whether it did.
func (s *session) learn(ctx context.Context) bool {
	var news []tuf.Source
	for _, a := range s.attachedThere() {
		if s.isNews(ctx, a) {
			news = append(news, a)
		}
	}
	if len(news) == 0 {
		return false
	}
	was := *s
	s.state = s.state.fork()
	sources := append([]tuf.Source{&remembered{s.state}}, news...)
	if err := s.refresh(ctx, sources); err != nil {
		s.note("%s: what is attached at the destination is not taken: %v", s.pin.Name, err)
		return s.discard(ctx, &was)
	}
	s.source, s.attached, s.before = FromAttachment, append(s.attached, sources...), &was
	return true
}

// attachedThere returns the attachments at the destination, in a fixed order.
func (s *session) attachedThere() []*registrystore.Attachment {
	var out []*registrystore.Attachment
	for _, d := range slices.Sorted(maps.Keys(s.there)) {
		if a := s.there[d].Attachment; a != nil {
			out = append(out, a)
		}
	}
	return out
}

// isNews reports whether an attachment claims to be newer than what the client
// has.
func (s *session) isNews(ctx context.Context, a *registrystore.Attachment) bool {
	p := a.Publication()
	if n := len(p.Roots); n > 0 && p.Roots[n-1].Version > s.client.Root().Version {
		return true
	}
	if p.Timestamp.Digest == digest.FromBytes(s.client.Timestamp().Raw) {
		return false
	}
	raw, err := a.Timestamp(ctx)
	if err != nil {
		return false
	}
	f, err := metadata.Decode(metadata.RoleTimestamp, raw)
	return err == nil && f.Version > s.client.Timestamp().Version
}

// keep adds to p the files of the roles that are attached at the destination
// already, as they are now: what was found there for another name must be found
// still. The snapshot, which is verified, says what their bytes are.
func (s *session) keep(ctx context.Context, p *tuf.Publication) error {
	roles := s.rolesThere(p)
	var sources []tuf.Source
	for _, a := range s.attachedThere() {
		sources = append(sources, a)
	}
	asked := false
	for _, role := range roles {
		want := s.client.Snapshot().Snapshot.Meta[role]
		f, ok := fileBy(ctx, sources, role, want)
		if !ok && !asked {
			more, err := s.open()
			if err != nil {
				return err
			}
			sources, asked = append(sources, opened(ctx, more)...), true
			f, ok = fileBy(ctx, sources, role, want)
		}
		if ok {
			p.Add(f)
		}
	}
	return nil
}

// rolesThere are the delegated roles that attachments at the destination list,
// the snapshot knows and p lacks, as many as may be fetched on a hint.
func (s *session) rolesThere(p *tuf.Publication) []string {
	names := map[string]bool{}
	for _, a := range s.attachedThere() {
		for _, f := range a.Publication().Roles {
			_, have := p.Role(f.Role)
			want, known := s.client.Snapshot().Snapshot.Meta[f.Role]
			if known && !have && want.Hashes.Digest() != "" && want.Length <= metadata.MaxPrefetch {
				names[f.Role] = true
			}
		}
	}
	roles := slices.Sorted(maps.Keys(names))
	return roles[:min(len(roles), metadata.MaxPrefetches)]
}

// fileBy returns a role's file by its hash, from the first source that has it:
// attachments and repositories give nothing else under a hash.
func fileBy(ctx context.Context, sources []tuf.Source, role string, want metadata.MetaFile) (tuf.File, bool) {
	for _, src := range sources {
		if raw, err := src.File(ctx, role, want); err == nil {
			return tuf.NewFile(role, want.Version, raw), true
		}
	}
	return tuf.File{}, false
}
