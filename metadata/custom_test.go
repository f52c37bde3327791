package metadata_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

var at = time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC)

// entry decodes a targets file with one entry of that custom object.
func entry(t *testing.T, custom string) metadata.Target {
	t.Helper()
	signed := strings.Replace(targetsJ, `{"carnet":{"mediaType":"m"}}`, custom, 1)
	f, err := metadata.Decode(metadata.RoleTargets, unsigned(signed))
	require.NoError(t, err)
	return f.Targets.Targets["net-monitor:1.0"]
}

func TestStatementRoundTrip(t *testing.T) {
	want := metadata.Statement{
		ArtifactType: "application/spdx+json", MediaType: "application/vnd.oci.image.manifest.v1+json", Signed: at,
		Claims: map[string]string{"stage": "prod", "line\nbreak": "\"quoted\" \\ é \x00"}, Index: "sha256:" + hexB,
		Origin: &metadata.Origin{Publisher: "id", Target: "a:1", RootVersion: 1, TimestampVersion: 88},
		Notice: &metadata.Notice{Digest: "sha256:" + hexA, Reason: "leak\nof keys", Advisory: "CVE-2026-1234", ReplacedBy: "a:2", By: "ann", At: at},
	}
	role := &metadata.Targets{Header: metadata.Header{Version: 1, Expires: at}, Targets: map[string]metadata.Target{
		"a:1": metadata.NewTarget(12, "sha256:"+hexA).WithStatement(want),
	}}
	f, err := metadata.Decode("releases", metadata.Seal(role.Canonical(), nil))
	require.NoError(t, err)
	got := f.Targets.Targets["a:1"]
	s, err := got.Statement()
	require.NoError(t, err)
	assert.Equal(t, want, s)
	assert.Equal(t, int64(12), got.Length)
	assert.Equal(t, "sha256:"+hexA, got.Hashes.Digest().String())
	assert.True(t, got.Equal(role.Targets["a:1"]))
}

