package metadata_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

// unsigned is a file without signatures.
func unsigned(signed string) []byte { return []byte(`{"signatures":[],"signed":` + signed + `}`) }

const (
	hexA      = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	hexB      = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	roleKeysJ = `{"keyids":["k1"],"threshold":1}`
	keysJ     = `{"k1":{"keytype":"ed25519","keyval":{"public":"ab"},"scheme":"ed25519"}}`

	rootJ = `{"_type":"root","carnet":{"expiry":{"timestamp":"24h"},"id":"0123456789abcdef0123456789abcdef","name":"Wabbit","refreshers":["k1"]},` +
		`"consistent_snapshot":true,"expires":"2030-01-02T03:04:05Z","keys":` + keysJ + `,` +
		`"roles":{"root":` + roleKeysJ + `,"snapshot":` + roleKeysJ + `,"targets":` + roleKeysJ + `,"timestamp":` + roleKeysJ + `},` +
		`"spec_version":"1.0.34","version":7}`
	timestampJ = `{"_type":"timestamp","carnet":{"issued":"2026-11-23T15:04:05Z"},"expires":"2030-01-02T03:04:05Z",` +
		`"meta":{"snapshot.json":{"hashes":{"sha256":"` + hexA + `"},"length":12,"version":7}},"spec_version":"1.0.34","version":7}`
	snapshotJ = `{"_type":"snapshot","carnet":{"parents":["6.` + hexA + `"]},"expires":"2030-01-02T03:04:05Z",` +
		`"meta":{"targets.json":{"version":3},"releases.json":{"hashes":{"sha256":"` + hexB + `"},"length":9,"version":2}},"spec_version":"1.0.34","version":7}`
	targetsJ = `{"_type":"targets","carnet":{"revoked":false},"delegations":{"keys":` + keysJ + `,"roles":[` +
		`{"carnet":{"purpose":"withdrawal"},"keyids":["k1"],"name":"revocations","paths":["*","*/*"],"terminating":false,"threshold":1},` +
		`{"keyids":["k1"],"name":"bins","path_hash_prefixes":["a0"],"terminating":true,"threshold":1}]},` +
		`"expires":"2030-01-02T03:04:05Z","spec_version":"1.0.34",` +
		`"targets":{"net-monitor:1.0":{"custom":{"carnet":{"mediaType":"m"}},"hashes":{"sha256":"` + hexA + `"},"length":4}},"version":7}`
	agreementJ = `{"_type":"targets","delegations":{"keys":` + keysJ + `,"roles":[` +
		`{"carnet":{"purpose":"withdrawal"},"keyids":["k1"],"name":"revocations","paths":["*"],"terminating":false,"threshold":1},` +
		`{"keyids":["k1"],"name":"dev","paths":["a:*"],"terminating":false,"threshold":1},` +
		`{"carnet":{"agreement":{"min":2,"roles":["dev","security"]},"critical":["agreement"]},` +
		`"keyids":["k1"],"name":"security","paths":["a:*"],"terminating":false,"threshold":1}]},` +
		`"expires":"2030-01-02T03:04:05Z","spec_version":"1.0.34","targets":{},"version":7}`
	succinctJ = `{"_type":"targets","delegations":{"keys":` + keysJ + `,"succinct_roles":{"bit_length":8,"keyids":["k1"],"name_prefix":"bin","threshold":1}},` +
		`"expires":"2030-01-02T03:04:05Z","spec_version":"1.0.34","targets":{},"version":7}`
)

// valid holds one file of each kind, by the role it is decoded as.
var valid = map[string]struct{ role, signed string }{
	"root":      {metadata.RoleRoot, rootJ},
	"timestamp": {metadata.RoleTimestamp, timestampJ},
	"snapshot":  {metadata.RoleSnapshot, snapshotJ},
	"targets":   {metadata.RoleTargets, targetsJ},
	"succinct":  {"releases", succinctJ},
	"agreement": {metadata.RoleTargets, agreementJ},
}

