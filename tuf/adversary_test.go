package tuf_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// The tests below are about a thief of the key that signs snapshot and
// timestamp and no role: what the thief publishes is properly signed, and its
// list of parents, its expiry and its choice of old role files are lies.

// forged is what a thief of the online key publishes.
type forged struct {
	like    *tuf.Publication // whose files stay where nothing else is said
	version int64
	parents []metadata.Parent   // what it claims to contain
	roles   map[string]tuf.File // files that were signed once
	expires time.Time           // of the snapshot; zero: as it was
	state   bool
}

func (w *world) forge(f forged) tuf.Entry {
	w.t.Helper()
	old, err := metadata.Decode(metadata.RoleSnapshot, w.reg.blobs[f.like.Snapshot.Digest])
	require.NoError(w.t, err)
	s := *old.Snapshot
	s.Version, s.Meta = f.version, map[string]metadata.MetaFile{}
	for role, m := range old.Snapshot.Meta {
		s.Meta[role] = m
	}
	s.Carnet = &metadata.SnapshotExtension{Parents: f.parents, Root: old.Snapshot.Carnet.Root}
	if !f.expires.IsZero() {
		s.Expires = f.expires
	}
	p := *f.like
	p.Roles = append([]tuf.File(nil), p.Roles...)
	for role, file := range f.roles {
		file.Data = nil
		p.SetRole(file)
		s.Meta[role] = metadata.MetaFile{Version: file.Version, Length: file.Length, Hashes: metadata.SHA256(file.Digest.Encoded())}
	}
	p.Snapshot = w.online(metadata.RoleSnapshot, s.Version, s.Canonical())
	p.Timestamp = tuf.File{}
	kind := "d 0"
	if f.state {
		kind = fmt.Sprintf("s %d", p.Roots[len(p.Roots)-1].Version)
		ts := metadata.Timestamp{Snapshot: metadata.NewMetaFile(s.Version, p.Snapshot.Data), Carnet: &metadata.TimestampExtension{Issued: fixtures.Epoch}}
		ts.Version, ts.Expires = s.Version, fixtures.Epoch.Add(24*time.Hour)
		p.Timestamp = w.online(metadata.RoleTimestamp, ts.Version, ts.Canonical())
	}
	e, err := (&seat{reg: w.reg}).push("", fmt.Sprintf("%s %d %.12s", kind, s.Version, p.Identity()), &p)
	require.NoError(w.t, err)
	return e
}

// online signs with the first key, which snapshot and timestamp have.
func (w *world) online(role string, version int64, signed []byte) tuf.File {
	w.t.Helper()
	key := w.keys[0]
	sig, err := key.Sign(w.t.Context(), signed)
	require.NoError(w.t, err)
	return tuf.NewFile(role, version, metadata.Seal(signed, []metadata.Signature{{KeyID: key.Key().ID(), Sig: sig}}))
}

// the newest state, and one role's file in it.
func (w *world) newest() *tuf.Publication { return greatest(w.reg) }

func (w *world) file(role string) tuf.File {
	w.t.Helper()
	f, ok := w.newest().Role(role)
	require.True(w.t, ok)
	return f
}

// claims are parents that exist.
func claims(list ...*tuf.Publication) (out []metadata.Parent) {
	for _, p := range list {
		out = append(out, metadata.Parent{Version: p.Snapshot.Version, ID: p.Identity()})
	}
	return out
}

// bogus are parents that exist nowhere.
func bogus(n int, version int64) (out []metadata.Parent) {
	for i := range n {
		sum := sha256.Sum256([]byte{byte(i)})
		out = append(out, metadata.Parent{Version: version, ID: hex.EncodeToString(sum[:])})
	}
	return out
}

