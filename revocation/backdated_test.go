package revocation_test

import (
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// seal signs with one key.
func (s *story) seal(key, role string, version int64, signed []byte) tuf.File {
	s.Helper()
	k := s.p.Key(key)
	sig, err := k.Sign(s.Context(), signed)
	require.NoError(s, err)
	return tuf.NewFile(role, version, metadata.Seal(signed, []metadata.Signature{{KeyID: k.Key().ID(), Sig: sig}}))
}

// forge publishes a state like another one, but for the file of releases and
// what it claims to be, as a thief of the online key and of bob's can. It does
// not become the newest by itself.
func (s *story) forge(like *tuf.Publication, version, role int64, entries map[string]metadata.Target, parents ...metadata.Parent) *tuf.Publication {
	s.Helper()
	p := *like
	p.Roles, p.Roots = append([]tuf.File(nil), like.Roles...), append([]tuf.File(nil), like.Roots...)
	for _, list := range [][]tuf.File{p.Roots, p.Roles} {
		for i := range list {
			raw, err := s.p.Source().Journal().Fetch(s.Context(), list[i])
			require.NoError(s, err)
			list[i].Data = raw
		}
	}
	releases := &metadata.Targets{Targets: entries}
	releases.Version, releases.Expires = role, fixtures.Epoch.AddDate(1, 0, 0)
	p.SetRole(s.seal("bob", "releases", role, releases.Canonical()))
	raw, err := s.p.Source().Journal().Fetch(s.Context(), like.Snapshot)
	require.NoError(s, err)
	old, err := metadata.Decode(metadata.RoleSnapshot, raw)
	require.NoError(s, err)
	snap := *old.Snapshot
	snap.Meta = map[string]metadata.MetaFile{}
	for name, m := range old.Snapshot.Meta {
		snap.Meta[name] = m
	}
	file, _ := p.Role("releases")
	snap.Meta["releases"] = metadata.NewMetaFile(role, file.Data)
	x := *old.Snapshot.Carnet
	x.Parents = parents
	snap.Version, snap.Carnet = version, &x
	p.Snapshot = s.seal("online", metadata.RoleSnapshot, version, snap.Canonical())
	ts := &metadata.Timestamp{Snapshot: metadata.NewMetaFile(version, p.Snapshot.Data), Carnet: &metadata.TimestampExtension{Issued: fixtures.Epoch}}
	ts.Version, ts.Expires = version, fixtures.Epoch.AddDate(0, 0, 1)
	p.Timestamp = s.seal("online", metadata.RoleTimestamp, version, ts.Canonical())
	journal := s.p.Source().Journal()
	_, err = journal.Commit(s.Context(), &p)
	require.NoError(s, err)
	return &p
}

func (s *story) latest() *tuf.Publication {
	s.Helper()
	p, err := s.p.Source().Journal().Latest(s.Context())
	require.NoError(s, err)
	return p
}

func parent(p *tuf.Publication) metadata.Parent {
	return metadata.Parent{Version: p.Snapshot.Version, ID: p.Identity()}
}

// A thief of the online key makes a state that claims an old version, and one
// that claims to contain it. It is after the last good state all the same:
// that does not contain it.
func TestSinceGoesByDescentAndNotByVersion(t *testing.T) {
	s := newStory(t)
	second := s.latest()
	s.sign("bob", "releases", "net-monitor:1", "one") // 3
	third := s.latest()
	s.sign("ann", "releases", "net-monitor:2", "two") // 4, the last good one
	good := s.latest()
	entries := map[string]metadata.Target{"net-monitor:evil": fixtures.Target("evil")}
	back := s.forge(third, 3, 2, entries, parent(second))
	entries = map[string]metadata.Target{"net-monitor:1": fixtures.Target("one"), "net-monitor:2": fixtures.Target("two"), "net-monitor:evil": fixtures.Target("evil")}
	top := s.forge(good, 5, 5, entries, parent(good), parent(back), parent(third))
	require.NoError(t, s.p.Source().Journal().Advance(t.Context(), top))

	a := s.audit("bob")
	at, err := a.Past.At("4")
	require.NoError(t, err)
	bad, _ := a.Since(at)
	require.Equal(t, []digest.Digest{fixtures.Target("evil").Hashes.Digest()}, bad)
	_, err = a.Past.At("3")
	require.ErrorIs(t, err, tuf.ErrImpossible, "two states claim that version")
}

// What stands only in a state that the present one does not descend from was
// vouched for too: readers may have taken it. It is after every good state,
// and nobody's word on it makes it earlier.
func TestAuditTellsOfStatesAside(t *testing.T) {
	s := newStory(t)
	second := s.latest()
	s.forge(second, 2, 9, map[string]metadata.Target{"net-monitor:evil": fixtures.Target("evil")})
	s.sign("ann", "releases", "net-monitor:1", "one")     // 3
	s.sign("ann", "releases", "net-monitor:copy", "evil") // 4: ann believed the thief
	a := s.audit("bob")
	require.Equal(t, []string{"aside 2 releases net-monitor:evil"}, lines(a))
	at, err := a.Past.At("3")
	require.NoError(t, err)
	bad, _ := a.Since(at)
	require.Equal(t, []digest.Digest{fixtures.Target("evil").Hashes.Digest()}, bad)
}
