package tuf

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// errStartOver says that what was made cannot be joined with what is there:
// it is dropped, the newest state is read and the change made again.
var errStartOver = errors.New("what others publish meanwhile cannot be joined")

// MaxLeap is how far above its base a writer follows versions. A thief who
// leaps further locks nobody's joins out (docs/spec.md, "Join").
const MaxLeap = 10_000

// joining is a three-way merge of two revisions against their ancestor.
type joining struct {
	repo               *Repository
	root               *metadata.File
	base, ours, theirs *revision
	files              map[string]*metadata.File // the joined files, as far as decided
	differ             map[string]bool           // roles still to decide
	result             *joined
}

// joined is what a join came to.
type joined struct {
	files        map[string]*metadata.File // that differ from ours
	hints        map[string][]string
	equalsOurs   bool // theirs added nothing
	equalsTheirs bool // ours is contained in theirs
}

// join merges theirs into ours. It returns errStartOver where joining is not
// allowed, a *ConflictError where both changed one thing, ErrNoKey where a
// role's key is needed and not at hand.
func (r *Repository) join(ctx context.Context, root *metadata.File, base, ours, theirs *revision) (*joined, error) {
	j := &joining{
		repo: r, root: root, base: base, ours: ours, theirs: theirs,
		files: map[string]*metadata.File{}, differ: map[string]bool{},
		result: &joined{files: map[string]*metadata.File{}, hints: map[string][]string{}, equalsOurs: true, equalsTheirs: true},
	}
	for _, rev := range []*revision{ours, theirs} {
		for role := range rev.snapshot.Snapshot.Meta {
			j.differ[role] = digestOf(ours, role) != digestOf(theirs, role)
		}
	}
	for role, d := range j.differ {
		if !d {
			delete(j.differ, role)
		}
	}
	if err := j.walk(ctx); err != nil {
		return nil, err
	}
	return j.result, j.unreached(ctx)
}

func digestOf(rev *revision, role string) string {
	return string(rev.snapshot.Snapshot.Meta[role].Hashes.Digest())
}

