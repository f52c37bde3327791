package metadata_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tufmeta "github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/carnet-project/carnet/metadata"
)

// signer is a key as both implementations see it.
type signer struct {
	signature.Signer
	theirs *tufmeta.Key
	ours   metadata.Key
	id     string
}

func newSigner(t *testing.T, private crypto.Signer) signer {
	t.Helper()
	s, err := signature.LoadSigner(private, crypto.SHA256)
	require.NoError(t, err)
	key, err := tufmeta.KeyFromPublicKey(private.Public())
	require.NoError(t, err)
	id, err := key.ID()
	require.NoError(t, err)
	return signer{s, key, metadata.Key{Type: key.Type, Scheme: key.Scheme, Public: key.Value.PublicKey}, id}
}

// signers are an Ed25519 key, and an ECDSA key, whose PEM has line breaks.
func signers(t *testing.T) []signer {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return []signer{newSigner(t, ed), newSigner(t, ec)}
}

// seal signs canonical bytes as Carnet writes them.
func seal(t *testing.T, signed []byte, by ...signer) []byte {
	t.Helper()
	sigs := make([]metadata.Signature, len(by))
	for i, s := range by {
		sig, err := s.SignMessage(bytes.NewReader(signed))
		require.NoError(t, err)
		sigs[i] = metadata.Signature{KeyID: s.id, Sig: sig}
	}
	return metadata.Seal(signed, sigs)
}

func TestKeyIDIsThatOfGoTUF(t *testing.T) {
	for _, s := range signers(t) {
		assert.Equal(t, s.id, s.ours.ID(), s.ours.Type)
	}
}

// theirs builds, signs and writes one file of each kind with go-tuf.
func theirs(t *testing.T, by []signer) map[string][]byte {
	t.Helper()
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ids := []string{by[0].id, by[1].id}
	root := tufmeta.Root(expires)
	for _, role := range tufmeta.TOP_LEVEL_ROLE_NAMES {
		for _, s := range by {
			require.NoError(t, root.Signed.AddKey(s.theirs, role))
		}
		root.Signed.Roles[role].Threshold = 2
	}
	targets := tufmeta.Targets(expires)
	file, err := tufmeta.TargetFile().FromBytes("net-monitor:1.0", []byte("content"), "sha256", "sha512")
	require.NoError(t, err)
	custom := json.RawMessage(`{ "b": [1, {"z":"<&>\u2028é"}], "a": "\n" }`)
	file.Custom = &custom
	targets.Signed.Targets["net-monitor:1.0"] = file
	keys := map[string]*tufmeta.Key{by[0].id: by[0].theirs, by[1].id: by[1].theirs}
	targets.Signed.Delegations = &tufmeta.Delegations{Keys: keys, Roles: []tufmeta.DelegatedRole{
		{Name: "releases", KeyIDs: ids, Threshold: 2, Terminating: true, Paths: []string{"net-monitor:*", "net-monitor@*"}},
		{Name: "hashed", KeyIDs: ids[:1], Threshold: 1, PathHashPrefixes: []string{"a0", "b1"}},
		{Name: "empty", KeyIDs: ids[:1], Threshold: 1, Paths: []string{}},
	}}
	bins := tufmeta.Targets(expires)
	bins.Signed.Delegations = &tufmeta.Delegations{Keys: keys, SuccinctRoles: &tufmeta.SuccinctRoles{KeyIDs: ids, Threshold: 1, BitLength: 10, NamePrefix: "bin"}}
	snapshot := tufmeta.Snapshot(expires)
	snapshot.Signed.Meta["releases.json"] = &tufmeta.MetaFiles{Version: 4, Length: 77, Hashes: tufmeta.Hashes{"sha256": bytes.Repeat([]byte{0xab}, 32)}}
	timestamp := tufmeta.Timestamp(expires)
	return map[string][]byte{
		"root": write(t, root, by), "targets": write(t, targets, by), "releases": write(t, bins, by),
		"snapshot": write(t, snapshot, by), "timestamp": write(t, timestamp, by),
	}
}

func write[T tufmeta.Roles](t *testing.T, m *tufmeta.Metadata[T], by []signer) []byte {
	t.Helper()
	for _, s := range by {
		_, err := m.Sign(s)
		require.NoError(t, err)
	}
	raw, err := m.ToBytes(true) // pretty: not canonical
	require.NoError(t, err)
	return raw
}

