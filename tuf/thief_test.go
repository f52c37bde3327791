package tuf_test

import (
	"context"
	"maps"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// The tests below are about the publication that takes a thief's key away:
// neither the thief nor who may merely push may keep it from being made, or
// bring back through it what was taken away before.

// latestSnapshot is the snapshot of the newest state.
func (r *recovering) latestSnapshot() *metadata.Snapshot {
	r.t.Helper()
	s := r.Source()
	require.NoError(r.t, s.Open(r.t.Context()))
	raw, err := s.Journal().Fetch(r.t.Context(), s.Publication().Snapshot)
	require.NoError(r.t, err)
	f, err := metadata.Decode(metadata.RoleSnapshot, raw)
	require.NoError(r.t, err)
	return f.Snapshot
}

var online = []string{metadata.RoleSnapshot, metadata.RoleTimestamp}

// Who holds the online key lists an old file of a role. Verifiers that saw the
// newer one refuse that, and so does the publisher, who must be able to go on.
func TestRecoveryFromARollback(t *testing.T) {
	r := newRecovering(t)
	r.Key("new")
	before := r.latestSnapshot().Meta["releases"]
	_, err := r.Sign("releases", "app:2", "y")
	require.NoError(t, err)
	r.requireAccepted()
	opts := r.Options()
	_, err = tuf.NewRepository(opts).Load(t.Context())
	require.NoError(t, err)
	remembered := opts.Store
	version := r.latestSnapshot().Version

	r.leap(func(s *metadata.Snapshot) {
		s.Version = version + 1
		s.Meta["releases"] = before
	})
	require.ErrorIs(t, r.accepts(r.memory), tuf.ErrRollback)

	publish := func(keys []string, roles ...string) error {
		opts := r.Options()
		opts.Store, opts.Keys = remembered, r.Keyring(append(keys, "new")...)
		_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, r.rekeys(1, []string{"new"}, roles...))
		return err
	}
	require.ErrorIs(t, publish([]string{"root", "online"}, metadata.RoleTimestamp), tuf.ErrImpossible, "who saw the thief's snapshot first would keep it")
	require.ErrorIs(t, publish([]string{"root", "online"}, metadata.RoleSnapshot), tuf.ErrImpossible, "who has a memory would keep the thief's timestamp")
	require.NoError(t, publish([]string{"root"}, online...))
	r.requireAccepted()
	f, err := r.Client().Lookup(t.Context(), "app:2")
	require.NoError(t, err)
	require.True(t, f.Listed)
}

// Behind the state that everybody refuses lies one in which the thief took
// something back: the publisher must not go on from that.
func TestRecoveryDoesNotGoBehindWhatAThiefTookBack(t *testing.T) {
	for name, remembers := range map[string]bool{"fresh": false, "with a memory": true} {
		t.Run(name, func(t *testing.T) {
			r := newRecovering(t)
			r.Key("new")
			before := r.latestSnapshot().Meta["releases"]
			_, err := r.Sign("releases", "app:2", "y")
			require.NoError(t, err)
			r.requireAccepted()
			opts := r.Options()
			if remembers {
				_, err = tuf.NewRepository(opts).Load(t.Context())
				require.NoError(t, err)
			}
			store := opts.Store
			s := r.Source()
			require.NoError(t, s.Open(t.Context()))
			honest := s.Publication()
			version := honest.Snapshot.Version
			claim := metadata.Parent{Version: version, ID: honest.Identity()}

			r.leap(func(s *metadata.Snapshot) {
				s.Version = version + 1
				s.Meta["releases"] = before
				s.Carnet = &metadata.SnapshotExtension{Root: s.Carnet.Root, Parents: append([]metadata.Parent{claim}, s.Carnet.Parents...)}
			})
			r.leap(func(s *metadata.Snapshot) {
				s.Version = math.MaxInt64
				s.Meta = maps.Clone(s.Meta)
				for role, m := range s.Meta {
					m.Version = math.MaxInt64
					s.Meta[role] = m
				}
			})
			opts = r.Options()
			opts.Store, opts.Keys = store, r.Keyring("root", "new")
			_, err = tuf.NewRepository(opts).Publish(t.Context(), nil, r.rekeys(1, []string{"new"}, online...))
			require.NoError(t, err)
			r.requireAccepted()
			f, err := r.Client().Lookup(t.Context(), "app:2")
			require.NoError(t, err)
			require.True(t, f.Listed, "the new root's state lacks what was acknowledged")
		})
	}
}

