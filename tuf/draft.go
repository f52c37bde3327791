package tuf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// ErrUnknownRole says that no delegation leads to a role.
var ErrUnknownRole = errors.New("no such role")

// ErrImpossible says that a change contradicts what stands or what roles may
// be; nothing was changed.
var ErrImpossible = errors.New("the change is not possible")

// Draft is a change in the making: a verified state and what shall be
// different in the next publication. Nothing is signed or sent before the
// function that edits it returned.
type Draft struct {
	state  *State
	keys   Keyring
	edited map[string]*metadata.Targets
	// finished are files of proposals: they are published as they are.
	finished map[string]*metadata.File
	root     *metadata.Root  // edited, or nil
	renewed  map[string]bool // roles whose file is signed again though nothing in it is different
	forced   bool            // publish even if nothing is different
}

func newDraft(s *State, keys Keyring) *Draft {
	return &Draft{state: s, keys: keys, edited: map[string]*metadata.Targets{}, finished: map[string]*metadata.File{}, renewed: map[string]bool{}}
}

// Now returns the time of the publication.
func (d *Draft) Now() time.Time { return d.state.now }

// Root returns the root with the draft's changes. It must not be changed.
func (d *Draft) Root() *metadata.Root {
	if d.root != nil {
		return d.root
	}
	return d.state.Root().Root
}

// State returns the state that the draft started from.
func (d *Draft) State() *State { return d.state }

// changes reports whether there is anything to publish.
func (d *Draft) changes() bool {
	return d.forced || len(d.edited) > 0 || d.newRoot()
}

// Force publishes even if nothing is different: new snapshot and timestamp.
func (d *Draft) Force() { d.forced = true }

// Edited reports whether the role's file will be signed again.
func (d *Draft) Edited(role string) bool {
	return d.edited[role] != nil || role == metadata.RoleRoot && d.root != nil
}

// Open returns the file of the role at the end of e with the draft's changes.
// It must not be changed.
func (d *Draft) Open(ctx context.Context, e delegations.Edge) (*metadata.Targets, error) {
	if t := d.edited[e.Role]; t != nil {
		return t, nil
	}
	return d.state.client.Open(ctx, e)
}

func (d *Draft) open(ctx context.Context) delegations.Open {
	return func(e delegations.Edge) (*metadata.Targets, error) { return d.Open(ctx, e) }
}

// Walk calls visit for every delegated role, delegators first. A role whose
// file verifiers refuse is visited and says nothing: one role that is broken,
// or in bad hands, must not stop what is done to others.
func (d *Draft) Walk(ctx context.Context, visit func(delegations.Edge) error) error {
	return walk(d.open(ctx), visit)
}

func walk(open delegations.Open, visit func(delegations.Edge) error) error {
	return delegations.Walk(func(e delegations.Edge) (*metadata.Targets, error) {
		t, err := open(e)
		if e.Role != metadata.RoleTargets && (errors.Is(err, ErrInvalid) || errors.Is(err, ErrThreshold)) {
			return &metadata.Targets{}, nil
		}
		return t, err
	}, func(e delegations.Edge, _ metadata.Delegation) error { return visit(e) })
}

// Candidates returns the roles that may vouch for path, in order of search.
func (d *Draft) Candidates(ctx context.Context, path string) ([]delegations.Edge, error) {
	return delegations.Candidates(path, d.open(ctx))
}

// Edge finds the delegation that leads to role, the nearest to targets if
// there are several. It fails with ErrUnknownRole.
func (d *Draft) Edge(ctx context.Context, role string) (delegations.Edge, error) {
	return findEdge(role, d.open(ctx))
}

var errFound = errors.New("found")

func findEdge(role string, open delegations.Open) (delegations.Edge, error) {
	if role == metadata.RoleTargets {
		return delegations.Edge{Parent: metadata.RoleRoot, Role: role, Chain: []string{role}}, nil
	}
	var found delegations.Edge
	err := walk(open, func(e delegations.Edge) error {
		if e.Role != role {
			return nil
		}
		found = e
		return errFound
	})
	switch {
	case errors.Is(err, errFound):
		return found, nil
	case err != nil:
		return found, err
	}
	return found, fmt.Errorf("%w: %q", ErrUnknownRole, role)
}