func TestGoTUFFilesAreDecoded(t *testing.T) {
	by := signers(t)
	files := theirs(t, by)
	decoded := map[string]*metadata.File{}
	for role, raw := range files {
		f, err := metadata.Decode(role, raw)
		require.NoError(t, err, role)
		for i, s := range by {
			assert.Equal(t, s.id, f.Signatures[i].KeyID)
			v, err := signature.LoadVerifier(publicKey(t, s), crypto.SHA256)
			require.NoError(t, err)
			assert.NoError(t, v.VerifySignature(bytes.NewReader(f.Signatures[i].Sig), bytes.NewReader(f.Signed)), "%s: the canonical bytes are theirs", role)
		}
		assert.Equal(t, string(f.Signed), string(canonical(f)), "%s: written again without loss", role)
		assert.Equal(t, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), f.Expires)
		decoded[role] = f
	}
	root := decoded["root"].Root
	assert.True(t, root.ConsistentSnapshot)
	for _, role := range tufmeta.TOP_LEVEL_ROLE_NAMES {
		assert.ElementsMatch(t, []string{by[0].id, by[1].id}, root.Roles[role].KeyIDs)
		assert.Equal(t, 2, root.Roles[role].Threshold)
	}
	for _, s := range by {
		assert.Equal(t, s.ours.Public, root.Keys[s.id].Public)
	}
	tg := decoded["targets"].Targets
	entry := tg.Targets["net-monitor:1.0"]
	assert.Equal(t, int64(7), entry.Length)
	require.NoError(t, entry.Hashes.Verify([]byte("content")))
	assert.Len(t, entry.Hashes, 2)
	assert.Equal(t, "\n", entry.Custom.Get("a").Str())
	d := tg.Delegations.Roles
	assert.True(t, d[0].Terminating)
	assert.Equal(t, []string{"net-monitor:*", "net-monitor@*"}, d[0].Paths)
	assert.Equal(t, 2, d[0].Threshold)
	assert.Equal(t, []string{"a0", "b1"}, d[1].HashPrefixes)
	assert.Empty(t, d[2].Paths)
	assert.Equal(t, 10, decoded["releases"].Targets.Delegations.Succinct.BitLength)
	assert.Equal(t, int64(1), decoded["timestamp"].Timestamp.Snapshot.Version)
	meta := decoded["snapshot"].Snapshot.Meta["releases"]
	assert.Equal(t, int64(4), meta.Version)
	assert.Equal(t, int64(77), meta.Length)
	assert.Equal(t, strings.Repeat("ab", 32), meta.Hashes.Get("sha256"))
}

func publicKey(t *testing.T, s signer) crypto.PublicKey {
	t.Helper()
	pub, err := s.theirs.ToPublicKey()
	require.NoError(t, err)
	return pub
}

