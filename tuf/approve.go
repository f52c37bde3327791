package tuf

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/carnet-project/carnet/metadata"
)

// errNobody says that nobody signed a proposal who may sign one of its files.
var errNobody = fmt.Errorf("%w: nobody signed it who may sign one of its files now", ErrProposal)

// Approval is one signature that was added to a proposal.
type Approval struct {
	Role string
	Key  metadata.Key
}

// Approve signs the files of a proposal with every key at hand that counts and
// has not signed, or only with those whose material (see [KeyIdentity]) is
// among only, if there is one. What is signed is recorded before anybody
// else sees it; it fails with ErrSignedOther if this signer signed another file of the
// same role and version, and with ErrNotShown if a preview cannot show all that
// would change. It returns the signatures that it added, none if all
// were there. V is the proposal with them; [Repository.Submit] hands them on.
func (r *Repository) Approve(ctx context.Context, v *Review, only ...string) ([]Approval, error) {
	changes, err := v.Differences(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range changes {
		if err := d.Err(); err != nil {
			return nil, err
		}
	}
	added, err := r.addSignatures(ctx, v, only)
	if err != nil || len(added) == 0 {
		return nil, err
	}
	return added, r.recordAll(v, added)
}

// addSignatures signs what Approve does. It asks the record first: nobody types
// a passphrase for what is refused.
func (r *Repository) addSignatures(ctx context.Context, v *Review, only []string) ([]Approval, error) {
	var added []Approval
	var failed *MissingKeysError // keys that should be at hand and are not
	have := false
	files := map[string]*metadata.File{}
	for _, s := range v.Standings {
		f := v.Proposal.File(s.Role)
		wanted, signed, err := r.wanted(ctx, v, s.Role, only)
		if err != nil {
			return nil, err
		}
		have = have || signed || len(wanted) > 0
		if files[s.Role] = f; len(wanted) == 0 {
			continue
		}
		if was, err := r.recorded(s.Role, f.Version); err != nil {
			return nil, err
		} else if was != nil && string(was.Signed) != string(f.Signed) {
			return nil, signedOther(was)
		}
		more, absent, why, err := r.signatures(ctx, s.Role, f.Signed, wanted)
		if err != nil {
			return nil, err
		}
		if len(absent) > 0 && len(more) == 0 && failed == nil {
			failed = &MissingKeysError{Role: s.Role, Want: 1, Absent: slices.Collect(maps.Values(absent)), Why: why}
		}
		for _, sig := range more {
			added = append(added, Approval{s.Role, keyIn(wanted, sig.KeyID)})
		}
		if files[s.Role], err = sealed(s.Role, f.Signed, append(append([]metadata.Signature(nil), f.Signatures...), more...)); err != nil {
			return nil, err
		}
	}
	if !have {
		return nil, fmt.Errorf("%w: none whose signature this proposal needs", ErrNoKey)
	}
	if len(added) == 0 && failed != nil {
		return nil, failed
	}
	v.Proposal = &Proposal{files: files}
	return added, v.tally(ctx)
}

// wanted returns the keys at hand whose signatures a file lacks, and whether
// one that is at hand has signed it.
func (r *Repository) wanted(ctx context.Context, v *Review, role string, only []string) (out []demand, signed bool, err error) {
	list, err := quorumsOf(ctx, v.draft, role)
	if err != nil {
		return nil, false, err
	}
	f := v.Proposal.File(role)
	for _, q := range list {
		signers, err := Signers(f, q.keys, q.RoleKeys)
		if err != nil {
			return nil, false, err
		}
		lacks := demand{keys: q.keys}
		for _, id := range q.KeyIDs {
			key, ok := q.keys[id]
			material, err := KeyIdentity(key)
			if !ok || err != nil || len(only) > 0 && !slices.Contains(only, material) || !r.opts.Keys.Has(key) {
				continue
			}
			if signers[material] != "" {
				signed = true
			} else {
				lacks.KeyIDs = append(lacks.KeyIDs, id)
			}
		}
		if len(lacks.KeyIDs) > 0 {
			out = append(out, lacks)
		}
	}
	return out, signed, nil
}

func keyIn(list []demand, id string) metadata.Key {
	for _, d := range list {
		if k, ok := d.keys[id]; ok {
			return k
		}
	}
	return metadata.Key{}
}

// recordAll records the files that were signed here.
func (r *Repository) recordAll(v *Review, added []Approval) error {
	id := v.Proposal.ID()
	for _, a := range added {
		f := v.Proposal.File(a.Role)
		if err := r.record(a.Role, f.Version, id, f.Signed); err != nil {
			return err
		}
	}
	return nil
}

// TakeIn puts the complete ones of the proposals into the draft, as many as go
// together: of two that change one role the first by ID. What does not go with
// the others, or with the state, is reported and left.
func (r *Repository) TakeIn(ctx context.Context, d *Draft, open []*Review) (taken []*Review, err error) {
	for _, v := range open {
		if !v.Complete() {
			continue
		}
		on, err := r.reviewOn(ctx, d, []*Proposal{v.Proposal})
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r.report("the proposal %s is not taken in: %v", v.Proposal.ShortID(), err)
			continue
		}
		if !on.Complete() || !d.stillComplete(ctx, on) {
			r.report("the proposal %s is not taken in: it does not go together with what was taken in before it", v.Proposal.ShortID())
			continue
		}
		forced := d.forced
		*d = *on.draft
		d.forced = forced
		taken = append(taken, on)
	}
	return taken, nil
}

// stillComplete reports whether the files that were taken in before have all
// signatures also with what v changes.
func (d *Draft) stillComplete(ctx context.Context, v *Review) bool {
	for role, f := range d.finished {
		list, err := quorumsOf(ctx, v.draft, role)
		if err != nil {
			return false
		}
		for _, q := range list {
			if VerifyThreshold(role, f, q.keys, q.RoleKeys) != nil {
				return false
			}
		}
	}
	return true
}