func withdrawing(name string) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		_, e, err := d.Withdrawals(ctx)
		if err != nil {
			return err
		}
		n := metadata.Notice{Digest: digest.FromString(name), Reason: "bad", At: fixtures.Epoch}
		return d.SetTarget(ctx, e, metadata.WithdrawnPath(n.Digest), n.Entry())
	}
}

func (w *world) withdrawn(name string) bool {
	w.t.Helper()
	c, err := w.reader(w.reg, tuf.MemoryStore{})
	require.NoError(w.t, err)
	n, err := c.Withdrawn(w.t.Context(), digest.FromString(name))
	require.NoError(w.t, err)
	return n != nil
}

func TestOldFilesDoNotLiftAWithdrawalInAJoin(t *testing.T) {
	for name, state := range map[string]bool{"draft": false, "state": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			empty := w.file("revocations")
			w.must(withdrawing("evil"))
			base := w.newest()
			err := w.meet(nil, withdrawing("other"), func() {
				w.forge(forged{
					like: base, version: base.Snapshot.Version + 1, parents: claims(base),
					roles: map[string]tuf.File{"revocations": empty}, state: state,
				})
			})
			require.NoError(t, err)
			require.True(t, w.withdrawn("other"))
			require.True(t, w.withdrawn("evil"), "the join signed away a withdrawal for a thief")
		})
	}
}

func TestOldFilesDoNotBringARemovalBack(t *testing.T) {
	w := newWorld(t)
	w.must(target("releases", "app:bad", "bad"))
	old := w.file("releases")
	w.must(drop("releases", "app:bad"))
	base := w.newest()
	err := w.meet(nil, target("releases", "app:1", "one"), func() {
		w.forge(forged{like: base, version: base.Snapshot.Version + 1, parents: claims(base), roles: map[string]tuf.File{"releases": old}})
	})
	require.NoError(t, err)
	require.True(t, w.lookup("app:1").Listed)
	require.False(t, w.lookup("app:bad").Listed, "a removal came back")
}

// A thief sees a draft and claims to contain it.
func TestDraftIsNotTakenForContainedOnAThiefsWord(t *testing.T) {
	w := newWorld(t)
	base := w.newest()
	err := w.meet(nil, target("releases", "app:1", "one"), func() {
		for tag, p := range maps.Clone(w.reg.tags) {
			if parse(tag).Draft && p.Snapshot.Version > base.Snapshot.Version {
				w.forge(forged{like: base, version: p.Snapshot.Version + 1, parents: claims(p, base)})
			}
		}
	})
	require.NoError(t, err)
	require.True(t, w.lookup("app:1").Listed, "acknowledged and not there")
}

// A thief claims to contain a state that others committed, so that nobody
// looks at it any more.
func TestStateIsNotTakenForContainedOnAThiefsWord(t *testing.T) {
	w := newWorld(t)
	base := w.newest()
	err := w.meet(nil, target("releases", "app:1", "one"), func() {
		blind := &seat{reg: w.reg, hide: func([]string) []string { return nil }}
		_, err := w.write(blind, withdrawing("evil"))
		require.NoError(t, err)
		theirs := w.newest()
		w.forge(forged{like: base, version: theirs.Snapshot.Version + 1, parents: claims(theirs, base)})
	})
	require.NoError(t, err)
	require.True(t, w.lookup("app:1").Listed)
	require.True(t, w.withdrawn("evil"), "an acknowledged withdrawal is lost")
}

// Parents that exist nowhere do not push the real ones out of the list.
func TestBogusParentsHideNothing(t *testing.T) {
	for _, version := range []int64{1, 1 << 40} {
		w := newWorld(t)
		base := w.newest()
		w.forge(forged{like: base, version: base.Snapshot.Version + 1, parents: append(bogus(63, version), claims(base)...), state: true})
		w.reg.latest = w.newest()
		w.explore(search{writers: 2}, 100)
	}
}

