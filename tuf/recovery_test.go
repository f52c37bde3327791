package tuf_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// recovering is a publisher on a registry, to whom something happens, and
// verifiers that knew it before: ours with a memory, and go-tuf's.
type recovering struct {
	*fixtures.Publisher
	t      *testing.T
	memory tuf.MemoryStore
	theirs *oracle
}

func newRecovering(t *testing.T) *recovering {
	p := publisherOn(t, fixtures.Distribution(t))
	r := &recovering{Publisher: p, t: t, memory: tuf.MemoryStore{}, theirs: newOracle(t, p.Root)}
	_, err := p.Sign("releases", "app:1", "x")
	require.NoError(t, err)
	r.requireAccepted()
	return r
}

// accepts asks a verifier of ours whether app:1 is vouched for.
func (r *recovering) accepts(store tuf.Store) error {
	c, err := tuf.NewClient(tuf.Options{Root: r.Root, Store: store, Sources: []tuf.Source{r.Source()}, Now: r.Now()})
	require.NoError(r.t, err)
	if err := c.Refresh(r.t.Context()); err != nil {
		return err
	}
	f, err := c.Lookup(r.t.Context(), "app:1")
	if err == nil && !f.Listed {
		err = errors.New("not listed")
	}
	return err
}

// goTUFAccepts asks go-tuf's client the same.
func (r *recovering) goTUFAccepts(o *oracle) error {
	o.now = r.Now()
	up, err := o.refresh(r.files())
	if err != nil {
		return err
	}
	_, err = up.GetTargetInfo("app:1")
	return err
}

// files are those of the newest publication, as a web server would name them.
func (r *recovering) files() map[string][]byte {
	s := r.Source()
	require.NoError(r.t, s.Open(r.t.Context()))
	out := map[string][]byte{}
	for _, f := range s.Publication().Files() {
		raw, err := s.Journal().Fetch(r.t.Context(), f)
		require.NoError(r.t, err)
		name := strconv.FormatInt(f.Version, 10) + "." + url.PathEscape(f.Role) + ".json"
		if f.Role == metadata.RoleTimestamp {
			name = "timestamp.json"
		}
		out[name] = raw
	}
	return out
}

// requireAccepted wants all verifiers to accept, those that remember and those
// that pin the publisher's first root now.
func (r *recovering) requireAccepted() {
	r.t.Helper()
	require.NoError(r.t, r.accepts(r.memory), "with a memory")
	require.NoError(r.t, r.accepts(tuf.MemoryStore{}), "fresh")
	require.NoError(r.t, r.goTUFAccepts(r.theirs), "go-tuf with a memory")
	require.NoError(r.t, r.goTUFAccepts(newOracle(r.t, r.Root)), "go-tuf, fresh")
}

// requireRefused wants no verifier to accept, and the given error of ours.
func (r *recovering) requireRefused(want error) {
	r.t.Helper()
	require.ErrorIs(r.t, r.accepts(r.memory), want, "with a memory")
	require.ErrorIs(r.t, r.accepts(tuf.MemoryStore{}), want, "fresh")
	require.Error(r.t, r.goTUFAccepts(newOracle(r.t, r.Root)), "go-tuf")
}

// rekeys gives roles keys of these names.
func (r *recovering) rekeys(threshold int, names []string, roles ...string) func(context.Context, *tuf.Draft) error {
	keys := metadata.Keys{}
	for _, name := range names {
		k := r.Key(name).Key()
		keys[k.ID()] = k
	}
	return func(ctx context.Context, d *tuf.Draft) error {
		for _, role := range roles {
			if err := d.SetKeys(ctx, role, keys, threshold); err != nil {
				return err
			}
		}
		return nil
	}
}

// with publishes as a writer who has only the keys of these names.
func (r *recovering) with(change func(context.Context, *tuf.Draft) error, names ...string) error {
	opts := r.Options()
	opts.Keys = r.Keyring(names...)
	_, err := tuf.NewRepository(opts).Publish(r.t.Context(), nil, change)
	return err
}

