package tuf

import (
	"context"
	"fmt"
	"math"

	"github.com/carnet-project/carnet/metadata"
)

// signRoot signs the root that d edited, by the keys of the present root and
// its own (TUF 5.3.4), or returns the present root.
func (r *Repository) signRoot(ctx context.Context, d *Draft) (*metadata.File, error) {
	if !d.newRoot() {
		return d.state.Root(), nil
	}
	f := d.finished[metadata.RoleRoot]
	if f == nil {
		var err error
		if f, err = r.signOnce(ctx, r.rootFile(d)); err != nil {
			return nil, err
		}
	}
	return NextRoot(d.state.Root(), f.Raw)
}

// rootFile makes the file that the edited root becomes.
func (r *Repository) rootFile(d *Draft) unsigned {
	was := d.state.Root()
	root := *d.root
	root.Version, root.Expires = was.Version+1, r.expires(&root, metadata.RoleRoot)
	return unsigned{
		role: metadata.RoleRoot, version: root.Version, expires: root.Expires, signed: root.Canonical(), root: &root,
		quorums: rootQuorums(was, &root),
	}
}

// rootQuorums are those of a root and of its predecessor, which comes first.
func rootQuorums(was *metadata.File, root *metadata.Root) []quorum {
	by := func(version int64) string { return fmt.Sprintf("root version %d", version) }
	return []quorum{{by(was.Version), topDemand(was.Root, metadata.RoleRoot)}, {by(was.Version + 1), topDemand(root, metadata.RoleRoot)}}
}

// addRoot lists a new root in pub, and packs those that become too many.
func (r *Repository) addRoot(ctx context.Context, pub *Publication, root *metadata.File) error {
	if n := len(pub.Roots); n > 0 && pub.Roots[n-1].Version >= root.Version {
		return nil
	}
	pub.Roots = append(pub.Roots, fileOf(metadata.RoleRoot, root))
	return PackRoots(ctx, pub, r.opts.Journal.Fetch)
}

// rootOf names a root in a snapshot.
func rootOf(root *metadata.File) metadata.Parent {
	return metadata.Parent{Version: root.Version, ID: fileOf(metadata.RoleRoot, root).Digest.Encoded()}
}

const (
	// maxHonest is a version that no honest publisher comes to: with one
	// publication a second, not in 34,000 years.
	maxHonest = 1 << 40
	// maxVersion is the highest integer that every JSON reader knows exactly.
	maxVersion = 1 << 53
)

// leapt reports whether versions start again: a thief of the snapshot key
// leapt to a version from which soon nobody could go on, and root lists that
// key no longer, so that clients forget what it signed (TUF 5.3.11).
func leapt(root *metadata.File, base *revision) bool {
	return base.version > maxHonest && VerifyThreshold(metadata.RoleSnapshot, base.snapshot, root.Root.Keys, root.Root.Roles[metadata.RoleSnapshot]) != nil
}

// restart returns the version to start again from: above every listed state
// whose snapshot the new root's keys signed, since clients that saw it keep it.
func (r *Repository) restart(ctx context.Context, root *metadata.File) (int64, error) {
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, e := range states(entries) {
		if e.Version > maxHonest {
			continue
		}
		if _, err := r.readRevision(ctx, root, e); err == nil {
			return e.Version + 1, nil
		}
	}
	return 1, nil
}

// nextVersion is the version of role's next file.
func nextVersion(base *revision, role string, restart bool) (int64, error) {
	version := base.snapshot.Snapshot.Meta[role].Version
	switch {
	case restart && version > maxHonest:
		return 1, nil
	case version == math.MaxInt64:
		return 0, tooHigh(role)
	}
	return version + 1, nil
}

func tooHigh(role string) error {
	if metadata.IsTopLevel(role) {
		return fmt.Errorf("%w: %s has the highest version that there is, somebody leapt to it: replace the keys of snapshot and timestamp, and those of targets if that leapt, in one new root", ErrImpossible, role)
	}
	return fmt.Errorf("%w: the role %q has the highest version that there is, somebody leapt to it: remove it and delegate to a role of another name", ErrImpossible, role)
}

// Roots returns the verified roots of s by version, from the pinned one to the
// newest. Old states are verified by the root that they name.
func (r *Repository) Roots(ctx context.Context, s *State) (map[int64]*metadata.File, error) {
	f, err := metadata.Decode(metadata.RoleRoot, r.opts.Root)
	if err != nil {
		return nil, fmt.Errorf("pinned root: %w", err)
	}
	out := map[int64]*metadata.File{f.Version: f, s.Root().Version: s.Root()}
	pub := s.rev.pub.clone()
	if err := r.mendRoots(ctx, pub, s.Root()); err != nil {
		return nil, err
	}
	source := &held{pub: pub, journal: r.opts.Journal}
	for f.Version < s.Root().Version-1 {
		raw, err := source.Root(ctx, f.Version+1)
		if err != nil {
			return nil, err
		}
		if f, err = NextRoot(f, raw); err != nil {
			return nil, err
		}
		out[f.Version] = f
	}
	return out, nil
}
