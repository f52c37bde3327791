package tuf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// revision is a publication whose snapshot is verified, with its place in the
// publisher's history. Its role files are read when they are needed, and
// verified where they are used, along the delegations of the joined state.
type revision struct {
	id        string
	version   int64
	committed bool // a valid timestamp seals it
	pub       *Publication
	snapshot  *metadata.File
	root      *metadata.File   // under which it was verified or made
	parents   map[string]int64 // id to version, as the snapshot lists them
	roles     map[string]*metadata.File
	client    *Client // that read it as the newest, or nil
}

func newRevision(pub *Publication, snapshot, root *metadata.File, committed bool) *revision {
	rev := &revision{
		id: Identity(snapshot), version: snapshot.Version, committed: committed, pub: pub, snapshot: snapshot, root: root,
		parents: map[string]int64{}, roles: map[string]*metadata.File{},
	}
	if x := snapshot.Snapshot.Carnet; x != nil {
		for _, p := range x.Parents {
			if p.Version < rev.version { // else it is a lie, and would hide the others
				rev.parents[p.ID] = p.Version
			}
		}
	}
	return rev
}

// contains reports whether the revision is id or descends from it, as far as
// its list of parents reaches.
func (rev *revision) contains(id string) bool {
	_, ok := rev.parents[id]
	return ok || rev.id == id
}

// descends is contains, held against the files: who has the key of snapshot
// can claim any parents, but what descends from other lists no role in an
// older version.
func (rev *revision) descends(other *revision) bool {
	return rev.contains(other.id) && rev.follows(other)
}

// follows reports whether rev lists all roles of other, none in an older
// version (TUF 5.5.5), and no older root as the newest.
func (rev *revision) follows(other *revision) bool {
	if rev.madeUnder() < other.madeUnder() {
		return false
	}
	for role, was := range other.snapshot.Snapshot.Meta {
		if rev.snapshot.Snapshot.Meta[role].Version < was.Version {
			return false
		}
	}
	return true
}

// madeUnder is the version of the root that the publication was made under, as
// its snapshot says; 0 if it does not.
func (rev *revision) madeUnder() int64 {
	if x := rev.snapshot.Snapshot.Carnet; x != nil {
		return x.Root.Version
	}
	return 0
}

// knows is contains for the first digits of an identity, as tags have them.
func (rev *revision) knows(e Entry) bool {
	if strings.HasPrefix(rev.id, e.Digest) {
		return true
	}
	for id, version := range rev.parents {
		if version == e.Version && strings.HasPrefix(id, e.Digest) {
			return true
		}
	}
	return false
}

// ancestors returns the publications that both contain, the newest first.
func ancestors(a, b *revision) []metadata.Parent {
	var out []metadata.Parent
	for _, p := range parents(a, b) {
		if a.contains(p.ID) && b.contains(p.ID) {
			out = append(out, p)
		}
	}
	return out
}

// lineage returns the parents that a publication made from revs lists: revs
// and their parents, the newest first. The cut leaves no publication out that
// is newer than one kept.
func lineage(revs ...*revision) []metadata.Parent {
	out := parents(revs...)
	return out[:min(len(out), metadata.MaxAncestors)]
}

// parents returns revs and their parents, the newest first. Which version a
// publication has is believed of itself first, then of the earlier of revs.
func parents(revs ...*revision) []metadata.Parent {
	all := map[string]int64{}
	for _, rev := range revs {
		all[rev.id] = rev.version
	}
	for _, rev := range revs {
		for id, version := range rev.parents {
			if _, known := all[id]; !known {
				all[id] = version
			}
		}
	}
	out := make([]metadata.Parent, 0, len(all))
	for id, version := range all {
		out = append(out, metadata.Parent{Version: version, ID: id})
	}
	slices.SortFunc(out, func(a, b metadata.Parent) int {
		return cmp.Or(cmp.Compare(b.Version, a.Version), strings.Compare(b.ID, a.ID))
	})
	return out
}

// compareRevisions orders revisions of equal content: version, then digest.
func compareRevisions(a, b *revision) int {
	return CompareEntries(Entry{Version: a.version, Digest: a.id}, Entry{Version: b.version, Digest: b.id})
}

// errForeign says that a listed publication is none that this writer may
// join: not signed by the keys that the newest root lists, or malformed.
var errForeign = errors.New("not joined")