func TestStatementRefuses(t *testing.T) {
	origin := `{"publisher":"p","target":"a:1","rootVersion":1,"timestampVersion":2}`
	notice := `{"digest":"sha256:` + hexA + `","reason":"r","at":"2026-11-23T15:04:05Z"}`
	for name, c := range map[string]struct{ carnet, want string }{
		"no object":                  {`[]`, "object"},
		"artifact type as number":    {`{"artifactType":1}`, "artifactType"},
		"media type as null":         {`{"mediaType":null}`, "mediaType"},
		"index of another algorithm": {`{"index":"sha512:` + hexA + hexA + `"}`, "index"},
		"index in capitals":          {`{"index":"sha256:` + strings.ToUpper(hexA) + `"}`, "index"},
		"index of nothing":           {`{"index":""}`, "index"},
		"signed of other form":       {`{"signed":"now"}`, "signed"},
		"claims as array":            {`{"claims":[]}`, "claims"},
		"claim as number":            {`{"claims":{"n":1}}`, "claims"},
		"unknown critical name":      {`{"critical":["embargo"]}`, "embargo"},
		"critical number":            {`{"critical":[1]}`, "critical"},
		"origin as string":           {`{"origin":"p"}`, "origin"},
		"origin of nobody":           {`{"origin":` + strings.Replace(origin, `"p"`, `""`, 1) + `}`, "publisher"},
		"origin of nothing":          {`{"origin":` + strings.Replace(origin, `"a:1"`, `""`, 1) + `}`, "target"},
		"origin of root zero":        {`{"origin":` + strings.Replace(origin, `:1,`, `:0,`, 1) + `}`, "rootVersion"},
		"origin of timestamp zero":   {`{"origin":` + strings.Replace(origin, `:2}`, `:0}`, 1) + `}`, "timestampVersion"},
		"critical name in origin":    {`{"origin":` + strings.Replace(origin, `{`, `{"critical":["x"],`, 1) + `}`, "x"},
		"notice without digest":      {`{"notice":` + strings.Replace(notice, `"digest":"sha256:`+hexA+`",`, ``, 1) + `}`, "digest"},
		"notice without reason":      {`{"notice":` + strings.Replace(notice, `"reason":"r",`, ``, 1) + `}`, "reason"},
		"notice without time":        {`{"notice":` + strings.Replace(notice, `,"at":"2026-11-23T15:04:05Z"`, ``, 1) + `}`, "at"},
		"critical name in notice":    {`{"notice":` + strings.Replace(notice, `{`, `{"critical":["x"],`, 1) + `}`, "x"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := entry(t, `{"carnet":`+c.carnet+`}`).Statement()
			require.ErrorIs(t, err, metadata.ErrInvalid)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestStatementOfForeignTargets(t *testing.T) {
	for name, custom := range map[string]string{"empty": `{}`, "another tool's": `{"sigstore":{"status":"Active"}}`} {
		t.Run(name, func(t *testing.T) {
			s, err := entry(t, custom).Statement()
			require.NoError(t, err)
			assert.Equal(t, metadata.Statement{}, s)
		})
	}
	s, err := metadata.Target{}.Statement()
	require.NoError(t, err)
	assert.Equal(t, metadata.Statement{}, s)
}

// What this version does not know in a statement, an origin, a notice and
// beside them, stays when the statement is changed.
func TestStatementEditKeepsUnknownMembers(t *testing.T) {
	target := entry(t, `{"other":{"x":1},"carnet":{"later":[1],"critical":["claims"],"claims":{"a":"b"},`+
		`"origin":{"later":1,"publisher":"p","target":"a:1","rootVersion":1,"timestampVersion":2},`+
		`"notice":{"later":2,"digest":"sha256:`+hexA+`","reason":"r","at":"2026-11-23T15:04:05Z"}}}`)
	s, err := target.Statement()
	require.NoError(t, err)
	s.Claims["a"] = "c"
	edited := target.WithStatement(s)
	assert.Equal(t, strings.Replace(string(target.Custom.Canonical()), `"b"`, `"c"`, 1), string(edited.Custom.Canonical()))
	assert.False(t, edited.Equal(target))
}

func TestNoStatementLeavesNoCustom(t *testing.T) {
	assert.Equal(t, metadata.Absent, metadata.NewTarget(1, "sha256:"+hexA).WithStatement(metadata.Statement{}).Custom.Kind())
	kept := entry(t, `{"other":1,"carnet":{"mediaType":"m"}}`).WithStatement(metadata.Statement{})
	assert.Equal(t, `{"other":1}`, string(kept.Custom.Canonical()))
}

// A withdrawal is an entry whose length and hash are those of the notice's
// canonical JSON: no artifact fits it.
func TestNoticeEntry(t *testing.T) {
	n := &metadata.Notice{Digest: "sha256:" + hexA, Reason: "leak\nof keys", By: "ann", At: at}
	const want = `{"at":"2026-11-23T15:04:05Z","by":"ann","digest":"sha256:` + hexA + `","reason":"leak` + "\n" + `of keys"}`
	assert.Equal(t, want, string(n.Canonical()))
	e := n.Entry()
	assert.Equal(t, int64(len(want)), e.Length)
	sum := sha256.Sum256([]byte(want))
	assert.Equal(t, metadata.SHA256(hex.EncodeToString(sum[:])), e.Hashes)
	require.NoError(t, e.Hashes.Verify(n.Canonical()))
	s, err := e.Statement()
	require.NoError(t, err)
	assert.Equal(t, n, s.Notice)
}

func TestHashesVerify(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	right := hex.EncodeToString(sum[:])
	require.NoError(t, metadata.SHA256(right).Verify([]byte("x")))
	assert.ErrorContains(t, metadata.SHA256(hexA).Verify([]byte("x")), "sha256")
	unknown := metadata.Hashes{{Algorithm: "md5", Hex: "00"}}
	assert.ErrorContains(t, unknown.Verify([]byte("x")), "algorithm")
	assert.Empty(t, unknown.Digest())
	require.NoError(t, append(unknown, metadata.SHA256(right)...).Verify([]byte("x")), "unknown algorithms say nothing")
	assert.ErrorContains(t, append(metadata.SHA256(right), metadata.Hash{Algorithm: "sha512", Hex: hexA + hexA}).Verify([]byte("x")), "sha512",
		"every known hash must match")
	assert.True(t, append(unknown, metadata.SHA256(right)...).Equal(append(metadata.SHA256(right), unknown...)))
	assert.False(t, metadata.SHA256(right).Equal(unknown))
	assert.False(t, metadata.SHA256(right).Equal(metadata.SHA256(hexA)))
}

func TestSameContent(t *testing.T) {
	decode := func(old, new string) *metadata.Targets {
		f, err := metadata.Decode(metadata.RoleTargets, unsigned(strings.Replace(targetsJ, old, new, 1)))
		require.NoError(t, err)
		return f.Targets
	}
	a := decode("", "")
	assert.True(t, a.SameContent(decode(`"version":7`, `"version":8`)))
	assert.True(t, a.SameContent(decode(`2030-01-02`, `2031-01-02`)))
	assert.True(t, a.SameContent(decode(`1.0.34`, `1.0.35`)))
	for _, change := range [][2]string{{`"length":4`, `"length":5`}, {`"threshold":1},{`, `"threshold":2},{`}, {`"public":"ab"`, `"public":"ac"`},
		{`"_type"`, `"more":1,"_type"`}, {`net-monitor:1.0`, `net-monitor:1.1`}, {`"mediaType":"m"`, `"mediaType":"n"`}} {
		assert.False(t, a.SameContent(decode(change[0], change[1])), "%s", change)
	}
}
