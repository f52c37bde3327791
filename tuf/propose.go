package tuf

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// makes returns the files that publishing d would have signed here: the new
// root, and the edited roles but those whose present file stands because
// nobody here could sign another.
func (r *Repository) makes(ctx context.Context, d *Draft) ([]unsigned, error) {
	var out []unsigned
	root := d.state.Root()
	if d.newRoot() {
		u := r.rootFile(d)
		out = append(out, u)
		root = &metadata.File{Header: u.root.Header, Root: u.root}
	}
	restart := leapt(root, d.state.rev)
	for _, role := range slices.Sorted(maps.Keys(d.edited)) {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return nil, err
		}
		version, err := nextVersion(d.state.rev, role, restart)
		if err != nil {
			return nil, err
		}
		u := r.roleFile(d.Root(), e, d.edited[role], version)
		if r.lacking(role, u.demands()...) != nil && r.stands(ctx, d, e) {
			continue
		}
		out = append(out, u)
	}
	return out, nil
}

// lacking returns, without asking for anything, which keys are missing here to
// meet all demands, or nil.
func (r *Repository) lacking(role string, demands ...demand) *MissingKeysError {
	for _, want := range demands {
		e := &MissingKeysError{Role: role, Want: want.Threshold}
		seen := map[string]bool{}
		for _, id := range want.KeyIDs {
			key, ok := want.keys[id]
			material, err := KeyIdentity(key)
			switch {
			case !ok || err != nil || seen[material]:
			case r.opts.Keys.Has(key):
				seen[material] = true
				e.Have++
			default:
				seen[material] = true
				e.Absent = append(e.Absent, key)
			}
		}
		if e.Have < e.Want && len(e.Absent) > 0 {
			return e
		}
	}
	return nil
}

// CanPublish reports whether the keys at hand can publish what root allows:
// sign a snapshot and a timestamp. The error names what is missing.
func (r *Repository) CanPublish(root *metadata.Root) error {
	for _, role := range []string{metadata.RoleSnapshot, metadata.RoleTimestamp} {
		if e := r.lacking(role, topDemand(root, role)); e != nil {
			return e
		}
	}
	return nil
}

// propose makes a proposal of d where it needs more signatures than the keys
// at hand give, or somebody else to publish it. It returns nil where it needs
// nobody else, or where no key at hand counts: then nobody can sign it here.
func (r *Repository) propose(ctx context.Context, d *Draft) (*Review, error) {
	if r.opts.Ballot == nil || len(d.finished) > 0 {
		return nil, nil
	}
	files, err := r.makes(ctx, d)
	if err != nil {
		return nil, err
	}
	short := r.CanPublish(d.Root())
	for _, u := range files {
		if e := r.lacking(u.role, u.demands()...); short == nil && e != nil {
			short = e
		}
	}
	if short == nil || len(files) == 0 {
		return nil, nil
	}
	open, err := r.Proposals(ctx, d.state)
	if err != nil {
		return nil, err
	}
	v, err := r.nominate(ctx, d, files, open)
	if errors.Is(err, errNobody) {
		return nil, nil // as if there were no proposals: signing fails, and says why
	}
	return v, err
}

// nominate signs files as far as the keys at hand go, records that, and puts
// them into the ballot.
func (r *Repository) nominate(ctx context.Context, d *Draft, files []unsigned, open []*Review) (*Review, error) {
	mine := map[string]*metadata.File{}
	for _, u := range files {
		signed, err := r.recall(u)
		if err != nil {
			return nil, err
		}
		if mine[u.role], err = metadata.Decode(u.role, metadata.Seal(signed, nil)); err != nil {
			return nil, err
		}
	}
	if like := r.alike(files, mine, open); like != nil {
		mine = like.Proposal.files
	}
	p, err := NewProposal(mine)
	if err != nil {
		return nil, err
	}
	v := &Review{draft: newDraft(d.state, r.opts.Keys), hints: map[string][]string{}, Proposal: p}
	if err := v.draft.place(p); err != nil {
		return nil, err
	}
	if err := v.tally(ctx); err != nil {
		return nil, err
	}
	added, err := r.addSignatures(ctx, v, nil)
	if errors.Is(err, ErrNoKey) {
		return nil, errNobody
	}
	if err != nil {
		return nil, err
	}
	if v, err = r.Review(ctx, d.state, v.Proposal); err != nil {
		return nil, err
	}
	if err := r.recordAll(v, added); err != nil {
		return nil, err
	}
	return v, r.Submit(ctx, v)
}

// alike finds an open proposal that says what files say: somebody made the
// same change before, and needs this signature, not another proposal.
func (r *Repository) alike(files []unsigned, mine map[string]*metadata.File, open []*Review) *Review {
	id := idOf(mine)
	for _, v := range open {
		if v.Proposal.ID() == id {
			return v
		}
	}
	for _, v := range open {
		if len(v.Proposal.files) != len(files) {
			continue
		}
		differs := slices.ContainsFunc(files, func(u unsigned) bool {
			f := v.Proposal.File(u.role)
			if was, err := r.recorded(u.role, u.version); err != nil || was != nil {
				return true // another one was signed here
			}
			return f == nil || !u.saysTheSame(f) || !u.lives(f, r.opts.Now())
		})
		if !differs {
			return v
		}
	}
	return nil
}
