package tuf

import (
	"context"
	"errors"
	"fmt"

	"github.com/carnet-project/carnet/metadata"
)

// mend makes a revision's publication hold what its signed files say. Which
// files a manifest lists is signed by nobody: whoever may push can list fewer
// or others beside the same snapshot, and what the next publication does not
// list is lost with the old ones. What cannot be had is told.
func (r *Repository) mend(ctx context.Context, rev *revision) error {
	pub := rev.pub.clone()
	for _, f := range rev.pub.Roles {
		if _, listed := rev.snapshot.Snapshot.Meta[f.Role]; !listed {
			pub.DropRole(f.Role)
		}
	}
	for role, want := range rev.snapshot.Snapshot.Meta {
		listed, ok := pub.Role(role)
		if ok && listed.Digest == want.Hashes.Digest() || want.Hashes.Digest() == "" {
			continue
		}
		raw, err := r.bytesListed(ctx, role, want)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err != nil {
			r.report("the newest state lists %s version %d, which is not to be had: %v", role, want.Version, err)
			continue
		}
		f := NewFile(role, want.Version, raw)
		f.Patterns = listed.Patterns
		pub.SetRole(f)
	}
	if err := r.mendRoots(ctx, pub, rev.root); err != nil {
		return err
	}
	rev.pub = pub
	return nil
}

// bytesListed fetches a role's file by what snapshot says of it.
func (r *Repository) bytesListed(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	raw, err := r.opts.Journal.Fetch(ctx, listedFile(role, want))
	if err == nil {
		return raw, checkBytes(role, raw, want)
	}
	for _, s := range r.opts.Sources {
		if raw, serr := s.File(ctx, role, want); serr == nil && checkBytes(role, raw, want) == nil {
			return raw, nil
		}
	}
	return nil, err
}

// listedFile is a role's file as snapshot describes it.
func listedFile(role string, want metadata.MetaFile) File {
	return File{Role: role, Version: want.Version, Length: want.Length, Digest: want.Hashes.Digest()}
}

// mendRoots gives pub the roots from the pinned one to newest, of which who
// pins an old one needs every single one. If pub lists others, those of the
// listed states are looked at.
func (r *Repository) mendRoots(ctx context.Context, pub *Publication, newest *metadata.File) error {
	cause := r.checkRoots(ctx, pub, newest)
	if cause == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	entries, err := r.opts.Journal.List(ctx)
	if err != nil {
		return err
	}
	list := states(entries)
	for _, e := range list[:min(len(list), maxBehind)] {
		other, err := r.opts.Journal.Read(ctx, e)
		if err != nil {
			continue
		}
		other = withRoots(other, pub, newest)
		if r.checkRoots(ctx, other, newest) == nil {
			pub.Roots, pub.RootPack = other.Roots, other.RootPack
			return nil
		}
	}
	r.report("the roots up to version %d are not all to be had: who pins one of the first cannot verify what is published: %v", newest.Version, cause)
	return nil
}

// withRoots are the roots of other as far as newest, and behind them those of
// pub.
func withRoots(other, pub *Publication, newest *metadata.File) *Publication {
	out := &Publication{RootPack: other.RootPack}
	for _, list := range [][]File{other.Roots, pub.Roots, {fileOf(metadata.RoleRoot, newest)}} {
		for _, f := range list {
			if f.Version <= newest.Version && (len(out.Roots) == 0 || f.Version == out.newestRoot()+1) {
				out.Roots = append(out.Roots, f)
			}
		}
	}
	return out
}

// checkRoots walks from the pinned root to newest along the roots of pub.
func (r *Repository) checkRoots(ctx context.Context, pub *Publication, newest *metadata.File) error {
	f, err := metadata.Decode(metadata.RoleRoot, r.opts.Root)
	if err != nil {
		return fmt.Errorf("pinned root: %w", err)
	}
	if len(pub.Roots) == 0 || pub.Roots[0].Version > 1 && pub.RootPack.Digest == "" {
		return fmt.Errorf("%w: the first roots are not listed", ErrNotFound)
	}
	if pub.newestRoot() != newest.Version {
		return fmt.Errorf("%w: root version %d is not listed as the newest", ErrNotFound, newest.Version)
	}
	source := &held{pub: pub, journal: r.opts.Journal}
	for f.Version < newest.Version {
		raw, err := source.Root(ctx, f.Version+1)
		if err != nil {
			return err
		}
		if f, err = NextRoot(f, raw); err != nil {
			return err
		}
	}
	return nil
}
