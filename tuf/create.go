package tuf

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// RoleWithdrawals is the name that new publishers give the withdrawal role.
// What makes it one is its purpose, not its name.
const RoleWithdrawals = "revocations"

// Spec says what a new publisher is to be.
type Spec struct {
	Name string // how the publisher calls itself, for people
	// Root, Targets, Withdrawals, Snapshot, Timestamp are the keys of the roles.
	Root, Targets, Withdrawals, Snapshot, Timestamp []metadata.Key
	RootThreshold                                   int // from 1
	// Expiry is how long files live, by top-level role and [ExpiryDelegated].
	Expiry map[string]time.Duration
}

// ErrExists says that a trust repository holds a publisher already.
var ErrExists = errors.New("the repository holds a publisher already")

// Create makes a publisher: root, an empty targets that delegates to the
// withdrawal role, snapshot and timestamp, as the repository's first
// publication. It returns the root file, which verifiers pin. Opts.Root is
// not used.
func Create(ctx context.Context, opts RepositoryOptions, spec Spec) (root []byte, res *Result, err error) {
	r := NewRepository(opts)
	if l, ok := opts.Journal.(Locker); ok {
		unlock, err := l.Lock(ctx)
		if err != nil {
			return nil, nil, err
		}
		defer func() { err = errors.Join(err, unlock()) }()
	}
	entries, err := opts.Journal.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !e.Draft {
			return nil, nil, fmt.Errorf("%w: %s has %s", ErrExists, opts.Journal, e.Tag)
		}
	}
	return r.create(ctx, spec)
}

func (r *Repository) create(ctx context.Context, spec Spec) ([]byte, *Result, error) {
	root, err := r.firstRoot(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	rev, err := r.first(ctx, root, spec)
	if err != nil {
		return nil, nil, err
	}
	// The tag latest first names the draft. Where tags cannot be moved it stays
	// there, which tells readers for ever to look at the list of states.
	if _, err := r.opts.Journal.PushDraft(ctx, rev.pub); err != nil {
		return nil, nil, err
	}
	if err := r.opts.Journal.Advance(ctx, rev.pub); err != nil {
		return nil, nil, err
	}
	pub, err := r.seal(ctx, root, rev)
	if err != nil {
		return nil, nil, err
	}
	// The empty history stands in for what the writer started from.
	w := &writing{repo: r, root: root, base: rev}
	timestamp, err := r.accept(ctx, rev, pub)
	if err != nil {
		return nil, nil, err
	}
	e, err := r.opts.Journal.Commit(ctx, pub)
	if err != nil {
		return nil, nil, err
	}
	if err := r.alone(ctx, rev, e); err != nil {
		return nil, nil, err
	}
	if err := w.remember(rev, timestamp); err != nil {
		return root.Raw, nil, err
	}
	r.advance(ctx, root, pub, e)
	res := w.result(pub, timestamp, true)
	res.Tag = e.Tag
	return root.Raw, res, nil
}

// alone makes sure that nobody else made a publisher here at the same time. Who
// sees another one takes the own state away again; of two at least one does.
func (r *Repository) alone(ctx context.Context, rev *revision, e Entry) error {
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return err
	}
	for _, other := range states(entries) {
		if rev.knows(other) {
			continue
		}
		if _, err := r.opts.Journal.Read(ctx, other); err != nil {
			continue // garbage is no publisher
		}
		err := fmt.Errorf("%w: somebody made one in %s at the same time, %s", ErrExists, r.opts.Journal, other.Tag)
		return errors.Join(err, r.opts.Journal.Delete(ctx, e))
	}
	return nil
}

func (r *Repository) firstRoot(ctx context.Context, spec Spec) (*metadata.File, error) {
	var id [16]byte
	if _, err := io.ReadFull(r.opts.Rand, id[:]); err != nil {
		return nil, err
	}
	root := &metadata.Root{
		ConsistentSnapshot: true, Keys: metadata.Keys{}, Roles: map[string]metadata.RoleKeys{},
		Carnet: &metadata.RootExtension{ID: hex.EncodeToString(id[:]), Name: spec.Name, Expiry: spec.Expiry},
	}
	for role, keys := range map[string][]metadata.Key{
		metadata.RoleRoot: spec.Root, metadata.RoleTargets: spec.Targets, metadata.RoleSnapshot: spec.Snapshot, metadata.RoleTimestamp: spec.Timestamp,
	} {
		root.Roles[role] = metadata.RoleKeys{KeyIDs: addKeys(root.Keys, keys), Threshold: 1}
	}
	rk := root.Roles[metadata.RoleRoot]
	rk.Threshold = max(spec.RootThreshold, 1)
	root.Roles[metadata.RoleRoot] = rk
	root.Carnet.Refreshers = root.Roles[metadata.RoleTimestamp].KeyIDs
	root.Version, root.Expires = 1, r.expires(root, metadata.RoleRoot)
	return r.sign(ctx, metadata.RoleRoot, root.Canonical(), demand{root.Keys, rk})
}

// addKeys adds keys to all and returns their IDs, each once.
func addKeys(all metadata.Keys, keys []metadata.Key) []string {
	var ids []string
	listed := map[string]bool{}
	for _, k := range keys {
		id := k.ID()
		if all[id] = k; !listed[id] {
			ids = append(ids, id)
		}
		listed[id] = true
	}
	return ids
}

// first signs everything below root.
func (r *Repository) first(ctx context.Context, root *metadata.File, spec Spec) (*revision, error) {
	targets := &metadata.Targets{Targets: map[string]metadata.Target{}, Delegations: &metadata.Delegations{Keys: metadata.Keys{}}}
	everything, err := metadata.Patterns("**")
	if err != nil {
		return nil, err
	}
	targets.Delegations.Roles = []metadata.Delegation{{
		Name: RoleWithdrawals, Purpose: metadata.PurposeWithdrawal, Paths: everything,
		RoleKeys: metadata.RoleKeys{KeyIDs: addKeys(targets.Delegations.Keys, spec.Withdrawals), Threshold: 1},
	}}
	empty := &metadata.Snapshot{Meta: map[string]metadata.MetaFile{}}
	n := next{
		root: root, version: 1, files: map[string]*metadata.File{}, hints: map[string][]string{RoleWithdrawals: everything},
		keep: &revision{snapshot: &metadata.File{Snapshot: empty}, pub: &Publication{Roots: []File{fileOf(metadata.RoleRoot, root)}}},
	}
	top := delegations.Edge{Parent: metadata.RoleRoot, Role: metadata.RoleTargets}
	if n.files[metadata.RoleTargets], err = r.signRole(ctx, root.Root, top, targets, 1); err != nil {
		return nil, err
	}
	e, _ := delegations.Withdrawal(targets)
	if n.files[RoleWithdrawals], err = r.signRole(ctx, root.Root, e, &metadata.Targets{}, 1); err != nil {
		return nil, err
	}
	return r.assemble(ctx, n)
}
