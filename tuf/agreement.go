package tuf

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// SetAgreement lets the delegation to role demand an agreement of several
// roles, another one than before, or none, if a is nil (docs/spec.md,
// "Agreement"). It fails with ErrImpossible if those roles could never agree.
func (d *Draft) SetAgreement(ctx context.Context, role string, a *metadata.Agreement) error {
	return d.editDelegation(ctx, role, func(t *metadata.Targets, i int) error {
		t.Delegations.Roles[i].Agreement = a
		return nil
	})
}

// Delegation returns the delegation to role as it is edited, which must not be
// changed. It fails with ErrUnknownRole.
func (d *Draft) Delegation(ctx context.Context, role string) (metadata.Delegation, error) {
	e, err := d.Edge(ctx, role)
	if err != nil {
		return metadata.Delegation{}, err
	}
	if e.Role != metadata.RoleTargets {
		parent, err := d.Edge(ctx, e.Parent)
		if err != nil {
			return metadata.Delegation{}, err
		}
		t, err := d.Open(ctx, parent)
		if err != nil {
			return metadata.Delegation{}, err
		}
		if r := find(orEmpty(t.Delegations), role); r != nil {
			return *r, nil
		}
	}
	return metadata.Delegation{}, fmt.Errorf("%w: %q has no delegation", ErrUnknownRole, role)
}

// checkAgreements refuses agreements that the role has to do with and that
// could never be reached, or mean nothing.
func checkAgreements(d *metadata.Delegations, role string) error {
	for _, r := range d.Roles {
		if r.Agreement == nil || r.Name != role && !slices.Contains(r.Agreement.Roles, role) {
			continue
		}
		if err := checkAgreement(d, r); err != nil {
			return fmt.Errorf("%w: the agreement at the role %q: %w", ErrImpossible, r.Name, err)
		}
	}
	return nil
}

func checkAgreement(d *metadata.Delegations, r metadata.Delegation) error {
	a := r.Agreement
	if a.Min < 2 || a.Min > len(a.Roles) {
		return fmt.Errorf("%d of %d roles: want 2 to all of them", a.Min, len(a.Roles))
	}
	holder := map[string]string{} // of key material
	for i, name := range a.Roles {
		if slices.Contains(a.Roles[:i], name) {
			return fmt.Errorf("%q is named twice: it counts once", name)
		}
		party := find(d, name)
		if party == nil || party.Purpose != "" || r.Purpose != "" {
			return fmt.Errorf("%q must be a role that the same delegator trusts, and not the withdrawal role", name)
		}
		if p, ok := uncovered(*party, r); ok {
			return fmt.Errorf("%q is not trusted with %s, where its agreement would be demanded", name, p)
		}
		if err := ownKeys(d, *party, holder); err != nil {
			return err
		}
	}
	return nil
}

// uncovered returns a pattern of r that party is not trusted with. Prefixes of
// hashes cannot be compared with patterns.
func uncovered(party, r metadata.Delegation) (string, bool) {
	if len(party.HashPrefixes) > 0 {
		return "", false
	}
	for _, p := range r.Paths {
		if !delegations.Covers(party.Paths, p) {
			return p, true
		}
	}
	return "", false
}

// ownKeys refuses a key that two of the roles have: who holds it would agree
// with himself.
func ownKeys(d *metadata.Delegations, party metadata.Delegation, holder map[string]string) error {
	for _, id := range party.KeyIDs {
		material, err := KeyIdentity(d.Keys[id])
		if err != nil {
			continue // verifies nothing
		}
		if other, ok := holder[material]; ok && other != party.Name {
			return fmt.Errorf("%q and %q have the key %.12s in common: whoever holds it agrees with himself", other, party.Name, id)
		}
		holder[material] = party.Name
	}
	return nil
}

// leaveAgreements takes role i, which is to be removed, out of the agreements
// of its siblings. What they demand stays within reach, or it is refused.
func leaveAgreements(d *metadata.Delegations, i int) error {
	gone := d.Roles[i]
	if gone.Agreement != nil {
		return fmt.Errorf("%w: with the role %q the demand would go that %d of %s agree: lift that first with `carnet delegate agree %s --none`",
			ErrImpossible, gone.Name, gone.Agreement.Min, strings.Join(gone.Agreement.Roles, ", "), gone.Name)
	}
	for j, r := range d.Roles {
		if r.Agreement == nil || !slices.Contains(r.Agreement.Roles, gone.Name) {
			continue
		}
		rest := r.Agreement.Without(gone.Name)
		if rest == nil {
			return fmt.Errorf("%w: at the role %q %d of %s must agree, and without %q nothing would pass: change that first with `carnet delegate agree %s`",
				ErrImpossible, r.Name, r.Agreement.Min, strings.Join(r.Agreement.Roles, ", "), gone.Name, r.Name)
		}
		d.Roles[j].Agreement = rest
	}
	return nil
}

// Pending is an entry that is recorded and does not pass yet: other roles must
// list the same.
type Pending struct {
	Path   string
	Digest digest.Digest // what was recorded
	// Passing is what passes meanwhile, because enough others agree on it; ""
	// if nothing does.
	Passing digest.Digest
	Missing []string // roles that do not list what was recorded
	More    int      // how many of Missing have to; 0 if it is not known
}

// String says what is missing at the path, in one line.
func (p Pending) String() string {
	who := strings.Join(p.Missing, ", ")
	if p.More == len(p.Missing) {
		who = strings.Join(p.Missing, " and ")
	} else if p.More > 0 {
		who = fmt.Sprintf("%d more of %s", p.More, who)
	}
	if p.Passing != "" {
		return fmt.Sprintf("recorded; %s passes until enough of %s list the same digest", p.Passing, who)
	}
	return fmt.Sprintf("recorded; passes when the same digest is listed by %s", who)
}

// Pending returns those of a's paths at which what role vouches for does not
// pass yet for want of an agreement.
func (d *Draft) Pending(ctx context.Context, role string, a Artifact) ([]Pending, error) {
	var out []Pending
	for _, path := range a.Paths() {
		s, err := d.search(ctx, path)
		if err != nil {
			return nil, err
		}
		p := Pending{Path: path, Digest: digest.NewDigestFromEncoded(digest.SHA256, a.hashAt(path))}
		if why := s.Disagreed(); why != nil {
			p.missing(why)
			out = append(out, p)
		} else if hit, ok := s.Found(); ok && hit.Target.Hashes.Digest() != p.Digest {
			p.Passing = hit.Target.Hashes.Digest()
			p.Missing = slices.DeleteFunc(slices.Clone(hit.Parties), func(name string) bool { return name == role })
			out = append(out, p)
		}
	}
	return out, nil
}

func (p *Pending) missing(why *delegations.Disagreement) {
	p.More = why.Min
	for _, v := range why.Votes {
		if v.Listed != nil && v.Listed.Target.Hashes.Digest() == p.Digest {
			p.More--
		} else {
			p.Missing = append(p.Missing, v.Role)
		}
	}
	if p.More < 1 || p.More > len(p.Missing) { // they list one digest, and differ otherwise
		p.More = 0
	}
}

// search searches for path as a verifier will.
func (d *Draft) search(ctx context.Context, path string) (*delegations.Search, error) {
	s := delegations.NewSearch(path)
	for e, ok := s.Next(); ok; e, ok = s.Next() {
		t, err := d.Open(ctx, e)
		if err != nil {
			return nil, err
		}
		if err := s.Visit(e, t); err != nil {
			return nil, err
		}
	}
	return s, nil
}
