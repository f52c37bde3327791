package metadata_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

// seeds are files and values to begin from; a corpus that got lost fails.
func seeds(f *testing.F) [][]byte {
	f.Helper()
	var out [][]byte
	for _, c := range valid {
		v, err := metadata.Parse([]byte(c.signed))
		require.NoError(f, err)
		var pretty bytes.Buffer
		require.NoError(f, json.Indent(&pretty, unsigned(c.signed), "", " "))
		out = append(out, unsigned(c.signed), pretty.Bytes(), metadata.Seal(v.Canonical(), []metadata.Signature{{KeyID: "k", Sig: []byte{1}}}))
	}
	for _, c := range canonicalCases {
		out = append(out, []byte(c.in), unsigned(c.in))
	}
	require.Greater(f, len(out), 30, "the seed corpus is there")
	return out
}

// FuzzParse: never panics; what is accepted is JSON to Go as well, has the
// canonical form that securesystemslib gives it, and is read back from it.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := metadata.Parse(raw)
		if err != nil {
			return
		}
		require.True(t, json.Valid(raw))
		canonical := v.Canonical()
		if theirs, err := cjson.EncodeCanonical(rawJSON(raw)); err == nil {
			require.Equal(t, string(theirs), string(canonical))
		}
		again, err := metadata.Parse(escaped(canonical))
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(again.Canonical()))
	})
}

// escaped makes canonical bytes JSON by sealing them.
func escaped(canonical []byte) []byte {
	sealed := metadata.Seal(canonical, nil)
	return sealed[len(`{"signatures":[],"signed":`) : len(sealed)-1]
}

// FuzzDecode: never panics; the signed bytes are the canonical form of what
// stands in the file, whether they were taken in place or written; what is
// accepted can be written again, and then says the same.
func FuzzDecode(f *testing.F) {
	roles := []string{"root", "timestamp", "snapshot", "targets", "releases"}
	for _, s := range seeds(f) {
		for i := range roles {
			f.Add(uint8(i), s)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, raw []byte) {
		role := roles[int(which)%len(roles)]
		file, err := metadata.Decode(role, raw)
		if err != nil {
			require.ErrorIs(t, err, metadata.ErrInvalid)
			require.True(t, utf8.ValidString(err.Error()), "the error can be shown")
			return
		}
		v, err := metadata.Parse(raw)
		require.NoError(t, err)
		require.Equal(t, string(v.Get("signed").Canonical()), string(file.Signed))
		first := canonical(file)
		again, err := metadata.Decode(role, metadata.Seal(first, file.Signatures))
		require.NoError(t, err)
		require.Equal(t, string(first), string(again.Signed))
		require.Equal(t, string(first), string(canonical(again)))
	})
}

// FuzzSealRoundTrip: whatever text stands in a file, it comes back.
func FuzzSealRoundTrip(f *testing.F) {
	for _, s := range []string{"", "a:1", "\x00\x1f\x7f", "\"\\\n", "é𝄞\u2028", "<&>", "withdrawn@sha256:" + hexA} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, path, text string) {
		if !utf8.ValidString(path) || !utf8.ValidString(text) || path == "" || len(path) > metadata.MaxPath {
			return
		}
		s := metadata.Statement{ArtifactType: text, Claims: map[string]string{text: path},
			Notice: &metadata.Notice{Digest: "sha256:" + hexA, Reason: text, By: path, At: at}}
		file := &metadata.Targets{Header: metadata.Header{Version: 1, Expires: at},
			Targets: map[string]metadata.Target{path: metadata.NewTarget(1, "sha256:"+hexB).WithStatement(s)}}
		signed := file.Canonical()
		got, err := metadata.Decode("releases", metadata.Seal(signed, nil))
		require.NoError(t, err)
		require.Equal(t, string(signed), string(got.Signed))
		back, err := got.Targets.Targets[path].Statement()
		require.NoError(t, err)
		require.Equal(t, s, back)
	})
}

// FuzzParsePath: what is taken apart is put together again, and is never the
// reserved name.
func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"a:1", "a/b@sha256:" + hexA, "withdrawn:1", "a:1@sha256:" + hexA, "a\n:1", "a::1", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := metadata.ParsePath(s)
		if err != nil {
			require.ErrorIs(t, err, metadata.ErrPath)
			return
		}
		require.Equal(t, s, p.String())
		require.NoError(t, metadata.CheckName(p.Name))
		require.NotEqual(t, "withdrawn", p.Name)
		require.True(t, (p.Tag == "") != (p.Digest == ""))
	})
}
