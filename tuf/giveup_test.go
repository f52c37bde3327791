package tuf_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func gives(role string) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error { return d.GiveUp(ctx, role) }
}

// with makes change as a writer who has these keys alone.
func (w *world) with(keys tuf.Keys, change func(context.Context, *tuf.Draft) error) error {
	opts := w.options(&seat{reg: w.reg})
	opts.Keys = keys
	_, err := tuf.NewRepository(opts).Publish(w.t.Context(), nil, change)
	return err
}

// blind makes change as a writer who does not look at what others do.
func (w *world) blind(keys tuf.Keys, change func(context.Context, *tuf.Draft) error) {
	w.t.Helper()
	opts := w.options(&seat{reg: w.reg, hide: func([]string) []string { return nil }})
	opts.Keys = keys
	_, err := tuf.NewRepository(opts).Publish(w.t.Context(), nil, change)
	require.NoError(w.t, err)
}

// restored publishes role as it says something again after it was given up,
// by whoever has its key and that of snapshot and timestamp.
func (w *world) restored(key *tuf.SoftKey, role, path string) tuf.File {
	w.t.Helper()
	return w.next(key, role, metadata.Targets{Targets: map[string]metadata.Target{path: fixtures.Target("evil")}})
}

// next stores the next file of role, signed by key whoever trusts it.
func (w *world) next(key *tuf.SoftKey, role string, t metadata.Targets) tuf.File {
	w.t.Helper()
	t.Version, t.Expires = w.file(role).Version+1, fixtures.Epoch.AddDate(1, 0, 0)
	signed := t.Canonical()
	sig, err := key.Sign(w.t.Context(), signed)
	require.NoError(w.t, err)
	f := tuf.NewFile(role, t.Version, metadata.Seal(signed, []metadata.Signature{{KeyID: key.Key().ID(), Sig: sig}}))
	w.reg.blobs[f.Digest] = f.Data
	return f
}

func TestRoleGivesItselfUpByItsOwnKeys(t *testing.T) {
	w := newWorld(t)
	app := newKey(t)
	w.keys = w.withOnline(app)
	w.must(w.delegation("apps", "app", 1, app))
	w.must(target("apps", "app:1", "one"))

	// Nobody's keys but the role's and those of every writer; w.keys[0] has
	// targets in this world, so the file of targets must not change.
	top := w.file(metadata.RoleTargets)
	require.NoError(t, w.with(w.withOnline(app), gives("apps")))
	require.Equal(t, top.Digest, w.file(metadata.RoleTargets).Digest)
	require.False(t, w.lookup("app:1").Listed)

	// It stays so: nothing is signed for it any more, and again is no change.
	require.ErrorIs(t, w.with(nil, target("apps", "app:2", "two")), tuf.ErrImpossible)
	version := w.newest().Snapshot.Version
	require.NoError(t, w.with(w.withOnline(app), gives("apps")))
	require.Equal(t, version, w.newest().Snapshot.Version)
}

func TestRoleThatCannotGiveItselfUp(t *testing.T) {
	w := newWorld(t)
	for role, want := range map[string]string{
		"root": "carnet rotate root", "targets": "carnet rotate targets", "snapshot": "carnet rotate snapshot", "timestamp": "carnet rotate timestamp",
		"revocations": "the withdrawal role",
	} {
		err := w.with(w.keys, gives(role))
		require.ErrorIs(t, err, tuf.ErrImpossible, role)
		require.ErrorContains(t, err, want)
	}
	require.ErrorIs(t, w.with(w.keys, gives("nobody")), tuf.ErrUnknownRole)
	require.ErrorIs(t, w.with(tuf.Keys{newKey(t)}, gives("releases")), tuf.ErrNoKey)
}