// walk decides the roles that differ, delegators first, so that each is
// verified by the keys that the joined state trusts.
func (j *joining) walk(ctx context.Context) error {
	if len(j.differ) == 0 {
		return nil
	}
	open := func(e delegations.Edge) (*metadata.Targets, error) {
		if e.Role == metadata.RoleTargets {
			e.Keys, e.RoleKeys = j.root.Root.Keys, j.root.Root.Roles[metadata.RoleTargets]
		}
		f, err := j.file(ctx, e)
		if err != nil {
			return nil, err
		}
		if f == nil {
			return &metadata.Targets{}, nil // delegated and nowhere listed: it has nothing to say
		}
		return f.Targets, nil
	}
	err := delegations.Walk(open, func(e delegations.Edge, d metadata.Delegation) error {
		if len(j.differ) == 0 {
			return errFound
		}
		if !j.differ[e.Role] {
			return nil
		}
		j.result.hints[e.Role] = d.Paths
		_, err := j.file(ctx, e)
		return err
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}

func (j *joining) file(ctx context.Context, e delegations.Edge) (*metadata.File, error) {
	if f, ok := j.files[e.Role]; ok {
		return f, nil
	}
	if !j.differ[e.Role] {
		return j.repo.role(ctx, j.ours, e.Role)
	}
	f, err := j.decide(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("role %q: %w", e.Role, err)
	}
	j.files[e.Role] = f
	delete(j.differ, e.Role)
	if f != nil && digestOfFile(f) != digestOf(j.ours, e.Role) {
		j.result.files[e.Role] = f
	}
	return f, nil
}

func digestOfFile(f *metadata.File) string { return string(fileOf("", f).Digest) }

// versions holds one role's file as the three revisions have it.
type versions struct{ base, ours, theirs *metadata.File }

func (j *joining) load(ctx context.Context, role string) (v versions, err error) {
	for _, p := range []struct {
		to   **metadata.File
		from *revision
	}{{&v.base, j.base}, {&v.ours, j.ours}, {&v.theirs, j.theirs}} {
		if *p.to, err = j.repo.role(ctx, p.from, role); err != nil {
			return v, err
		}
	}
	if t := v.theirs; t != nil && t.Version > maxHonest && !j.theirs.committed && (v.ours == nil || v.ours.Version <= maxHonest) {
		return v, fmt.Errorf("%w: it leapt to version %d of the role %q", errForeign, t.Version, role)
	}
	return v, nil
}

// after is the version after a and b.
func after(role string, a, b *metadata.File) (int64, error) {
	v := max(a.Version, b.Version)
	if v == math.MaxInt64 {
		return 0, tooHigh(role)
	}
	return v + 1, nil
}

// decide picks or makes the joined file of the role at the end of e.
func (j *joining) decide(ctx context.Context, e delegations.Edge) (*metadata.File, error) {
	v, err := j.load(ctx, e.Role)
	if err != nil {
		return nil, err
	}
	valid := func(f *metadata.File) bool {
		return f != nil && VerifyThreshold(e.Role, f, e.Keys, e.RoleKeys) == nil && !takesBack(e, v.base, f)
	}
	theirsChanged, oursChanged := changed(v.base, v.theirs), changed(v.base, v.ours)
	if theirsChanged && !valid(v.theirs) {
		// Introduced by a key that the joined state does not trust, or by one
		// that takes back what the role gave up: dropped, never signed again.
		j.repo.report("dropped what a key that is no longer trusted wrote to the role %q in %s", e.Role, short(j.theirs))
		j.result.equalsTheirs = false
		return j.atLeast(ctx, e, v.ours, v.theirs)
	}
	if oursChanged && !valid(v.ours) && v.ours != nil {
		return nil, &ConflictError{Role: e.Role, What: "the keys that may sign it"}
	}
	switch {
	case isAgain(v, valid):
		// Signed again, by a new key perhaps: nobody else has to do that too.
		j.result.equalsOurs = false
		return v.theirs, nil
	case v.theirs == nil || !theirsChanged:
		// Ours may say the same and be signed again, to expire later.
		j.result.equalsTheirs = j.result.equalsTheirs && !oursChanged && !isAgain(versions{ours: v.theirs, theirs: v.ours}, valid)
		return j.atLeast(ctx, e, v.ours, v.theirs)
	case v.ours == nil || !oursChanged:
		return j.take(ctx, e, v)
	}
	return j.merge(ctx, e, v)
}

// isAgain reports whether theirs says what ours says, and stands as it is
// where ours does not.
func isAgain(v versions, valid func(*metadata.File) bool) bool {
	return v.ours != nil && v.theirs != nil && v.theirs.Version >= v.ours.Version && v.ours.Targets.SameContent(v.theirs.Targets) &&
		valid(v.theirs) && (v.theirs.Version > v.ours.Version || !valid(v.ours))
}

// changed reports whether f says something else than base.
func changed(base, f *metadata.File) bool {
	if base == nil || f == nil {
		return f != nil
	}
	return !base.Targets.SameContent(f.Targets)
}

// merge joins a role that both sides changed.
func (j *joining) merge(ctx context.Context, e delegations.Edge, v versions) (*metadata.File, error) {
	if e.RoleKeys.Threshold > 1 && !v.ours.Targets.SameContent(v.theirs.Targets) {
		return nil, errStartOver
	}
	base := &metadata.Targets{}
	if v.base != nil {
		base = v.base.Targets
	}
	m, err := mergeTargets(e, base, v.ours.Targets, v.theirs.Targets)
	if err != nil {
		return nil, err
	}
	isOurs, isTheirs := m.SameContent(v.ours.Targets), m.SameContent(v.theirs.Targets)
	j.result.equalsOurs = j.result.equalsOurs && isOurs
	j.result.equalsTheirs = j.result.equalsTheirs && isTheirs
	switch {
	case isTheirs && (!isOurs || v.theirs.Version > v.ours.Version):
		return j.take(ctx, e, v)
	case isOurs:
		return j.atLeast(ctx, e, v.ours, v.theirs)
	}
	version, err := after(e.Role, v.ours, v.theirs)
	if err != nil {
		return nil, err
	}
	return j.repo.signRole(ctx, j.root.Root, e, m, version)
}

// take returns theirs, signed again if ours has a higher version: it was
// signed again, or changed there and back.
func (j *joining) take(ctx context.Context, e delegations.Edge, v versions) (*metadata.File, error) {
	f, err := j.atLeast(ctx, e, v.theirs, v.ours)
	j.result.equalsOurs = false
	j.result.equalsTheirs = j.result.equalsTheirs && f == v.theirs
	return f, err
}

// atLeast returns ours, signed again if its version is below that of theirs:
// no reader of a committed state may meet an older version afterwards.
func (j *joining) atLeast(ctx context.Context, e delegations.Edge, ours, theirs *metadata.File) (*metadata.File, error) {
	if ours == nil || theirs == nil || ours.Version >= theirs.Version {
		return ours, nil
	}
	version, err := after(e.Role, ours, theirs)
	if err != nil {
		return nil, err
	}
	return j.repo.signRole(ctx, j.root.Root, e, ours.Targets, version)
}

// unreached decides the roles that differ and that no delegation leads to any
// more: nobody reads them, but snapshot may not go back (TUF 5.5.5).
func (j *joining) unreached(ctx context.Context) error {
	for role := range j.differ {
		v, err := j.load(ctx, role)
		if err != nil {
			return err
		}
		if v.ours == nil || v.theirs != nil && v.theirs.Version > v.ours.Version {
			j.result.files[role] = v.theirs
		}
		if v.ours == nil {
			j.result.equalsOurs = false
		}
		if v.theirs == nil {
			j.result.equalsTheirs = false
		}
	}
	return nil
}

func short(rev *revision) string { return fmt.Sprintf("publication %d.%.12s", rev.version, rev.id) }
