package tuf

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// Review is a proposal that was checked against the state that it is based on
// (docs/spec.md, "Proposals"): every file is the next of its role, says nothing
// that an edit could not say, and somebody whom that state trusts signed it.
type Review struct {
	Proposal *Proposal // with those signatures alone that count
	// Standings say, by role in the order of [Proposal.Roles], which signatures
	// are there and which are needed.
	Standings []Standing

	draft *Draft // the state with the proposal's files in it
	hints map[string][]string
}

// Standing is how far the file of one role is.
type Standing struct {
	Role    string
	Version int64
	// Quorums must all be met: root has that of the present root beside its own.
	Quorums []Quorum
}

// Quorum is what one delegator demands of a role's signatures.
type Quorum struct {
	By        string // the role that demands it; for root the version, "root version 3"
	Threshold int
	Signed    []metadata.Key // keys that signed; each counts once, by its material
	Missing   []metadata.Key // keys that did not, and that could
}

// Met reports whether there are enough signatures.
func (q Quorum) Met() bool { return len(q.Signed) >= q.Threshold }

// Complete reports whether every file has all signatures that it needs: who
// holds keys of snapshot and timestamp can publish it.
func (v *Review) Complete() bool {
	for _, s := range v.Standings {
		if slices.ContainsFunc(s.Quorums, func(q Quorum) bool { return !q.Met() }) {
			return false
		}
	}
	return true
}

// Draft returns the state that the proposal is based on, with the proposal's
// files in it. It must not be changed.
func (v *Review) Draft() *Draft { return v.draft }

// Review checks copies of one proposal, which say the same and carry different
// signatures, against a state. It fails with ErrProposal, and then says why.
func (r *Repository) Review(ctx context.Context, s *State, copies ...*Proposal) (*Review, error) {
	return r.reviewOn(ctx, newDraft(s, r.opts.Keys), copies)
}