// ours builds the same files with Carnet, extensions and all.
func ours(by []signer) map[string][]byte {
	h := metadata.Header{Version: 3, Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	keys := metadata.Keys{by[0].id: by[0].ours, by[1].id: by[1].ours}
	both := metadata.RoleKeys{KeyIDs: []string{by[0].id, by[1].id}, Threshold: 2}
	notice := &metadata.Notice{Digest: "sha256:" + hexA, Reason: "leak\nof \"keys\"", At: h.Expires}
	return map[string][]byte{
		"root": (&metadata.Root{
			Header: h, ConsistentSnapshot: true, Keys: keys,
			Roles:  map[string]metadata.RoleKeys{"root": both, "targets": both, "snapshot": both, "timestamp": both},
			Carnet: &metadata.RootExtension{ID: strings.Repeat("0a", 16), Name: "Wabbit", Refreshers: []string{by[0].id}, Expiry: map[string]time.Duration{"timestamp": time.Hour}},
		}).Canonical(),
		"timestamp": (&metadata.Timestamp{Header: h, Snapshot: metadata.NewMetaFile(3, []byte("s")), Carnet: &metadata.TimestampExtension{Issued: h.Expires}}).Canonical(),
		"snapshot": (&metadata.Snapshot{
			Header: h, Meta: map[string]metadata.MetaFile{"targets": metadata.NewMetaFile(3, []byte("t")), "releases": {Version: 2, Length: -1}},
			Carnet: &metadata.SnapshotExtension{Parents: []metadata.Parent{{Version: 2, ID: hexA}}},
		}).Canonical(),
		"targets": (&metadata.Targets{Header: h, Delegations: &metadata.Delegations{Keys: keys, Roles: []metadata.Delegation{
			{Name: "revocations", RoleKeys: both, Paths: []string{"*"}, Purpose: metadata.PurposeWithdrawal},
			{Name: "releases", RoleKeys: both, Paths: []string{"net-monitor:*"}, Terminating: true},
		}}}).Canonical(),
		"releases": (&metadata.Targets{
			Header:      h,
			Targets:     map[string]metadata.Target{"net-monitor:1.0": metadata.NewTarget(7, "sha256:"+hexA).WithStatement(metadata.Statement{Claims: map[string]string{"stage": "prod"}, Signed: h.Expires})},
			Delegations: &metadata.Delegations{Keys: keys, Succinct: &metadata.SuccinctRoles{RoleKeys: both, BitLength: 4, NamePrefix: "bin"}},
		}).Canonical(),
		"revocations": (&metadata.Targets{Header: h, Targets: map[string]metadata.Target{metadata.WithdrawnPath("sha256:" + hexA): notice.Entry()}}).Canonical(),
		"bin-0":       (&metadata.Targets{Header: h, Revoked: true}).Canonical(),
	}
}

func read[T tufmeta.Roles](t *testing.T, raw []byte) *tufmeta.Metadata[T] {
	t.Helper()
	m, err := (&tufmeta.Metadata[T]{}).FromBytes(raw)
	require.NoError(t, err)
	payload, err := cjson.EncodeCanonical(m.Signed)
	require.NoError(t, err)
	var v struct{ Signed json.RawMessage }
	require.NoError(t, json.Unmarshal(raw, &v))
	same, err := cjson.EncodeCanonical(v.Signed)
	require.NoError(t, err)
	assert.Equal(t, string(same), string(payload), "go-tuf keeps every member that Carnet writes")
	return m
}

func TestGoTUFVerifiesWhatCarnetWrites(t *testing.T) {
	by := signers(t)
	files := ours(by)
	for role, signed := range files {
		files[role] = seal(t, signed, by...)
		f, err := metadata.Decode(role, files[role])
		require.NoError(t, err, role)
		assert.Equal(t, string(signed), string(f.Signed), role)
	}
	root, targets, releases := read[tufmeta.RootType](t, files["root"]), read[tufmeta.TargetsType](t, files["targets"]), read[tufmeta.TargetsType](t, files["releases"])
	revocations := read[tufmeta.TargetsType](t, files["revocations"])
	require.NoError(t, root.VerifyDelegate("root", root))
	require.NoError(t, root.VerifyDelegate("timestamp", read[tufmeta.TimestampType](t, files["timestamp"])))
	require.NoError(t, root.VerifyDelegate("snapshot", read[tufmeta.SnapshotType](t, files["snapshot"])))
	require.NoError(t, root.VerifyDelegate("targets", targets))
	require.NoError(t, targets.VerifyDelegate("releases", releases))
	require.NoError(t, targets.VerifyDelegate("revocations", revocations))
	require.NoError(t, releases.VerifyDelegate("bin-0", read[tufmeta.TargetsType](t, files["bin-0"])))

	releases.Signatures = releases.Signatures[:1]
	assert.Error(t, targets.VerifyDelegate("releases", releases), "one signature where two are needed")

	// A client of go-tuf that takes the withdrawal for the target finds that
	// the artifact does not fit it, and that the notice does.
	entry := revocations.Signed.Targets[metadata.WithdrawnPath("sha256:"+hexA)]
	notice := &metadata.Notice{Digest: "sha256:" + hexA, Reason: "leak\nof \"keys\"", At: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	assert.Error(t, entry.VerifyLengthHashes([]byte("content")))
	assert.NoError(t, entry.VerifyLengthHashes(notice.Canonical()))
}

// Known differences: what Carnet reads and go-tuf does not read alike. Each
// fails when go-tuf changes.
func TestKnownDifferences(t *testing.T) {
	for name, c := range map[string]struct{ file, old, new string }{
		"OmittedTerminatingBecomesFalseInSignedBytes": {"targets", `"terminating":true,`, ``},
		"FractionalSeconds":                           {"targets", `05Z","spec`, `05.100Z","spec`},
		"UpperCaseHex":                                {"targets", hexA, strings.ToUpper(hexA)},
		"BigIntegersInUnknownMembers":                 {"targets", `"_type"`, `"0":9007199254740993,"_type"`},
	} {
		t.Run(name, func(t *testing.T) {
			file := valid[c.file]
			require.Contains(t, file.signed, c.old)
			raw := unsigned(strings.Replace(file.signed, c.old, c.new, 1))
			f, err := metadata.Decode(file.role, raw)
			require.NoError(t, err)
			m, err := (&tufmeta.Metadata[tufmeta.TargetsType]{}).FromBytes(raw)
			require.NoError(t, err)
			payload, err := cjson.EncodeCanonical(m.Signed)
			if err == nil {
				assert.NotEqual(t, string(f.Signed), string(payload), "go-tuf reads it as Carnet does now")
			}
		})
	}
}