// readRevision reads and verifies a listed publication under the trusted root,
// or under the newest of that root's successors that the publication holds: its
// snapshot, and if it is a state its timestamp. An expired one is taken.
func (r *Repository) readRevision(ctx context.Context, root *metadata.File, e Entry) (*revision, error) {
	pub, err := r.opts.Journal.Read(ctx, e)
	if err != nil {
		return nil, err
	}
	if root, err = r.successor(ctx, root, pub); err != nil {
		return nil, err
	}
	snapshot, err := r.verified(ctx, root, pub.Snapshot)
	if err != nil {
		return nil, err
	}
	if x := snapshot.Snapshot.Carnet; x != nil && (x.Root.Version > root.Version || x.Root.Version == root.Version && x.Root != rootOf(root)) {
		return nil, fmt.Errorf("%w: it was made under another root, version %d", errForeign, x.Root.Version)
	}
	version := snapshot.Version
	if !e.Draft {
		if version, err = r.checkSeal(ctx, root, pub, snapshot); err != nil {
			return nil, err
		}
	}
	if version != e.Version {
		return nil, fmt.Errorf("%w: its tag says version %d, and it has version %d", errForeign, e.Version, version)
	}
	return newRevision(pub, snapshot, root, !e.Draft), nil
}

// successor returns the newest root that pub holds, verified as a successor of
// root, or root itself. That a manifest lists a newer one proves nothing: it is
// signed by nobody.
func (r *Repository) successor(ctx context.Context, root *metadata.File, pub *Publication) (*metadata.File, error) {
	source := &held{pub: pub, journal: r.opts.Journal}
	for n := 0; root.Version < pub.newestRoot() && n < metadata.MaxRootSteps; n++ {
		raw, err := source.Root(ctx, root.Version+1)
		if errors.Is(err, ErrNotFound) {
			return nil, fmt.Errorf("%w: it lacks root version %d", errForeign, root.Version+1)
		}
		if err != nil {
			return nil, err
		}
		next, err := NextRoot(root, raw)
		if err != nil {
			return nil, fmt.Errorf("%w: it claims root version %d: %w", errForeign, root.Version+1, err)
		}
		root = next
	}
	return root, nil
}

// verified fetches a top-level file and checks it against the root's keys.
func (r *Repository) verified(ctx context.Context, root *metadata.File, f File) (*metadata.File, error) {
	raw, err := r.opts.Journal.Fetch(ctx, f)
	if err != nil {
		return nil, err
	}
	decoded, err := metadata.Decode(f.Role, raw)
	if err == nil {
		err = VerifyThreshold(f.Role, decoded, root.Root.Keys, root.Root.Roles[f.Role])
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	}
	return decoded, nil
}

// checkSeal checks that a state's timestamp is signed and names its snapshot.
// It returns the timestamp's version, which is that of snapshot unless another
// tool made the two.
func (r *Repository) checkSeal(ctx context.Context, root *metadata.File, pub *Publication, snapshot *metadata.File) (int64, error) {
	t, err := r.verified(ctx, root, pub.Timestamp)
	if err != nil {
		return 0, err
	}
	ours := snapshot.Snapshot.Carnet != nil
	if err := checkFile(metadata.RoleSnapshot, snapshot, t.Timestamp.Snapshot); err != nil || ours && t.Version != snapshot.Version {
		return 0, fmt.Errorf("%w: timestamp version %d does not name the snapshot beside it: %w", errForeign, t.Version, err)
	}
	return t.Version, nil
}

// role returns the file of a role as rev's snapshot lists it, unverified but
// for its hash, or nil if rev has none.
func (r *Repository) role(ctx context.Context, rev *revision, role string) (*metadata.File, error) {
	if f := rev.roles[role]; f != nil {
		return f, nil
	}
	if rev.client != nil && rev.client.roles[role] != nil {
		return rev.client.roles[role], nil
	}
	want, ok := rev.snapshot.Snapshot.Meta[role]
	if !ok {
		return nil, nil
	}
	listed, ok := rev.pub.Role(role)
	if ok = ok && listed.Digest == want.Hashes.Digest(); !ok {
		listed = listedFile(role, want) // who may push can list less than there is
	}
	if listed.Digest == "" {
		return nil, fmt.Errorf("%w: it does not hold %s version %d", errForeign, role, want.Version)
	}
	raw, err := r.opts.Journal.Fetch(ctx, listed)
	if !ok && err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: it does not hold %s version %d: %w", errForeign, role, want.Version, err)
	}
	if err != nil {
		return nil, err
	}
	f, err := decodeChecked(role, raw, want)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	}
	rev.roles[role] = f
	return f, nil
}