// A draft that says it was signed in the future is no younger for it.
func TestDraftFromTheFutureBlocksNobody(t *testing.T) {
	w := newWorld(t)
	base := w.newest()
	missing := tuf.NewFile("releases", 9, []byte("nobody has this"))
	err := w.meet(nil, target("releases", "app:1", "one"), func() {
		w.forge(forged{
			like: base, version: base.Snapshot.Version + 1, parents: claims(base),
			roles: map[string]tuf.File{"releases": missing}, expires: fixtures.Epoch.AddDate(10, 0, 0),
		})
	})
	require.NoError(t, err)
	require.True(t, w.lookup("app:1").Listed)
}

// A thief who leaps to a high version takes nobody along: versions cannot go
// back, and there is a highest one.
func TestThiefsLeapIsNotFollowed(t *testing.T) {
	for name, c := range map[string]struct {
		leap     int64
		followed bool
	}{
		"as far as one may be behind": {tuf.MaxLeap, true},
		"farther":                     {tuf.MaxLeap + 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			base := w.newest()
			err := w.meet(nil, target("releases", "app:1", "one"), func() {
				w.forge(forged{like: base, version: base.Snapshot.Version + c.leap, parents: claims(base)})
			})
			require.NoError(t, err)
			want := base.Snapshot.Version + 1
			if c.followed {
				want += c.leap
			}
			require.Equal(t, want, w.newest().Snapshot.Version)
			require.True(t, w.lookup("app:1").Listed)
		})
	}
}

// The list of a state's files is signed by nobody: with push access alone
// anybody can claim that root moved on.
func TestRootThatNobodySignedStopsNoWriter(t *testing.T) {
	w := newWorld(t)
	claim := *w.newest()
	claim.Roots = append(append([]tuf.File(nil), claim.Roots...), tuf.NewFile(metadata.RoleRoot, 2, []byte("no root")))
	w.reg.tags[fmt.Sprintf("s 1 %d %.12s", 99, claim.Identity())] = &claim
	require.NoError(t, w.meet(nil, target("releases", "app:1", "one"), nil))
}

// withOnline are keys without those of any role but snapshot and timestamp.
func (w *world) withOnline(keys ...*tuf.SoftKey) tuf.Keys {
	out := tuf.Keys{w.keys[0]}
	for _, k := range keys {
		out = append(out, k)
	}
	return out
}

func keysOf(role string, keys ...*tuf.SoftKey) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		all := metadata.Keys{}
		for _, k := range keys {
			all[k.Key().ID()] = k.Key()
		}
		return d.SetKeys(ctx, role, all, 1)
	}
}

// Each of two writers takes another key away, and the role's file, which both
// signed, stands. Together they leave nobody who signed it.
func TestNobodyCommitsARoleThatTheJoinedKeysDidNotSign(t *testing.T) {
	w := newWorld(t)
	one, two, three := newKey(t), newKey(t), newKey(t)
	w.keys = w.withOnline(one, two)
	w.must(w.delegation("apps", "app", 1, one, two, three))
	w.must(target("apps", "app:1", "one"))
	blind := &seat{reg: w.reg, hide: func([]string) []string { return nil }}
	opts := w.options(blind)
	opts.Keys = w.withOnline()
	err := w.meet(w.withOnline(), keysOf("apps", two, three), func() {
		_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, keysOf("apps", one, three))
		require.NoError(t, err)
	})
	require.Error(t, err)
	require.True(t, w.lookup("app:1").Listed, "readers must be able to go on")

	// With a key that is left the file is signed again.
	require.NoError(t, w.meet(w.withOnline(three), keysOf("apps", two, three), nil))
	require.True(t, w.lookup("app:1").Listed)
}

