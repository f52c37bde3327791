package revocation

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// present adds what the present state says of what was found, and who vouched
// for it before.
func (a *Audit) present(ctx context.Context) error {
	client := a.Past.Now.Client()
	listed, err := listedNow(ctx, client)
	if err != nil {
		return err
	}
	top, err := client.Targets(ctx)
	if err != nil {
		return err
	}
	list := &metadata.Targets{}
	if e, ok := delegations.Withdrawal(top); ok {
		if list, err = client.Open(ctx, e); err != nil {
			return err
		}
	}
	history := map[aloneKey]bool{}
	for _, v := range a.Vouched {
		history[aloneKey{v.Role, v.Listing}] = history[aloneKey{v.Role, v.Listing}] || !v.State.Aside
	}
	a.Vouched = slices.DeleteFunc(a.Vouched, func(v Vouched) bool { return v.State.Aside && history[aloneKey{v.Role, v.Listing}] })
	for i := range a.Vouched {
		v := &a.Vouched[i]
		v.Listed = listed[aloneKey{v.Role, v.Listing}]
		v.Withdrawn = tuf.NoticeIn(list, v.Digest) != nil
		v.Before = a.before(v, nil)
	}
	return nil
}

// before returns who else vouched for the digest no later than v, of the roles
// in among; nil is all. What the entries of a state that is aside say of when
// they were made is nobody's word.
func (a *Audit) before(v *Vouched, among map[string]bool) *Earlier {
	for _, e := range a.others[v.Digest] {
		same := e.State == v.State && e.Role == v.Role
		if among != nil && !among[e.Role] || same || !v.State.Aside && later(e.State, v.State) {
			continue
		}
		return &e
	}
	return nil
}

// later reports whether a comes after b.
func later(a, b *tuf.Kept) bool {
	if a.Root.Version != b.Root.Version {
		return a.Root.Version > b.Root.Version
	}
	return a.Version() > b.Version()
}

// listedNow returns all that is listed now by roles that verifiers accept.
func listedNow(ctx context.Context, c *tuf.Client) (map[aloneKey]bool, error) {
	out := map[aloneKey]bool{}
	open := func(e delegations.Edge) (*metadata.Targets, error) {
		t, err := c.Open(ctx, e)
		if e.Role != metadata.RoleTargets && (errors.Is(err, tuf.ErrInvalid) || errors.Is(err, tuf.ErrThreshold)) {
			return &metadata.Targets{}, nil
		}
		if err == nil {
			for path, target := range t.Targets {
				out[aloneKey{e.Role, Listing{path, target.Hashes.Digest()}}] = true
			}
		}
		return t, err
	}
	err := delegations.Walk(open, func(e delegations.Edge, _ metadata.Delegation) error {
		_, err := open(e) // also of those that nothing is delegated by
		return err
	})
	return out, err
}

// Spared says why something that the key vouched for is left alone.
type Spared struct {
	Vouched
	Why string
}

// Since returns the digests that the key alone vouched for after the state
// good, the first first, and what is left alone because others vouched for it
// too. Good nil is before everything. What good contains was there before,
// whatever version a state claims; all else is after.
func (a *Audit) Since(good *tuf.Kept) (bad []digest.Digest, spared []Spared) {
	fine := a.fine(good)
	others := a.independent(fine)
	seen, early := map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, v := range a.Vouched {
		early[v.Digest] = early[v.Digest] || fine[v.State]
	}
	for _, v := range a.Vouched {
		before := a.before(&v, others)
		switch {
		case fine[v.State]:
		case !v.Alone:
			spared = append(spared, Spared{v, "enough other keys signed it too"})
		case before != nil && (!v.State.Aside || fine[before.State]):
			spared = append(spared, Spared{v, "others vouched for it before"})
		case early[v.Digest]:
			spared = append(spared, Spared{v, "it was vouched for before the last good state"})
		case !v.Withdrawn && !seen[v.Digest]:
			seen[v.Digest] = true
			bad = append(bad, v.Digest)
		}
	}
	return bad, spared
}

// After tells what came after the state good, as [Audit.Since] does.
func (a *Audit) After(good *tuf.Kept) func(Moment) bool {
	fine := a.fine(good)
	return func(m Moment) bool { return !fine[m.State] }
}

// fine returns good and all that it descends from.
func (a *Audit) fine(good *tuf.Kept) map[*tuf.Kept]bool {
	out := map[*tuf.Kept]bool{}
	queue := []*tuf.Kept{}
	if good != nil {
		queue = append(queue, good)
	}
	for ; len(queue) > 0; queue = queue[1:] {
		if !out[queue[0]] {
			out[queue[0]] = true
			queue = append(queue, queue[0].Parents...)
		}
	}
	return out
}

// Keys returns every key that the kept history lists, by ID: also those that
// no role has any more.
func Keys(ctx context.Context, past *tuf.Past) (metadata.Keys, error) {
	out := metadata.Keys{}
	for _, f := range past.Roots {
		maps.Copy(out, f.Root.Keys)
	}
	err := newWalk(past, func(s *step) {
		if d := s.file.Targets.Delegations; d != nil {
			maps.Copy(out, d.Keys)
		}
	}).run(ctx, nil)
	return out, err
}