func TestDecodeReadsEveryMember(t *testing.T) {
	expires := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	decoded := map[string]*metadata.File{}
	for name, c := range valid {
		f, err := metadata.Decode(c.role, unsigned(c.signed))
		require.NoError(t, err, name)
		assert.Equal(t, int64(7), f.Version, name)
		assert.Equal(t, expires, f.Expires, name)
		assert.Equal(t, "1.0.34", f.SpecVersion, name)
		decoded[name] = f
	}
	root := decoded["root"].Root
	assert.True(t, root.ConsistentSnapshot)
	assert.Equal(t, "ab", root.Keys["k1"].Public)
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		assert.Equal(t, []string{"k1"}, root.Roles[role].KeyIDs)
		assert.Equal(t, 1, root.Roles[role].Threshold)
	}
	assert.Equal(t, "0123456789abcdef0123456789abcdef", root.Carnet.ID)
	assert.Equal(t, "Wabbit", root.Carnet.Name)
	assert.Equal(t, []string{"k1"}, root.Carnet.Refreshers)
	assert.Equal(t, map[string]time.Duration{"timestamp": 24 * time.Hour}, root.Carnet.Expiry)

	ts := decoded["timestamp"].Timestamp
	assert.Equal(t, time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC), ts.Carnet.Issued)
	assert.Equal(t, int64(12), ts.Snapshot.Length)
	assert.Equal(t, hexA, ts.Snapshot.Hashes.Get("sha256"))

	sn := decoded["snapshot"].Snapshot
	assert.Equal(t, []metadata.Parent{{Version: 6, ID: hexA}}, sn.Carnet.Parents)
	assert.Equal(t, int64(-1), sn.Meta["targets"].Length, "no length given")
	assert.Nil(t, sn.Meta["targets"].Hashes)
	assert.Equal(t, int64(2), sn.Meta["releases"].Version)

	tg := decoded["targets"].Targets
	entry := tg.Targets["net-monitor:1.0"]
	assert.Equal(t, int64(4), entry.Length)
	assert.Equal(t, "sha256:"+hexA, entry.Hashes.Digest().String())
	require.Len(t, tg.Delegations.Roles, 2)
	first, second := tg.Delegations.Roles[0], tg.Delegations.Roles[1]
	assert.Equal(t, metadata.PurposeWithdrawal, first.Purpose)
	assert.Equal(t, []string{"*", "*/*"}, first.Paths)
	assert.False(t, first.Terminating)
	assert.Equal(t, []string{"a0"}, second.HashPrefixes)
	assert.True(t, second.Terminating)
	agreeing := decoded["agreement"].Targets.Delegations.Roles
	assert.Nil(t, agreeing[1].Agreement)
	assert.Equal(t, []string{"dev", "security"}, agreeing[2].Agreement.Roles)
	assert.Equal(t, 2, agreeing[2].Agreement.Min)
	assert.Equal(t, 8, decoded["succinct"].Targets.Delegations.Succinct.BitLength)
	assert.Equal(t, "bin", decoded["succinct"].Targets.Delegations.Succinct.NamePrefix)
}