// A role whose key was replaced says the same as before: who has no key of it
// takes the file that is signed by the new one.
func TestJoinTakesARoleThatWasSignedAgainByANewKey(t *testing.T) {
	w := newWorld(t)
	one, two := newKey(t), newKey(t)
	w.keys = w.withOnline(one, two)
	w.must(w.delegation("apps", "app", 1, one))
	w.must(target("apps", "app:1", "one"))
	blind := &seat{reg: w.reg, hide: func([]string) []string { return nil }}
	err := w.meet(w.withOnline(), target("releases", "other:1", "x"), func() {
		_, err := w.write(blind, keysOf("apps", two))
		require.NoError(t, err)
	})
	require.NoError(t, err)
	require.True(t, w.lookup("app:1").Listed)
	require.True(t, w.lookup("other:1").Listed)
}

// Two states of one version are normal. The writer of the one that readers do
// not choose must be able to go on.
func TestWriterGoesOnFromTheLesserOfTwoStates(t *testing.T) {
	w := newWorld(t)
	hidden := func([]string) []string { return nil }
	var stores []tuf.MemoryStore
	for i := range 2 {
		s := &seat{reg: w.reg, hide: hidden}
		opts := w.options(s)
		latest := w.reg.latest
		_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, signs(i))
		require.NoError(t, err)
		stores = append(stores, opts.Store.(tuf.MemoryStore))
		if i == 0 {
			w.reg.latest = latest // the other started from there too
		}
	}
	for i, store := range stores {
		opts := w.options(&seat{reg: w.reg.clone()})
		opts.Store = store
		_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, signs(2+i))
		require.NoError(t, err)
	}
}

// unreadable is a notice that a newer version wrote.
func unreadable(name string) metadata.Target {
	n := metadata.Notice{Digest: digest.FromString(name), Reason: "bad", At: fixtures.Epoch}
	t := n.Entry()
	t.Custom = metadata.Struct(metadata.Member{Name: "carnet", Value: metadata.Struct(metadata.Member{Name: "critical", Value: metadata.List(metadata.Text("from-the-future"))})})
	return t
}

func withdrawal(name string, target metadata.Target) func(context.Context, *tuf.Draft) error {
	return func(ctx context.Context, d *tuf.Draft) error {
		_, e, err := d.Withdrawals(ctx)
		if err != nil {
			return err
		}
		return d.SetTarget(ctx, e, metadata.WithdrawnPath(digest.FromString(name)), target)
	}
}

func TestNoticeThatCannotBeReadBeatsItsUndoing(t *testing.T) {
	for name, undo := range map[string]func(context.Context, *tuf.Draft) error{
		"undone":          drop("revocations", metadata.WithdrawnPath(digest.FromString("evil"))),
		"withdrawn again": withdrawal("evil", (&metadata.Notice{Digest: digest.FromString("evil"), Reason: "again", At: fixtures.Epoch}).Entry()),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.must(withdrawing("evil"))
			blind := &seat{reg: w.reg, hide: func([]string) []string { return nil }}
			err := w.meet(nil, undo, func() {
				_, err := w.write(blind, withdrawal("evil", unreadable("evil")))
				require.NoError(t, err)
			})
			require.NoError(t, err)
			require.True(t, w.withdrawn("evil"))
		})
	}
}

// A notice says nothing outside of the withdrawal role: two digests for one
// tag are a conflict there as ever.
func TestNoticeInAnotherRoleSettlesNoConflict(t *testing.T) {
	w := newWorld(t)
	entry := func(content string) func(context.Context, *tuf.Draft) error {
		return func(ctx context.Context, d *tuf.Draft) error {
			e, err := d.Edge(ctx, "releases")
			if err != nil {
				return err
			}
			n := metadata.Notice{Digest: digest.FromString(content), Reason: "r", At: fixtures.Epoch}
			return d.SetTarget(ctx, e, "app:1", fixtures.Target(content).WithStatement(metadata.Statement{Notice: &n}))
		}
	}
	blind := &seat{reg: w.reg, hide: func([]string) []string { return nil }}
	var conflict *tuf.ConflictError
	err := w.meet(nil, entry("one"), func() {
		_, err := w.write(blind, entry("two"))
		require.NoError(t, err)
	})
	require.ErrorAs(t, err, &conflict)
}