// reviewOn is Review on a draft that has taken in other proposals before.
func (r *Repository) reviewOn(ctx context.Context, base *Draft, copies []*Proposal) (*Review, error) {
	p := copies[0]
	d := base.clone()
	v := &Review{draft: d, hints: map[string][]string{}}
	for _, check := range []func() error{
		func() error { return d.place(p) },
		func() error { return r.checkRules(ctx, d, p) },
		func() error { return v.count(ctx, copies) },
	} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// clone copies what a proposal that is taken in changes.
func (d *Draft) clone() *Draft {
	out := *d
	out.edited, out.finished, out.renewed = maps.Clone(d.edited), maps.Clone(d.finished), maps.Clone(d.renewed)
	return &out
}

// place puts the files of p into the draft, as they are. Each must be the next
// of its role.
func (d *Draft) place(p *Proposal) error {
	base, root := d.state.rev, d.state.Root()
	if f := p.File(metadata.RoleRoot); f != nil {
		root = f
	}
	restart := leapt(root, base)
	for _, role := range p.Roles() {
		f := p.File(role)
		want := d.state.Root().Version + 1
		if role != metadata.RoleRoot {
			var err error
			if want, err = nextVersion(base, role, restart); err != nil {
				return fmt.Errorf("%w: %w", ErrProposal, err)
			}
		}
		switch {
		case f.Version != want:
			return fmt.Errorf("%w: it has %s version %d, and the next is version %d", errStale, role, f.Version, want)
		case d.finished[role] != nil || d.edited[role] != nil:
			return fmt.Errorf("%w: another one that changes %s is ahead of it", errStale, role)
		case f.ExpiredAt(d.state.now):
			return fmt.Errorf("%w: its %s expired at %s: make it again", ErrProposal, role, metadata.FormatTime(f.Expires))
		}
		d.finished[role] = f
		if role == metadata.RoleRoot {
			d.root = f.Root
		} else {
			d.edited[role] = f.Targets
		}
	}
	return nil
}

// count keeps of the copies' signatures those that verify, and by keys that
// count, and tallies them. Somebody whom the state trusts with one of the roles
// must have signed: who may merely push proposes nothing.
func (v *Review) count(ctx context.Context, copies []*Proposal) error {
	p := copies[0]
	out := &Proposal{files: map[string]*metadata.File{}}
	before := newDraft(v.draft.state, v.draft.keys)
	trusted := false
	for _, role := range p.Roles() {
		now, err := quorumsOf(ctx, v.draft, role)
		if err != nil {
			return err
		}
		was, err := quorumsOf(ctx, before, role)
		if err != nil && !errors.Is(err, ErrUnknownRole) {
			return err
		}
		present := was[:min(1, len(was))] // of root that of the present one
		f := p.File(role)
		good := verifying(f, copies, role, append(slices.Clone(now), present...))
		if out.files[role], err = sealed(role, f.Signed, good); err != nil {
			return err
		}
		for _, q := range present {
			signers, err := Signers(out.files[role], q.keys, q.RoleKeys)
			if err != nil {
				return err
			}
			trusted = trusted || len(signers) > 0
		}
		if v.hints[role], err = v.patterns(ctx, role); err != nil {
			return err
		}
	}
	if !trusted {
		return errNobody
	}
	v.Proposal = out
	return v.tally(ctx)
}

// tally brings the standings up to date.
func (v *Review) tally(ctx context.Context) error {
	v.Standings = nil
	for _, role := range v.Proposal.Roles() {
		f := v.Proposal.File(role)
		v.draft.finished[role] = f
		s := Standing{Role: role, Version: f.Version}
		list, err := quorumsOf(ctx, v.draft, role)
		if err != nil {
			return err
		}
		for _, q := range list {
			one, err := q.of(f)
			if err != nil {
				return err
			}
			s.Quorums = append(s.Quorums, one)
		}
		v.Standings = append(v.Standings, s)
	}
	return nil
}

// quorum is a demand and who makes it.
type quorum struct {
	by string
	demand
}

// of counts the signatures of f.
func (q quorum) of(f *metadata.File) (Quorum, error) {
	out := Quorum{By: q.by, Threshold: q.Threshold}
	signers, err := Signers(f, q.keys, q.RoleKeys)
	if err != nil {
		return out, err
	}
	seen := map[string]bool{}
	for _, id := range q.KeyIDs {
		key := q.keys[id]
		material, err := KeyIdentity(key)
		if err != nil || seen[material] {
			continue // it could never sign, or counted already
		}
		seen[material] = true
		if signers[material] != "" {
			out.Signed = append(out.Signed, key)
		} else {
			out.Missing = append(out.Missing, key)
		}
	}
	return out, nil
}

// quorumsOf returns what is demanded of the signatures of a role's next file,
// with the draft's changes: of root by the present root first, then by itself.
func quorumsOf(ctx context.Context, d *Draft, role string) ([]quorum, error) {
	if role == metadata.RoleRoot {
		list := rootQuorums(d.state.Root(), d.Root())
		if d.root == nil {
			list = list[:1]
		}
		return list, nil
	}
	if role == metadata.RoleTargets {
		return []quorum{{metadata.RoleRoot, topDemand(d.Root(), role)}}, nil
	}
	e, err := d.Edge(ctx, role)
	if err != nil {
		return nil, err
	}
	return []quorum{{e.Parent, demand{e.Keys, e.RoleKeys}}}, nil
}

// verifying returns of all copies the signatures that some quorum counts and
// that verify over f, one for each key ID.
func verifying(f *metadata.File, copies []*Proposal, role string, quorums []quorum) []metadata.Signature {
	var out []metadata.Signature
	have := map[string]bool{}
	for _, c := range copies {
		for _, s := range c.File(role).Signatures {
			if s.Sig == nil || have[s.KeyID] {
				continue
			}
			for _, q := range quorums {
				if key, ok := q.keys[s.KeyID]; ok && slices.Contains(q.KeyIDs, s.KeyID) && VerifySignature(key, f.Signed, s.Sig) == nil {
					have[s.KeyID] = true
					out = append(out, s)
					break
				}
			}
		}
	}
	return out
}

// patterns returns the delegated patterns of a role, nil for top-level ones.
func (v *Review) patterns(ctx context.Context, role string) ([]string, error) {
	if metadata.IsTopLevel(role) {
		return nil, nil
	}
	e, err := v.draft.Edge(ctx, role)
	if err != nil {
		return nil, err
	}
	return v.draft.patterns(ctx, e)
}

// delegationTo finds the delegation at the end of e, nil for targets and bins.
func (d *Draft) delegationTo(ctx context.Context, e delegations.Edge) (*metadata.Delegation, error) {
	if e.Role == metadata.RoleTargets {
		return nil, nil
	}
	parent, err := d.Edge(ctx, e.Parent)
	if err != nil {
		return nil, err
	}
	t, err := d.Open(ctx, parent)
	if err != nil {
		return nil, err
	}
	return find(orEmpty(t.Delegations), e.Role), nil
}

// Differences says what the proposal changes, file by file as it stands in it.
// Before a signer signs, each must be shown in full ([Difference.Err]).
func (v *Review) Differences(ctx context.Context) ([]*Difference, error) {
	var out []*Difference
	for _, role := range v.Proposal.Roles() {
		e, before := delegations.Edge{Role: role}, v.draft.state.Root()
		if role != metadata.RoleRoot {
			var err error
			if e, err = v.draft.Edge(ctx, role); err != nil {
				return nil, err
			}
			if before, err = v.draft.state.present(ctx, role); err != nil {
				return nil, err
			}
		}
		d, err := Compare(e, before, v.Proposal.File(role))
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}