func TestRecoveryAfterEverythingExpired(t *testing.T) {
	r := newRecovering(t)
	r.Sleep(2 * 365 * day)
	r.requireRefused(tuf.ErrExpired)
	s, err := tuf.NewRepository(r.Options()).Load(t.Context())
	require.NoError(t, err, "a publisher reads what is expired")
	require.True(t, s.Root().ExpiredAt(r.Now()))

	_, err = r.Publish(renews(metadata.RoleTimestamp))
	require.NoError(t, err)
	r.requireRefused(tuf.ErrExpired)
	_, err = r.Publish(renews(metadata.RoleRoot, metadata.RoleTargets, "revocations", "releases"))
	require.NoError(t, err)
	r.requireAccepted()
}

func TestRecoveryOfALostTimestampKey(t *testing.T) {
	r := newRecovering(t)
	require.ErrorIs(t, r.with(renews(metadata.RoleTimestamp), "root", "targets"), tuf.ErrNoKey)
	r.Key("new")
	online := []string{metadata.RoleSnapshot, metadata.RoleTimestamp}
	require.NoError(t, r.with(r.rekeys(1, []string{"new"}, online...), "root", "new"))
	r.requireAccepted()
	require.NoError(t, r.with(renews(metadata.RoleTimestamp), "new"))
	r.requireAccepted()
	require.ErrorIs(t, r.with(renews(metadata.RoleTimestamp), "online"), tuf.ErrNoKey)
}

func TestRecoveryOfOneOfThreeRootKeys(t *testing.T) {
	r := newRecovering(t)
	for _, name := range []string{"ann", "bob", "carol", "dave"} {
		r.Key(name)
	}
	require.NoError(t, r.with(r.rekeys(2, []string{"ann", "bob", "carol"}, metadata.RoleRoot), "root", "ann", "bob", "online"))
	r.requireAccepted()
	replace := r.rekeys(2, []string{"ann", "bob", "dave"}, metadata.RoleRoot)
	require.ErrorIs(t, r.with(replace, "ann", "dave", "online"), tuf.ErrNoKey, "one of the old root's keys")
	require.NoError(t, r.with(replace, "ann", "bob", "online"))
	r.requireAccepted()
	require.NoError(t, r.with(renews(metadata.RoleRoot), "bob", "dave", "online"))
	r.requireAccepted()
}

// leap publishes what a thief of the online key can: the highest version that
// there is.
func (r *recovering) leap(edit func(*metadata.Snapshot)) {
	r.t.Helper()
	ctx, s := r.t.Context(), r.Source()
	require.NoError(r.t, s.Open(ctx))
	pub := *s.Publication()
	raw, err := s.Journal().Fetch(ctx, pub.Snapshot)
	require.NoError(r.t, err)
	f, err := metadata.Decode(metadata.RoleSnapshot, raw)
	require.NoError(r.t, err)
	snapshot := *f.Snapshot
	snapshot.Meta = maps.Clone(snapshot.Meta)
	snapshot.Version = math.MaxInt64
	edit(&snapshot)
	pub.Snapshot = r.stolen(metadata.RoleSnapshot, snapshot.Version, snapshot.Canonical())
	ts := metadata.Timestamp{
		Snapshot: metadata.NewMetaFile(snapshot.Version, pub.Snapshot.Data),
		Carnet:   &metadata.TimestampExtension{Issued: r.Now()},
	}
	ts.Version, ts.Expires = snapshot.Version, r.Now().Add(day)
	pub.Timestamp = r.stolen(metadata.RoleTimestamp, ts.Version, ts.Canonical())
	_, err = s.Journal().Commit(ctx, &pub)
	require.NoError(r.t, err)
	require.NoError(r.t, s.Journal().Advance(ctx, &pub))
}

// stolen signs with the online key.
func (r *recovering) stolen(role string, version int64, signed []byte) tuf.File {
	key := r.Key("online")
	sig, err := key.Sign(r.t.Context(), signed)
	require.NoError(r.t, err)
	return tuf.NewFile(role, version, metadata.Seal(signed, []metadata.Signature{{KeyID: key.Key().ID(), Sig: sig}}))
}