// Edit returns the file of a role to be changed; it is signed again.
func (d *Draft) Edit(ctx context.Context, role string) (*metadata.Targets, error) {
	if t := d.edited[role]; t != nil {
		return t, nil
	}
	e, err := d.Edge(ctx, role)
	if err != nil {
		return nil, err
	}
	return d.edit(ctx, e)
}

func (d *Draft) edit(ctx context.Context, e delegations.Edge) (*metadata.Targets, error) {
	t, err := d.Open(ctx, e)
	if err != nil {
		return nil, err
	}
	if t.Revoked {
		return nil, fmt.Errorf("%w: the role %q gave itself up: delegate to a new role", ErrImpossible, e.Role)
	}
	if d.edited[e.Role] == nil {
		d.edited[e.Role] = cloneTargets(t)
	}
	return d.edited[e.Role], nil
}

// SetTarget lets the role at the end of e vouch for path. An entry that says
// the same already is no change.
func (d *Draft) SetTarget(ctx context.Context, e delegations.Edge, path string, target metadata.Target) error {
	t, err := d.Open(ctx, e)
	if err != nil {
		return err
	}
	if old, ok := t.Targets[path]; ok && old.Equal(target) {
		return nil
	}
	if t, err = d.edit(ctx, e); err != nil {
		return err
	}
	t.Targets[path] = target
	return nil
}

// DropTarget takes the entry at path out of the role at the end of e.
func (d *Draft) DropTarget(ctx context.Context, e delegations.Edge, path string) error {
	t, err := d.Open(ctx, e)
	if err != nil {
		return err
	}
	if _, ok := t.Targets[path]; !ok {
		return nil
	}
	if t, err = d.edit(ctx, e); err != nil {
		return err
	}
	delete(t.Targets, path)
	return nil
}

// Delegate lets parent trust a new role. The role's first file is empty and
// must be signed in the same publication. A name that the snapshot still
// lists, of a role that was removed, may be used again: its file goes on from
// that version. A delegation that stands so already is no change.
func (d *Draft) Delegate(ctx context.Context, parent string, r metadata.Delegation, keys metadata.Keys) error {
	if e, err := d.Edge(ctx, r.Name); err == nil {
		return d.standsSo(ctx, e, parent, r, keys)
	} else if !errors.Is(err, ErrUnknownRole) {
		return err
	}
	t, err := d.Edit(ctx, parent)
	if err != nil {
		return err
	}
	if t.Delegations == nil {
		t.Delegations = &metadata.Delegations{Keys: metadata.Keys{}}
	}
	if t.Delegations.Succinct != nil {
		return fmt.Errorf("%w: the role %q delegates to hash bins and can have no other delegation", ErrImpossible, parent)
	}
	t.Delegations.Roles = append(t.Delegations.Roles, r)
	maps.Copy(t.Delegations.Keys, keys)
	d.edited[r.Name] = &metadata.Targets{Targets: map[string]metadata.Target{}}
	return checkAgreements(t.Delegations, r.Name)
}

// standsSo refuses the delegation of a role that exists, unless parent delegates
// to it just so, by the keys that are meant, and the role did not give itself
// up.
func (d *Draft) standsSo(ctx context.Context, e delegations.Edge, parent string, r metadata.Delegation, keys metadata.Keys) error {
	exists := fmt.Errorf("%w: the role %q exists: role names are unique in a publisher", ErrImpossible, r.Name)
	if e.Parent != parent {
		return exists
	}
	from, err := d.Edge(ctx, parent)
	if err != nil {
		return err
	}
	t, err := d.Open(ctx, from)
	if err != nil {
		return err
	}
	if was := find(orEmpty(t.Delegations), r.Name); was == nil || !sayAlike(*was, r) || !listAlike(t.Delegations.Keys, keys) {
		return exists
	}
	if f, err := d.Open(ctx, e); err != nil || f.Revoked {
		return exists
	}
	return nil
}

// sayAlike compares delegations whose keys and patterns may stand in any order.
func sayAlike(a, b metadata.Delegation) bool {
	for _, d := range []*metadata.Delegation{&a, &b} {
		d.KeyIDs, d.Paths = slices.Sorted(slices.Values(d.KeyIDs)), slices.Sorted(slices.Values(d.Paths))
	}
	return a.Equal(b)
}

// listAlike reports whether all keys are listed as they are meant.
func listAlike(listed, keys metadata.Keys) bool {
	for id, k := range keys {
		if l, ok := listed[id]; !ok || !listedAlike(l, k) {
			return false
		}
	}
	return true
}