// Each case replaces old by new in a valid file, and says what the error names.
func TestDecodeRefuses(t *testing.T) {
	many := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	numbered := func(n int, format string) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(format, i)
		}
		return strings.Join(list, ",")
	}
	for _, c := range []struct{ name, file, old, new, want string }{
		{"type of another role", "timestamp", `"_type":"timestamp"`, `"_type":"snapshot"`, `want "timestamp", found "snapshot"`},
		{"missing type", "timestamp", `"_type":"timestamp",`, ``, "_type"},
		{"spec version 2", "root", `"1.0.34"`, `"2.0.0"`, "spec_version"},
		{"spec version 10", "root", `"1.0.34"`, `"10.0.0"`, "spec_version"},
		{"spec version as number", "root", `"1.0.34"`, `1`, "spec_version"},
		{"version zero", "root", `"version":7`, `"version":0`, "version"},
		{"version negative", "root", `"version":7`, `"version":-7`, "version"},
		{"version as string", "root", `"version":7`, `"version":"7"`, "version"},
		{"version beyond 64 bits", "root", `"version":7`, `"version":9223372036854775808`, "version"},
		{"version missing", "root", `,"version":7`, ``, "version"},
		{"expires missing", "root", `"expires":"2030-01-02T03:04:05Z",`, ``, "expires"},
		{"expires as number", "root", `"2030-01-02T03:04:05Z"`, `1893553445`, "expires"},
		{"expires with offset", "root", `03:04:05Z`, `03:04:05+00:00`, "expires"},
		{"expires without zone", "root", `03:04:05Z`, `03:04:05`, "expires"},
		{"expires with a space", "root", `02T03`, `02 03`, "expires"},
		{"expires in small letters", "root", `T03:04:05Z`, `t03:04:05z`, "expires"},
		{"expires with a short hour", "root", `T03:04`, `T3:04`, "expires"},
		{"expires with a comma", "root", `05Z`, `05,5Z`, "expires"},
		{"expires with an empty fraction", "root", `05Z`, `05.Z`, "expires"},
		{"expires on 30 February", "root", `01-02T`, `02-30T`, "expires"},
		{"expires in a leap second", "root", `03:04:05Z`, `23:59:60Z`, "expires"},
		{"expires in hour 24", "root", `03:04:05Z`, `24:00:00Z`, "expires"},

		{"keys as array", "root", `"keys":` + keysJ, `"keys":[]`, "keys"},
		{"key without type", "root", `"keytype":"ed25519",`, ``, "keytype"},
		{"key without scheme", "root", `,"scheme":"ed25519"`, ``, "scheme"},
		{"key without value", "root", `"keyval":{"public":"ab"},`, ``, "keyval"},
		{"public part as number", "root", `"public":"ab"`, `"public":1`, "public"},
		{"too many keys", "root", `"keys":{`, `"keys":{` + numbered(metadata.MaxKeys, `"x%d":{"keytype":"a","keyval":{},"scheme":"b"}`) + `,`, "keys"},
		{"role missing", "root", `"snapshot":` + roleKeysJ + `,`, ``, "snapshot"},
		{"threshold zero", "root", `"threshold":1},"timestamp"`, `"threshold":0},"timestamp"`, "threshold"},
		{"threshold negative", "root", `"threshold":1},"timestamp"`, `"threshold":-1},"timestamp"`, "threshold"},
		{"threshold missing", "root", `"keyids":["k1"],"threshold":1},"timestamp"`, `"keyids":["k1"]},"timestamp"`, "threshold"},
		{"threshold that no role can meet", "root", `"threshold":1},"timestamp"`, `"threshold":1025},"timestamp"`, "threshold"},
		{"key ID twice", "root", `"keyids":["k1"],"threshold":1},"timestamp"`, `"keyids":["k1","k1"],"threshold":1},"timestamp"`, "twice"},
		{"key ID as number", "root", `"keyids":["k1"],"threshold":1},"timestamp"`, `"keyids":[1],"threshold":1},"timestamp"`, "keyids"},
		{"too many key IDs", "root", `"keyids":["k1"]`, `"keyids":[` + numbered(metadata.MaxKeys+1, `"%d"`) + `]`, "keyids"},
		{"consistent snapshot as string", "root", `"consistent_snapshot":true`, `"consistent_snapshot":"true"`, "consistent_snapshot"},
		{"publisher id of other form", "root", `0123456789abcdef0123456789abcdef`, `0123456789ABCDEF0123456789ABCDEF`, "id"},
		{"publisher id missing", "root", `"id":"0123456789abcdef0123456789abcdef",`, ``, "id"},
		{"extension as array", "root", `"carnet":{"expiry":{"timestamp":"24h"},"id":"0123456789abcdef0123456789abcdef","name":"Wabbit","refreshers":["k1"]}`, `"carnet":[]`, "carnet"},
		{"expiry of no duration", "root", `"24h"`, `"a day"`, "expiry"},
		{"expiry as number", "root", `"24h"`, `24`, "expiry"},
		{"expiry with a fraction", "root", `"24h"`, `"1.5s"`, "expiry"},
		{"expiry of nothing", "root", `"24h"`, `"0s"`, "expiry"},
		{"expiry negative", "root", `"24h"`, `"-24h"`, "expiry"},
		{"unknown critical name in root", "root", `"carnet":{`, `"carnet":{"critical":["quorum"],`, "quorum"},
		{"critical that is no list", "root", `"carnet":{`, `"carnet":{"critical":"id",`, "critical"},

		{"timestamp of nothing", "timestamp", `"snapshot.json":`, `"snap.json":`, "snapshot.json"},
		{"timestamp of two files", "timestamp", `"meta":{`, `"meta":{"a.json":{"version":1},`, "alone"},
		{"snapshot version zero", "timestamp", `"version":7}}`, `"version":0}}`, "version"},
		{"negative length", "timestamp", `"length":12`, `"length":-1`, "length"},
		{"length as string", "timestamp", `"length":12`, `"length":"12"`, "length"},
		{"hash that is not hexadecimal", "timestamp", hexA, strings.Repeat("g", 64), "sha256"},
		{"hash too short", "timestamp", hexA, "aaaa", "sha256"},
		{"hash of odd length", "timestamp", hexA, hexA[1:], "sha256"},
		{"hash as number", "timestamp", `"` + hexA + `"`, `1`, "sha256"},
		{"no hash in hashes", "timestamp", `{"sha256":"` + hexA + `"}`, `{}`, "hash"},
		{"issued of other form", "timestamp", `2026-11-23T15:04:05Z`, `yesterday`, "issued"},
		{"issued missing", "timestamp", `"carnet":{"issued":"2026-11-23T15:04:05Z"}`, `"carnet":{}`, "issued"},
		{"unknown critical name in timestamp", "timestamp", `"carnet":{`, `"carnet":{"critical":["x"],`, "x"},

		{"snapshot without targets", "snapshot", `"targets.json":{"version":3},`, ``, "targets.json"},
		{"listed file without .json", "snapshot", `"releases.json"`, `"releases"`, "ROLE.json"},
		{"listed file without a role", "snapshot", `"releases.json"`, `".json"`, "ROLE.json"},
		{"listed role of long name", "snapshot", `"releases.json"`, `"` + strings.Repeat("r", metadata.MaxRoleName+1) + `.json"`, "ROLE.json"},
		{"listed file without version", "snapshot", `"targets.json":{"version":3}`, `"targets.json":{}`, "version"},
		{"parent of other form", "snapshot", `"6.` + hexA, `"06.` + hexA, "parents"},
		{"parent without version", "snapshot", `"6.` + hexA, `"` + hexA, "parents"},
		{"parent of version zero", "snapshot", `"6.` + hexA, `"0.` + hexA, "parents"},
		{"parent in capital hexadecimal", "snapshot", `"6.` + hexA, `"6.` + strings.ToUpper(hexA), "parents"},
		{"parents as string", "snapshot", `["6.` + hexA + `"]`, `"6.` + hexA + `"`, "parents"},
		{"too many parents", "snapshot", `["6.` + hexA + `"]`, `[` + many(metadata.MaxAncestors+1, `"6.`+hexA+`"`) + `]`, "parents"},
		{"unknown critical name in snapshot", "snapshot", `"carnet":{`, `"carnet":{"critical":["x"],`, "x"},

		{"targets as array", "targets", `"targets":{"net-monitor:1.0":{"custom":{"carnet":{"mediaType":"m"}},"hashes":{"sha256":"` + hexA + `"},"length":4}}`, `"targets":[]`, "targets"},
		{"empty target path", "targets", `"net-monitor:1.0"`, `""`, "target path"},
		{"long target path", "targets", `net-monitor:1.0`, strings.Repeat("p", metadata.MaxPath+1), "target path"},
		{"target without length", "targets", `,"length":4`, ``, "length"},
		{"target of negative length", "targets", `"length":4`, `"length":-4`, "length"},
		{"target without hashes", "targets", `"hashes":{"sha256":"` + hexA + `"},`, ``, "hashes"},
		{"target of no hash", "targets", `"hashes":{"sha256":"` + hexA + `"}`, `"hashes":{}`, "hash"},
		{"custom as string", "targets", `"custom":{"carnet":{"mediaType":"m"}}`, `"custom":"m"`, "custom"},
		{"revoked as string", "targets", `"revoked":false`, `"revoked":"false"`, "revoked"},
		{"revoked role that still lists", "targets", `"revoked":false`, `"revoked":true`, "revoked"},
		{"unknown critical name in targets", "targets", `"carnet":{"revoked"`, `"carnet":{"critical":["x"],"revoked"`, "x"},
		{"delegations as array", "targets", `"delegations":{`, `"delegations":[],"other":{`, "delegations"},
		{"delegations without keys", "targets", `"keys":` + keysJ + `,`, ``, "keys"},
		{"delegations of both kinds", "targets", `"roles":[`, `"succinct_roles":{"bit_length":8,"keyids":[],"name_prefix":"b","threshold":1},"roles":[`, "one of"},
		{"delegations of no kind", "succinct", `"succinct_roles"`, `"other"`, "one of"},
		{"role delegated twice", "targets", `"name":"bins"`, `"name":"revocations"`, "twice"},
		{"delegation to root", "targets", `"name":"bins"`, `"name":"root"`, "name"},
		{"delegation to timestamp", "targets", `"name":"bins"`, `"name":"timestamp"`, "name"},
		{"delegation to nobody", "targets", `"name":"bins"`, `"name":""`, "name"},
		{"delegation to a long name", "targets", `"name":"bins"`, `"name":"` + strings.Repeat("r", metadata.MaxRoleName+1) + `"`, "name"},
		{"delegation of both kinds of paths", "targets", `"path_hash_prefixes":["a0"]`, `"path_hash_prefixes":["a0"],"paths":["x"]`, "one of"},
		{"delegation of no paths", "targets", `"path_hash_prefixes":["a0"],`, ``, "one of"},
		{"hash prefix that is not hexadecimal", "targets", `["a0"]`, `["xy"]`, "path_hash_prefixes"},
		{"hash prefix of nothing", "targets", `["a0"]`, `[""]`, "path_hash_prefixes"},
		{"hash prefix too long", "targets", `["a0"]`, `["` + hexA + `a"]`, "path_hash_prefixes"},
		{"pattern as number", "targets", `"paths":["*","*/*"]`, `"paths":[1]`, "paths"},
		{"pattern too long", "targets", `"paths":["*","*/*"]`, `"paths":["` + strings.Repeat("p", metadata.MaxPath+1) + `"]`, "paths"},
		{"terminating as number", "targets", `"terminating":true`, `"terminating":1`, "terminating"},
		{"delegation of threshold zero", "targets", `"terminating":true,"threshold":1`, `"terminating":true,"threshold":0`, "threshold"},
		{"unknown purpose", "targets", `"purpose":"withdrawal"`, `"purpose":"quarantine"`, "purpose"},
		{"unknown critical name in a delegation", "targets", `"carnet":{"purpose"`, `"carnet":{"critical":["x"],"purpose"`, `"x"`},
		{"agreement as string", "agreement", `{"min":2,"roles":["dev","security"]}`, `"dev"`, "agreement"},
		{"agreement that is not critical", "agreement", `,"critical":["agreement"]`, ``, "critical must list it"},
		{"agreement without roles", "agreement", `,"roles":["dev","security"]`, ``, "agreement: roles"},
		{"agreement without min", "agreement", `"min":2,`, ``, "agreement: min"},
		{"agreement of one", "agreement", `"min":2`, `"min":1`, "agreement: min"},
		{"agreement of one role", "agreement", `["dev","security"]`, `["dev"]`, "agreement: min"},
		{"agreement of more than there are", "agreement", `"min":2`, `"min":3`, "agreement: min"},
		{"agreement of more than a number holds", "agreement", `"min":2`, `"min":99999999999999999999`, "agreement: min"},
		{"agreement of one role with itself", "agreement", `["dev","security"]`, `["dev","dev"]`, "twice"},
		{"agreement of a role that is not delegated", "agreement", `["dev","security"]`, `["dev","qa","security"]`, `"qa"`},
		{"agreement with the withdrawal role", "agreement", `["dev","security"]`, `["dev","revocations"]`, `"revocations"`},
		{"agreement of the withdrawal role", "agreement", `"purpose":"withdrawal"`, `"agreement":{"min":2,"roles":["dev","security"]},"critical":["agreement"],"purpose":"withdrawal"`, "takes no part"},
		{"agreement of too many", "agreement", `["dev","security"]`, `[` + numbered(metadata.MaxVisits+1, `"r%d"`) + `]`, "agreement: min"},
		{"unknown critical name in an agreement", "agreement", `{"min":2`, `{"critical":["x"],"min":2`, `"x"`},
		{"bit length zero", "succinct", `"bit_length":8`, `"bit_length":0`, "bit_length"},
		{"bit length 33", "succinct", `"bit_length":8`, `"bit_length":33`, "bit_length"},
		{"empty name prefix", "succinct", `"name_prefix":"bin"`, `"name_prefix":""`, "name_prefix"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := valid[c.file]
			require.Contains(t, file.signed, c.old)
			_, err := metadata.Decode(file.role, unsigned(strings.Replace(file.signed, c.old, c.new, 1)))
			require.ErrorIs(t, err, metadata.ErrInvalid)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestDecodeRefusesEnvelopes(t *testing.T) {
	for name, c := range map[string]struct{ raw, want string }{
		"no JSON":             {`x`, "no value"},
		"an array":            {`[]`, "object"},
		"no signed part":      {`{"signatures":[]}`, "signed"},
		"signed twice":        {`{"signatures":[],"signed":{},"signed":{}}`, "twice"},
		"no signatures":       {`{"signed":` + timestampJ + `}`, "signatures"},
		"signatures as null":  {`{"signatures":null,"signed":` + timestampJ + `}`, "signatures"},
		"signature as string": {`{"signatures":["x"],"signed":` + timestampJ + `}`, "object"},
		"signature of nobody": {`{"signatures":[{"sig":"00"}],"signed":` + timestampJ + `}`, "keyid"},
		"no sig":              {`{"signatures":[{"keyid":"k"}],"signed":` + timestampJ + `}`, "sig"},
		"one key ID twice":    {`{"signatures":[{"keyid":"k","sig":"00"},{"keyid":"k","sig":"01"}],"signed":` + timestampJ + `}`, "two signatures"},
		"too many signatures": {`{"signatures":[` + strings.Repeat(`{"keyid":"k","sig":"00"},`, metadata.MaxSignatures) + `{"keyid":"k","sig":"00"}],"signed":` + timestampJ + `}`, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := metadata.Decode(metadata.RoleTimestamp, []byte(c.raw))
			require.ErrorIs(t, err, metadata.ErrInvalid)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestDecodeSignatures(t *testing.T) {
	f, err := metadata.Decode(metadata.RoleTimestamp,
		[]byte(`{"signatures":[{"keyid":"a","sig":"00FF"},{"keyid":"b","sig":"xyz"},{"keyid":"c","sig":""}],"signed":`+timestampJ+`}`))
	require.NoError(t, err)
	assert.Equal(t, []metadata.Signature{{KeyID: "a", Sig: []byte{0, 255}}, {KeyID: "b"}, {KeyID: "c", Sig: []byte{}}}, f.Signatures,
		"what is not hexadecimal counts for nothing and spoils nothing")
}

func TestDecodeBoundsFiles(t *testing.T) {
	for role, limit := range map[string]int64{
		"root": metadata.MaxRoot, "timestamp": metadata.MaxTimestamp, "snapshot": metadata.MaxSnapshot, "releases": metadata.MaxTargets,
	} {
		assert.Equal(t, limit, metadata.Limit(role))
		_, err := metadata.Decode(role, make([]byte, limit+1))
		require.ErrorIs(t, err, metadata.ErrInvalid)
		assert.ErrorContains(t, err, "at most")
	}
}

func TestDecodeForeignForms(t *testing.T) {
	for _, c := range []struct {
		name, file, old, new string
		check                func(t *testing.T, f *metadata.File)
	}{
		{"omitted terminating", "targets", `"terminating":true,`, ``, func(t *testing.T, f *metadata.File) {
			assert.False(t, f.Targets.Delegations.Roles[1].Terminating)
		}},
		{"fractional seconds are cut off", "root", `05Z"`, `05.999999Z"`, func(t *testing.T, f *metadata.File) {
			assert.Equal(t, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), f.Expires)
		}},
		{"capital hexadecimal", "timestamp", hexA, strings.ToUpper(hexA), func(t *testing.T, f *metadata.File) {
			assert.Equal(t, hexA, f.Timestamp.Snapshot.Hashes.Get("sha256"))
		}},
		{"unknown kind of key", "root", `{"public":"ab"}`, `{"identity":"a@b","issuer":"c"}`, func(t *testing.T, f *metadata.File) {
			assert.Empty(t, f.Root.Keys["k1"].Public)
		}},
		{"omitted consistent_snapshot", "root", `"consistent_snapshot":true,`, ``, func(t *testing.T, f *metadata.File) {
			assert.False(t, f.Root.ConsistentSnapshot)
		}},
		{"roles that are not TUF's four", "root", `"roles":{`, `"roles":{"mirrors":{"keyids":[],"threshold":1},`, func(t *testing.T, f *metadata.File) {
			assert.Len(t, f.Root.Roles, 4)
		}},
		{"known critical names", "root", `"carnet":{`, `"carnet":{"critical":["id","expiry"],`, func(t *testing.T, f *metadata.File) {
			assert.Equal(t, "Wabbit", f.Root.Carnet.Name)
		}},
		{"no extension", "timestamp", `"carnet":{"issued":"2026-11-23T15:04:05Z"},`, ``, func(t *testing.T, f *metadata.File) {
			assert.Nil(t, f.Timestamp.Carnet)
		}},
		{"hash by an unknown algorithm", "timestamp", `"hashes":{`, `"hashes":{"blake3":"abcd",`, func(t *testing.T, f *metadata.File) {
			assert.Equal(t, "abcd", f.Timestamp.Snapshot.Hashes.Get("blake3"))
		}},
		{"spec version without a patch", "root", `"1.0.34"`, `"1.0"`, func(t *testing.T, f *metadata.File) {
			assert.Equal(t, "1.0", f.SpecVersion)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := valid[c.file]
			require.Contains(t, file.signed, c.old)
			signed := strings.Replace(file.signed, c.old, c.new, 1)
			f, err := metadata.Decode(file.role, unsigned(signed))
			require.NoError(t, err)
			v, err := metadata.Parse([]byte(signed))
			require.NoError(t, err)
			assert.Equal(t, string(v.Canonical()), string(f.Signed), "the signatures are over what stands there")
			c.check(t, f)
		})
	}
}

func TestExpiredAt(t *testing.T) {
	h := metadata.Header{Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	assert.False(t, h.ExpiredAt(h.Expires.Add(-time.Second)))
	assert.True(t, h.ExpiredAt(h.Expires), "at the instant itself it is expired")
	assert.True(t, h.ExpiredAt(h.Expires.Add(time.Second)))
}