// A role takes all below it along, and what is edited there is not signed.
func TestGivenUpRoleDelegatesNothing(t *testing.T) {
	w := newWorld(t)
	app, deep := newKey(t), newKey(t)
	w.keys = w.withOnline(app, deep)
	w.must(w.delegation("apps", "app", 1, app))
	w.must(func(ctx context.Context, d *tuf.Draft) error {
		k := deep.Key()
		return d.Delegate(ctx, "apps", metadata.Delegation{
			Name: "deep", Paths: []string{"app:*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1},
		}, metadata.Keys{k.ID(): k})
	})
	w.must(target("deep", "app:1", "one"))
	w.must(func(ctx context.Context, d *tuf.Draft) error {
		if err := target("deep", "app:2", "two")(ctx, d); err != nil {
			return err
		}
		return d.GiveUp(ctx, "apps")
	})
	require.False(t, w.lookup("app:1").Listed)
	require.False(t, w.lookup("app:2").Listed)
}

// The thief signs in the same role while its holders give it up: whoever
// comes first, and whoever joins, the role is given up.
func TestGivenUpWinsOverAThiefWhoSignsMeanwhile(t *testing.T) {
	for name, thief := range map[string]int{"once": 1, "again and again": 3} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			app := newKey(t)
			w.keys = w.withOnline(app)
			w.must(w.delegation("apps", "app", 1, app))
			w.must(target("apps", "app:1", "one"))
			err := w.meet(w.withOnline(app), gives("apps"), func() {
				for i := range thief {
					w.blind(w.withOnline(app), target("apps", "app:evil", string(rune('a'+i))))
				}
			})
			require.NoError(t, err)
			require.False(t, w.lookup("app:evil").Listed, "the thief's entry came through")
			require.False(t, w.lookup("app:1").Listed)

			// The other way round: the role was given up while a thief's draft
			// was on its way.
			require.ErrorIs(t, w.with(w.withOnline(app), target("apps", "app:evil", "x")), tuf.ErrImpossible)
		})
	}
}

func TestThiefsDraftTakesGivenUp(t *testing.T) {
	w := newWorld(t)
	app := newKey(t)
	w.keys = w.withOnline(app)
	w.must(w.delegation("apps", "app", 1, app))
	err := w.meet(w.withOnline(app), target("apps", "app:evil", "evil"), func() {
		w.blind(w.withOnline(app), gives("apps"))
	})
	require.NoError(t, err)
	require.False(t, w.lookup("app:evil").Listed)
}

// Somebody without the role's keys joins a thief's state of a high version
// and the role's own end: the joined state goes on from the higher version, or
// there is none.
func TestJoinOfAGivenUpRoleGoesNoVersionBack(t *testing.T) {
	w := newWorld(t)
	app := newKey(t)
	w.keys = w.withOnline(app)
	w.must(w.delegation("apps", "app", 1, app))
	base := w.newest()
	var thiefs int64
	err := w.meet(w.withOnline(app), target("releases", "other:1", "x"), func() {
		for i := range 3 {
			w.blind(w.withOnline(app), target("apps", "app:evil", string(rune('a'+i))))
		}
		thiefs = w.file("apps").Version
		w.reg.latest = base
		w.blind(w.withOnline(app), gives("apps"))
	})
	require.NoError(t, err)
	require.False(t, w.lookup("app:evil").Listed)
	require.Greater(t, w.file("apps").Version, thiefs, "readers of the thief's state would see a rollback")
}

// A role of several signatures is never joined, and what gave itself up needs
// no join.
func TestGivenUpRoleOfSeveralSignatures(t *testing.T) {
	w := newWorld(t)
	a, b := newKey(t), newKey(t)
	w.keys = w.withOnline(a, b)
	w.must(w.delegation("pairs", "pair", 2, a, b))
	err := w.meet(nil, gives("pairs"), func() { w.blind(w.keys, target("pairs", "pair:evil", "evil")) })
	require.NoError(t, err)
	require.False(t, w.lookup("pair:evil").Listed)
}

