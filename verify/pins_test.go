package verify_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// line is a publisher's top-level files made by hand: roots in a row, with
// timestamps and snapshots of any version.
type line struct {
	t    *testing.T
	id   string
	key  *tuf.SoftKey // of root and targets
	root []byte
}

func newKey(t *testing.T) *tuf.SoftKey {
	k, err := tuf.NewSoftKey(rand.Reader, tuf.KeyEd25519)
	require.NoError(t, err)
	return k
}

// newRoot makes a root; an empty id makes one by another tool.
func newRoot(t *testing.T, id string) *line {
	l := &line{t: t, id: id, key: newKey(t)}
	l.root = l.rootOf(1, l.key)
	return l
}

// rootOf returns a root version whose timestamp and snapshot key is online.
func (l *line) rootOf(version int64, online *tuf.SoftKey) []byte {
	return l.rootWith(version, online, func(*metadata.Root) {})
}

// rootWith is rootOf with a change before it is signed.
func (l *line) rootWith(version int64, online *tuf.SoftKey, change func(*metadata.Root)) []byte {
	r := &metadata.Root{ConsistentSnapshot: true, Keys: metadata.Keys{}, Roles: map[string]metadata.RoleKeys{}}
	if l.id != "" {
		r.Carnet = &metadata.RootExtension{ID: l.id}
	}
	for role, k := range map[string]*tuf.SoftKey{
		metadata.RoleRoot: l.key, metadata.RoleTargets: l.key, metadata.RoleSnapshot: online, metadata.RoleTimestamp: online,
	} {
		r.Keys[k.Key().ID()] = k.Key()
		r.Roles[role] = metadata.RoleKeys{KeyIDs: []string{k.Key().ID()}, Threshold: 1}
	}
	r.Version, r.Expires = version, fixtures.Epoch.Add(365*day)
	change(r)
	return seal(l.t, r.Canonical(), l.key)
}

func seal(t *testing.T, signed []byte, k *tuf.SoftKey) []byte {
	sig, err := k.Sign(t.Context(), signed)
	require.NoError(t, err)
	return metadata.Seal(signed, []metadata.Signature{{KeyID: k.Key().ID(), Sig: sig}})
}

func (l *line) snapshotOf(version int64, online *tuf.SoftKey) []byte {
	s := &metadata.Snapshot{Meta: map[string]metadata.MetaFile{metadata.RoleTargets: {Version: 1, Length: -1}}}
	s.Version, s.Expires = version, fixtures.Epoch.Add(day)
	return seal(l.t, s.Canonical(), online)
}

func (l *line) timestampOf(version int64, online *tuf.SoftKey) []byte {
	s := &metadata.Timestamp{Snapshot: metadata.MetaFile{Version: version, Length: -1}}
	s.Version, s.Expires = version, fixtures.Epoch.Add(time.Hour)
	return seal(l.t, s.Canonical(), online)
}

func TestPins(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pins")
	pins := verify.OpenPins(dir)
	list, err := pins.List()
	require.NoError(t, err)
	require.Empty(t, list)

	a, b := newRoot(t, strings.Repeat("a", 32)), newRoot(t, "")
	pin := verify.Pin{Name: "acme", Root: a.root, Repositories: []string{"r.example/trust", "oci:near"}}
	require.NoError(t, pins.Add(pin))
	got, err := pins.Get("acme")
	require.NoError(t, err)
	require.Equal(t, a.root, got.Root, "byte for byte")
	require.Equal(t, digest.FromBytes(a.root), got.Digest())
	require.True(t, filepath.IsAbs(got.Repositories[1][len("oci:"):]), "the working directory may change")

	pin.Repositories = []string{"r.example/moved"}
	require.NoError(t, pins.Add(pin), "the same root again: where it is found may change")
	require.NoError(t, pins.Add(verify.Pin{Name: "beta", Root: b.root, Repositories: []string{"r.example/trust"}}))
	list, err = pins.List()
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, []string{"r.example/moved"}, list[0].Repositories)
	id, err := list[1].ID()
	require.NoError(t, err)
	require.Equal(t, "sha256:"+digest.FromBytes(b.root).Encoded(), id)

	require.NoError(t, pins.Remove("acme"))
	require.ErrorIs(t, pins.Remove("acme"), verify.ErrUnknownPublisher)
	_, err = pins.Get("acme")
	require.ErrorIs(t, err, verify.ErrUnknownPublisher)
}

func TestPinsRefuse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pins")
	pins := verify.OpenPins(dir)
	id := strings.Repeat("a", 32)
	a := newRoot(t, id)
	repos := []string{"r.example/trust"}
	require.NoError(t, pins.Add(verify.Pin{Name: "acme", Root: a.root, Repositories: repos}))
	next := a.rootOf(2, a.key)
	unsigned := metadata.Seal(mustDecode(t, metadata.RoleRoot, a.root).Signed, nil)
	for name, c := range map[string]struct {
		pin  verify.Pin
		want string
	}{
		"garbage":          {verify.Pin{Name: "x", Root: []byte("{}"), Repositories: repos}, "no usable root file"},
		"unsigned":         {verify.Pin{Name: "x", Root: unsigned, Repositories: repos}, "no usable root file"},
		"another root":     {verify.Pin{Name: "acme", Root: newRoot(t, id).root, Repositories: repos}, "already pinned with root " + digest.FromBytes(a.root).String()},
		"a newer root":     {verify.Pin{Name: "acme", Root: next, Repositories: repos}, "already pinned"},
		"another case":     {verify.Pin{Name: "ACME", Root: a.root, Repositories: repos}, "already pinned"},
		"case alone":       {verify.Pin{Name: "ACME", Root: newRoot(t, strings.Repeat("b", 32)).root, Repositories: repos}, "already pinned"},
		"one id two names": {verify.Pin{Name: "x", Root: newRoot(t, id).root, Repositories: repos}, "both roots carry the publisher id " + id},
		"no repository":    {verify.Pin{Name: "x", Root: a.root}, "no repository"},
		"bad repository":   {verify.Pin{Name: "x", Root: a.root, Repositories: []string{"trust"}}, "no registry is assumed"},
		"twice":            {verify.Pin{Name: "x", Root: a.root, Repositories: []string{"r.example/t", "r.example/t"}}, "stands twice"},
		"a path":           {verify.Pin{Name: "../x", Root: a.root, Repositories: repos}, "is no name of a publisher"},
		"a dot":            {verify.Pin{Name: ".lock", Root: a.root, Repositories: repos}, "is no name of a publisher"},
		"no name":          {verify.Pin{Root: a.root, Repositories: repos}, "1 to 64 characters"},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorContains(t, pins.Add(c.pin), c.want) })
	}
	list, err := pins.List()
	require.NoError(t, err)
	require.Len(t, list, 1)
	_, err = pins.Get("../pins/acme")
	require.ErrorIs(t, err, verify.ErrUnknownPublisher)
	require.ErrorIs(t, pins.Remove("../pins/acme"), verify.ErrUnknownPublisher)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "acme.json"), []byte("{"), 0o600))
	_, err = pins.Get("acme")
	require.ErrorContains(t, err, "is damaged: pin it again")
}

func mustDecode(t *testing.T, role string, raw []byte) *metadata.File {
	f, err := metadata.Decode(role, raw)
	require.NoError(t, err)
	return f
}