// Undelegate takes a delegation away. The role's file stays listed in
// snapshot, as TUF 5.5.5 demands, but nothing leads to it. A role that was
// delegated once and is no more is no change.
func (d *Draft) Undelegate(ctx context.Context, role string) error {
	if gone, err := d.gone(ctx, role); gone || err != nil {
		return err
	}
	return d.editDelegation(ctx, role, func(t *metadata.Targets, i int) error {
		if t.Delegations.Roles[i].Purpose == metadata.PurposeWithdrawal {
			return fmt.Errorf("%w: %q is the withdrawal role: without it nothing can be withdrawn and what was would pass again", ErrImpossible, role)
		}
		if err := leaveAgreements(t.Delegations, i); err != nil {
			return err
		}
		t.Delegations.Roles = slices.Delete(t.Delegations.Roles, i, i+1)
		dropUnusedKeys(t.Delegations)
		delete(d.edited, role)
		return nil
	})
}

// gone reports whether snapshot lists a role that no delegation leads to. Where
// a role's file cannot be read, or is refused, that cannot be told.
func (d *Draft) gone(ctx context.Context, role string) (bool, error) {
	if _, listed := d.state.Snapshot().Snapshot.Meta[role]; !listed || metadata.IsTopLevel(role) {
		return false, nil
	}
	found := false
	err := delegations.Walk(d.open(ctx), func(e delegations.Edge, _ metadata.Delegation) error {
		found = found || e.Role == role
		return nil
	})
	if errors.Is(err, ErrInvalid) || errors.Is(err, ErrThreshold) {
		return false, nil
	}
	return err == nil && !found, err
}

// SetKeys replaces the keys and the threshold of a role. The role's file is
// signed again in the same publication, or stands if enough of its signatures
// still count; keys that it has already are no change. For a top-level role a new root says so.
func (d *Draft) SetKeys(ctx context.Context, role string, keys metadata.Keys, threshold int) error {
	if n := distinct(keys); threshold < 1 || threshold > n {
		return fmt.Errorf("%w: %q with a threshold of %d and %d different keys: want 1 to %d", ErrImpossible, role, threshold, n, n)
	}
	if metadata.IsTopLevel(role) {
		return d.setTopKeys(ctx, role, keys, threshold)
	}
	if now, rk, err := d.KeysOf(ctx, role); err != nil || rk.Threshold == threshold && maps.EqualFunc(now, keys, listedAlike) {
		return err
	}
	if _, err := d.Edit(ctx, role); err != nil {
		return err
	}
	return d.editDelegation(ctx, role, func(t *metadata.Targets, i int) error {
		t.Delegations.Roles[i].RoleKeys = metadata.RoleKeys{KeyIDs: slices.Sorted(maps.Keys(keys)), Threshold: threshold}
		maps.Copy(t.Delegations.Keys, keys)
		dropUnusedKeys(t.Delegations)
		return nil
	})
}

func listedAlike(a, b metadata.Key) bool { return bytes.Equal(a.JSON(), b.JSON()) }

func (d *Draft) editDelegation(ctx context.Context, role string, edit func(*metadata.Targets, int) error) error {
	e, err := d.Edge(ctx, role)
	if err != nil {
		return err
	}
	t, err := d.Edit(ctx, e.Parent)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(t.Delegations.Roles, func(r metadata.Delegation) bool { return r.Name == role })
	if i < 0 {
		return fmt.Errorf("%w: %q is a hash bin", ErrUnknownRole, role)
	}
	if err := edit(t, i); err != nil {
		return err
	}
	return checkAgreements(t.Delegations, role)
}

func dropUnusedKeys(d *metadata.Delegations) {
	used := map[string]bool{}
	for _, r := range d.Roles {
		for _, id := range r.KeyIDs {
			used[id] = true
		}
	}
	maps.DeleteFunc(d.Keys, func(id string, _ metadata.Key) bool { return !used[id] })
}

// cloneTargets copies all that an edit may change.
func cloneTargets(t *metadata.Targets) *metadata.Targets {
	out := *t
	out.Targets = maps.Clone(t.Targets)
	if out.Targets == nil {
		out.Targets = map[string]metadata.Target{}
	}
	if t.Delegations != nil {
		d := *t.Delegations
		d.Keys, d.Roles = maps.Clone(d.Keys), slices.Clone(d.Roles)
		out.Delegations = &d
	}
	return &out
}