// Who has the keys of a role and of snapshot and timestamp can sign that the
// role lives on. Nobody who saw that it gave itself up takes it: no reader, no
// writer who starts from there, no join.
func TestGivingUpIsNotTakenBack(t *testing.T) {
	begin := func(t *testing.T) (*world, *tuf.SoftKey) {
		w := newWorld(t)
		app := newKey(t)
		w.keys = w.withOnline(app)
		w.must(w.delegation("apps", "app", 1, app))
		w.must(gives("apps"))
		return w, app
	}
	t.Run("reader", func(t *testing.T) {
		w, app := begin(t)
		store := tuf.MemoryStore{}
		c, err := w.reader(w.reg, store)
		require.NoError(t, err)
		_, err = c.Lookup(t.Context(), "app:evil")
		require.NoError(t, err)
		base := w.newest()
		w.forge(forged{like: base, version: base.Snapshot.Version + 1, parents: claims(base), roles: map[string]tuf.File{"apps": w.restored(app, "apps", "app:evil")}, state: true})
		w.reg.latest = w.newest()
		c, err = w.reader(w.reg, store)
		require.NoError(t, err)
		_, err = c.Lookup(t.Context(), "app:evil")
		require.ErrorIs(t, err, tuf.ErrInvalid)
		require.ErrorContains(t, err, "takes that back")
	})
	t.Run("join", func(t *testing.T) {
		w, app := begin(t)
		base := w.newest()
		back := w.restored(app, "apps", "app:evil")
		err := w.meet(w.withOnline(app), target("releases", "other:1", "x"), func() {
			w.forge(forged{like: base, version: base.Snapshot.Version + 1, parents: claims(base), roles: map[string]tuf.File{"apps": back}, state: true})
		})
		require.NoError(t, err)
		require.False(t, w.lookup("app:evil").Listed)
		require.True(t, w.lookup("other:1").Listed)
	})
	t.Run("commit", func(t *testing.T) {
		// A draft that says it was made from a state where the role lived.
		w, app := begin(t)
		base := w.newest()
		back := w.restored(app, "apps", "app:evil")
		other := *base
		other.Roles = append([]tuf.File(nil), base.Roles...)
		err := w.meet(w.withOnline(), target("releases", "other:1", "x"), func() {
			w.forge(forged{like: &other, version: base.Snapshot.Version + 1, parents: claims(base), roles: map[string]tuf.File{"apps": back}})
		})
		require.NoError(t, err)
		require.False(t, w.lookup("app:evil").Listed)
	})
}

// The whole story: given up, delegated anew under another name, signed again.
func TestRedelegationUnderANewNameRecovers(t *testing.T) {
	w := newWorld(t)
	app, fresh := newKey(t), newKey(t)
	w.keys = w.withOnline(app, fresh)
	w.must(w.delegation("apps", "app", 1, app))
	w.must(target("apps", "app:1", "one"))
	require.NoError(t, w.with(w.withOnline(app), gives("apps")))
	require.False(t, w.lookup("app:1").Listed)

	again := w.delegation("apps", "app", 1, fresh)
	require.ErrorIs(t, w.with(w.keys, again), tuf.ErrImpossible, "the name is taken")
	require.ErrorIs(t, w.with(w.keys, w.delegation("apps", "app", 1, app)), tuf.ErrImpossible, "it is not what it was")
	w.must(w.delegation("apps-2", "app", 1, fresh))
	w.must(target("apps-2", "app:1", "one"))
	require.Equal(t, "apps-2", w.lookup("app:1").Role)

	// The old name can go, and does not come to life again by the keys that
	// gave it up; by others it does, also for who saw the end of it.
	store := tuf.MemoryStore{}
	c, err := w.reader(w.reg, store)
	require.NoError(t, err)
	_, err = c.Lookup(t.Context(), "app:2")
	require.NoError(t, err)
	w.must(func(ctx context.Context, d *tuf.Draft) error { return d.Undelegate(ctx, "apps") })
	require.Equal(t, "apps-2", w.lookup("app:1").Role)
	reg := w.reg
	w.reg = reg.clone() // which the refused draft does not reach
	require.ErrorIs(t, w.with(w.keys, w.delegation("apps", "app", 1, app)), tuf.ErrImpossible)
	w.reg = reg
	w.must(again)
	w.must(target("apps", "app:2", "two"))
	c, err = w.reader(w.reg, store)
	require.NoError(t, err)
	found, err := c.Lookup(t.Context(), "app:2")
	require.NoError(t, err)
	require.True(t, found.Listed)
}