// A thief of the snapshot and timestamp keys forwards every version that is in
// their power to the maximum. New keys, and all goes on.
func TestRecoveryFromALeapToTheHighestVersion(t *testing.T) {
	for name, c := range map[string]struct {
		edit    func(*metadata.Snapshot)
		refused error // what verifiers say of the thief's state
	}{
		"snapshot and timestamp": {edit: func(*metadata.Snapshot) {}},
		"roles in snapshot too": {refused: tuf.ErrInvalid, edit: func(s *metadata.Snapshot) {
			for role, m := range s.Meta {
				m.Version = math.MaxInt64
				s.Meta[role] = m
			}
		}},
		"as far as a publisher goes along": {edit: func(s *metadata.Snapshot) { s.Version = 1 << 53 }},
		"a role of the thief's": {edit: func(s *metadata.Snapshot) {
			s.Meta["thief"] = metadata.MetaFile{Version: math.MaxInt64, Length: 1, Hashes: s.Meta["releases"].Hashes}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecovering(t)
			r.Key("new")
			r.leap(c.edit)
			if c.refused == nil {
				r.requireAccepted()
			} else {
				r.requireRefused(c.refused)
			}
			if err := r.with(renews(metadata.RoleTimestamp), "online"); name != "as far as a publisher goes along" {
				require.ErrorIs(t, err, tuf.ErrImpossible, "nobody can go on from there")
			}
			online := []string{metadata.RoleSnapshot, metadata.RoleTimestamp}
			require.NoError(t, r.with(r.rekeys(1, []string{"new"}, online...), "root", "new"))
			r.requireAccepted()
			require.Less(t, r.Client().Timestamp().Version, int64(100))
			_, err := r.Sign("releases", "app:2", "y")
			require.NoError(t, err)
			r.requireAccepted()
			r.leap(func(*metadata.Snapshot) {}) // the thief tries again
			require.NoError(t, r.with(renews(metadata.RoleTimestamp), "new"))
			r.requireAccepted()
		})
	}
}

// With the timestamp key alone a thief can name snapshots that are none.
func TestRecoveryFromAStolenTimestampKey(t *testing.T) {
	for name, snapshot := range map[string][]byte{
		"a snapshot that is not signed": []byte("{}"),
		"a snapshot that is nowhere":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecovering(t)
			r.Key("new")
			r.seal(math.MaxInt64, snapshot)
			require.Error(t, r.accepts(r.memory))
			require.Error(t, r.accepts(tuf.MemoryStore{}))
			require.Error(t, r.with(renews(metadata.RoleTimestamp), "online"))
			require.NoError(t, r.with(r.rekeys(1, []string{"new"}, metadata.RoleTimestamp), "root", "new", "online"))
			r.requireAccepted()
		})
	}
}

// seal publishes a timestamp of the highest version over bytes that are no
// snapshot; nil stores none.
func (r *recovering) seal(version int64, snapshot []byte) {
	r.t.Helper()
	ctx, s := r.t.Context(), r.Source()
	require.NoError(r.t, s.Open(ctx))
	pub := *s.Publication()
	pub.Snapshot = tuf.NewFile(metadata.RoleSnapshot, version, snapshot)
	ts := metadata.Timestamp{
		Snapshot: metadata.NewMetaFile(version, snapshot),
		Carnet:   &metadata.TimestampExtension{Issued: r.Now()},
	}
	if snapshot == nil {
		pub.Snapshot = tuf.NewFile(metadata.RoleSnapshot, version, []byte("[]")) // the manifest must have one
		ts.Snapshot = metadata.NewMetaFile(version, []byte("nowhere"))
	}
	ts.Version, ts.Expires = version, r.Now().Add(day)
	pub.Timestamp = r.stolen(metadata.RoleTimestamp, ts.Version, ts.Canonical())
	_, err := s.Journal().Commit(ctx, &pub)
	require.NoError(r.t, err)
	require.NoError(r.t, s.Journal().Advance(ctx, &pub))
}