// A thief who publishes without naming any parent, again and again while the
// root is made that drops the key, does not keep it from being committed.
func TestStatesWithoutParentsDoNotStopTheRootThatDropsTheirKey(t *testing.T) {
	w := newWorld(t)
	fresh := newKey(t)
	w.keys = append(w.keys, fresh)
	n := int64(1)
	s := &seat{reg: w.reg}
	s.before = func(step string) error {
		if step == "list" {
			base := w.newest()
			if len(base.Roots) == 1 {
				n++
				w.forge(forged{like: base, version: base.Snapshot.Version + 5, parents: bogus(1, 1), state: true})
				w.reg.latest = w.newest()
			}
		}
		return nil
	}
	_, err := w.write(s, func(ctx context.Context, d *tuf.Draft) error {
		for _, role := range online {
			if err := rotates(role, fresh)(ctx, d); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	c, err := w.reader(w.reg, tuf.MemoryStore{})
	require.NoError(t, err)
	require.EqualValues(t, 2, c.Root().Version)
}

// A manifest is signed by nobody: who may push can list the same snapshot
// beside fewer files. What the next writer publishes must hold all the same.
func TestFilesThatAManifestLeavesOutAreNotLost(t *testing.T) {
	w := newWorld(t)
	w.must(rotates(metadata.RoleRoot, w.keys[0].(*tuf.SoftKey), newKey(t)))
	w.must(rotates(metadata.RoleRoot, w.keys[0].(*tuf.SoftKey), newKey(t)))
	w.must(target("releases", "app:1", "one"))
	whole := w.newest()
	require.Len(t, whole.Roots, 3)
	for name, maim := range map[string]func(p *tuf.Publication){
		"older roots":   func(p *tuf.Publication) { p.Roots = p.Roots[2:] },
		"other roots":   func(p *tuf.Publication) { p.Roots[1] = tuf.NewFile(metadata.RoleRoot, 2, []byte("no root")) },
		"a role":        func(p *tuf.Publication) { p.DropRole("releases") },
		"another role":  func(p *tuf.Publication) { p.SetRole(tuf.NewFile("releases", 2, []byte("none"))) },
		"one too many":  func(p *tuf.Publication) { p.SetRole(tuf.NewFile("thief", 2, []byte("none"))) },
		"other targets": func(p *tuf.Publication) { p.Targets = tuf.NewFile("targets", 2, []byte("none")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := *w
			w.t, w.reg = t, w.reg.clone()
			p := *whole
			p.Roots, p.Roles = append([]tuf.File(nil), p.Roots...), append([]tuf.File(nil), p.Roles...)
			maim(&p)
			for tag, was := range w.reg.tags {
				if was.Identity() == p.Identity() && !parse(tag).Draft {
					w.reg.tags[tag] = &p
				}
			}
			w.reg.latest = &p
			store := tuf.MemoryStore{}
			opts := w.options(&seat{reg: w.reg})
			opts.Store = store
			if name == "older roots" || name == "other roots" { // the writer knows them
				store[metadata.RoleRoot] = w.reg.blobs[whole.Roots[2].Digest]
			}
			_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, withdrawing("evil"))
			require.NoError(t, err)
			now := w.newest()
			require.Len(t, now.Roots, 3)
			require.Equal(t, whole.Roots[1].Digest, now.Roots[1].Digest)
			want, _ := whole.Role("releases")
			got, _ := now.Role("releases")
			require.Equal(t, want.Digest, got.Digest)
			require.Equal(t, whole.Targets.Digest, now.Targets.Digest)
			_, more := now.Role("thief")
			require.False(t, more)
			require.True(t, w.lookup("app:1").Listed, "pinned at the first root, and fresh")
		})
	}
}

// With a role's key and an online key a thief can list a version from which
// nobody goes on. A draft of it, which nobody has to read, stops nobody.
func TestDraftWithTheHighestVersionStopsNobody(t *testing.T) {
	w := newWorld(t)
	base := w.newest()
	old, err := metadata.Decode("releases", w.reg.blobs[w.file("releases").Digest])
	require.NoError(t, err)
	leapt := *old.Targets
	leapt.Version = math.MaxInt64
	leapt.Targets = map[string]metadata.Target{}
	file := w.online("releases", leapt.Version, leapt.Canonical())
	w.reg.blobs[file.Digest] = file.Data
	err = w.meet(nil, target("releases", "app:1", "one"), func() {
		w.forge(forged{like: base, version: base.Snapshot.Version + 1, parents: claims(base), roles: map[string]tuf.File{"releases": file}})
	})
	require.NoError(t, err)
	require.True(t, w.lookup("app:1").Listed)
}