// A thief of another role who used the name, and gave it up by his own key,
// is in nobody's way once he is out.
func TestNameThatAThiefGaveUpIsUsedAgain(t *testing.T) {
	w := newWorld(t)
	app, thief := newKey(t), newKey(t)
	w.keys = w.withOnline(app, thief)
	w.must(w.delegation("apps", "app", 1, app))
	w.must(w.delegation("other", "other", 1, thief))
	base := w.newest()
	k := thief.Key()
	other := metadata.Targets{Delegations: &metadata.Delegations{Keys: metadata.Keys{k.ID(): k}, Roles: []metadata.Delegation{
		{Name: "apps", Paths: []string{"other:*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1}},
	}}}
	w.forge(forged{like: base, version: base.Snapshot.Version + 1, parents: claims(base), state: true, roles: map[string]tuf.File{
		"other": w.next(thief, "other", other), "apps": w.next(thief, "apps", metadata.Targets{Revoked: true}),
	}})
	w.reg.latest = w.newest()
	store := tuf.MemoryStore{}
	c, err := w.reader(w.reg, store)
	require.NoError(t, err)
	_, err = c.Lookup(t.Context(), "other:1")
	require.NoError(t, err)

	w.must(func(ctx context.Context, d *tuf.Draft) error {
		for _, role := range []string{"other", "apps"} {
			if err := d.Undelegate(ctx, role); err != nil {
				return err
			}
		}
		return nil
	})
	w.must(w.delegation("apps", "app", 1, app))
	w.must(target("apps", "app:1", "one"))
	c, err = w.reader(w.reg, store)
	require.NoError(t, err)
	found, err := c.Lookup(t.Context(), "app:1")
	require.NoError(t, err)
	require.True(t, found.Listed)
}

// An older state is no way around it: who saw the newer one calls it a
// rollback, who did not is protected by how long timestamps live.
func TestReplayOfTheStateBeforeARoleGaveItselfUp(t *testing.T) {
	w := newWorld(t)
	app := newKey(t)
	w.keys = w.withOnline(app)
	w.must(w.delegation("apps", "app", 1, app))
	w.must(target("apps", "app:1", "one"))
	old := w.reg.clone()
	require.NoError(t, w.with(w.withOnline(app), gives("apps")))

	store := tuf.MemoryStore{}
	_, err := w.reader(w.reg, store)
	require.NoError(t, err)
	_, err = w.reader(old, store)
	require.ErrorIs(t, err, tuf.ErrRollback)

	late := tuf.Options{Root: w.root, Store: tuf.MemoryStore{}, Sources: []tuf.Source{&seat{reg: old}}, Now: fixtures.Epoch.Add(25 * time.Hour)}
	c, err := tuf.NewClient(late)
	require.NoError(t, err)
	require.ErrorIs(t, c.Refresh(t.Context()), tuf.ErrExpired)
}

// A role that cannot be seen, since the file of its delegator is refused, is
// not taken for one that was removed.
func TestRoleBehindARefusedOneIsNotGone(t *testing.T) {
	w := newWorld(t)
	app, deep := newKey(t), newKey(t)
	w.keys = w.withOnline(app, deep)
	w.must(w.delegation("apps", "app", 1, app))
	w.must(func(ctx context.Context, d *tuf.Draft) error {
		k := deep.Key()
		return d.Delegate(ctx, "apps", metadata.Delegation{
			Name: "deep", Paths: []string{"app:*"}, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1},
		}, metadata.Keys{k.ID(): k})
	})
	away := func(ctx context.Context, d *tuf.Draft) error { return d.Undelegate(ctx, "deep") }
	whole := w.reg
	w.reg = whole.clone()
	base := w.newest()
	w.forge(forged{like: base, version: base.Snapshot.Version + 1, parents: claims(base), roles: map[string]tuf.File{"apps": w.next(newKey(t), "apps", metadata.Targets{})}, state: true})
	w.reg.latest = w.newest()
	require.ErrorIs(t, w.with(w.keys, away), tuf.ErrUnknownRole)

	w.reg = whole
	w.must(away)
	version := w.newest().Snapshot.Version
	w.must(away)
	require.Equal(t, version, w.newest().Snapshot.Version)
}