// Who may push can list any number of publications that are none. They must
// not keep two writers from seeing each other.
func TestGarbageHidesNoWriterFromAnother(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		garbage := *w.newest()
		garbage.Snapshot = tuf.NewFile(metadata.RoleSnapshot, 50, []byte(fmt.Sprint(i)))
		garbage.Timestamp = tuf.File{}
		w.reg.tags[fmt.Sprintf("d 0 %d %.12s", 50, garbage.Identity())] = &garbage
	}
	err := w.meet(nil, target("releases", "app:1", "one"), func() {
		s := &seat{reg: w.reg, hide: func([]string) []string { return nil }}
		// It crashes before it commits: its draft alone is there.
		s.before = func(step string) error {
			if step == "commit" {
				return errCrashed
			}
			return nil
		}
		_, err := w.write(s, target("releases", "app:2", "two"))
		require.ErrorIs(t, err, errCrashed)
	})
	require.NoError(t, err)
	require.True(t, w.lookup("app:1").Listed)
	require.True(t, w.lookup("app:2").Listed, "the draft was there before our list and was not looked at")
}

func TestMoreGarbageThanAWriterReadsStopsIt(t *testing.T) {
	w := newWorld(t)
	for i := range 1000 {
		garbage := *w.newest()
		garbage.Snapshot = tuf.NewFile(metadata.RoleSnapshot, 50, []byte(fmt.Sprint(i)))
		w.reg.tags[fmt.Sprintf("s 1 %d %.12s", 50, garbage.Identity())] = &garbage
	}
	require.ErrorContains(t, w.meet(nil, target("releases", "app:1", "one"), nil), "carnet prune")
	require.False(t, w.lookup("app:1").Listed)
}

// slow is a keyring whose owner takes long over the passphrase of timestamp.
type slow struct {
	tuf.Keys
	signs func(message []byte)
}

type slowSigner struct {
	tuf.Signer
	signs func(message []byte)
}

func (s slow) Signer(ctx context.Context, key metadata.Key) (tuf.Signer, error) {
	k, err := s.Keys.Signer(ctx, key)
	return slowSigner{k, s.signs}, err
}

func (s slowSigner) Sign(ctx context.Context, message []byte) ([]byte, error) {
	s.signs(message)
	return s.Signer.Sign(ctx, message)
}

// Others pass a draft by that is too old. Its writer may have been young when
// it began to sign.
func TestDraftThatGrewOldWhileItWasSealedIsNotCommitted(t *testing.T) {
	w := newWorld(t)
	now, tries := fixtures.Epoch, 0
	opts := w.options(&seat{reg: w.reg})
	opts.Now = func() time.Time { return now }
	opts.Keys = slow{w.keys, func(message []byte) {
		if tries == 1 && bytes.Contains(message, []byte(`"_type":"timestamp"`)) {
			now = now.Add(tuf.DraftLife)
		}
	}}
	_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		tries++
		return target("releases", "app:1", "one")(ctx, d)
	})
	require.NoError(t, err)
	require.Equal(t, 2, tries)
}

// What a writer left behind that crashed is joined, and not adopted: it is
// too old to be committed, and would be each time.
func TestOldDraftOfACrashedWriterStopsNobody(t *testing.T) {
	w := newWorld(t)
	base := w.newest()
	w.forge(forged{like: base, version: base.Snapshot.Version + 5, parents: claims(base)})
	opts := w.options(&seat{reg: w.reg})
	opts.Now = func() time.Time { return fixtures.Epoch.Add(2 * tuf.DraftLife) }
	tries := 0
	_, err := tuf.NewRepository(opts).Publish(t.Context(), nil, func(_ context.Context, d *tuf.Draft) error {
		tries++
		d.Force()
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, tries)
}
