package metadata_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

func TestCheckName(t *testing.T) {
	eight := "a/b/c/d/e/f/g/h"
	for _, name := range []string{"a", "net-monitor", "networking/net-monitor", "a.b_c__d---e", "0", eight, "withdrawn/x", "x/withdrawn", strings.Repeat("a", 255)} {
		assert.NoError(t, metadata.CheckName(name), name)
	}
	for _, name := range []string{"", "A", "a/", "/a", "a//b", "-a", "a-", "a..b", "a___b", "a b", "a:b", "a@b", "a*", "é", "a\n", "a/../b", ".",
		eight + "/i", "withdrawn", strings.Repeat("a", 256)} {
		assert.ErrorIs(t, metadata.CheckName(name), metadata.ErrPath, name)
	}
}

func TestCheckTag(t *testing.T) {
	for _, tag := range []string{"1.0", "latest", "_x", "A-b.C_d", strings.Repeat("t", 128)} {
		assert.NoError(t, metadata.CheckTag(tag), tag)
	}
	for _, tag := range []string{"", ".a", "-a", "a:b", "a/b", "a b", "a\n", strings.Repeat("t", 129)} {
		assert.ErrorIs(t, metadata.CheckTag(tag), metadata.ErrPath, tag)
	}
}

func TestParsePath(t *testing.T) {
	for path, want := range map[string]metadata.Path{
		"net-monitor:1.0":                {Name: "net-monitor", Tag: "1.0"},
		"networking/net-monitor:1.0":     {Name: "networking/net-monitor", Tag: "1.0"},
		"net-monitor@sha256:" + hexA:     {Name: "net-monitor", Digest: digest.Digest("sha256:" + hexA)},
		"a/b/c/d/e/f/g/h@sha256:" + hexA: {Name: "a/b/c/d/e/f/g/h", Digest: digest.Digest("sha256:" + hexA)},
	} {
		got, err := metadata.ParsePath(path)
		require.NoError(t, err, path)
		assert.Equal(t, want, got)
		assert.Equal(t, path, got.String())
	}
	for _, path := range []string{"", "a", "a:", ":1", "a@", "a@sha256:", "a@sha512:" + hexA + hexA, "a@sha256:" + strings.ToUpper(hexA),
		"a@sha256:" + hexA + "0", "a:1@sha256:" + hexA, "a:1:2", "a/b/c/d/e/f/g/h/i:1", "A:1", "a:1/2", "../a:1",
		"withdrawn:1", metadata.WithdrawnPath("sha256:" + hexA)} {
		_, err := metadata.ParsePath(path)
		assert.ErrorIs(t, err, metadata.ErrPath, path)
	}
}

func TestPatterns(t *testing.T) {
	for name, want := range map[string][]string{
		"net-monitor":        {"net-monitor:*", "net-monitor@*"},
		"a/b":                {"a/b:*", "a/b@*"},
		"a/b/c/d/e/f/**":     {"a/b/c/d/e/f:*", "a/b/c/d/e/f@*", "a/b/c/d/e/f/*", "a/b/c/d/e/f/*/*"},
		"a/b/c/d/e/f/g/h":    {"a/b/c/d/e/f/g/h:*", "a/b/c/d/e/f/g/h@*"},
		"a/b/c/d/e/f/g/h/**": {"a/b/c/d/e/f/g/h:*", "a/b/c/d/e/f/g/h@*"},
		"**":                 {"*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*", "*/*/*/*/*/*", "*/*/*/*/*/*/*", "*/*/*/*/*/*/*/*"},
		"net-monitor:1.*":    {"net-monitor:1.*"},
		"team-*/app:*":       {"team-*/app:*"},
		"a?":                 {"a?"},
		"[ab]:1":             {"[ab]:1"},
		"a@sha256:*":         {"a@sha256:*"},
	} {
		got, err := metadata.Patterns(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name)
	}
	for _, name := range []string{"", "A", "a/", "/**", "a//**", "a/b/c/d/e/f/g/h/i", "a/b/c/d/e/f/g/h/i/**", "withdrawn", "withdrawn/**",
		"a**", "a/**/b", "team-*/**", "**/a"} {
		_, err := metadata.Patterns(name)
		assert.ErrorIs(t, err, metadata.ErrPath, name)
	}
}

func TestParseParent(t *testing.T) {
	p, err := metadata.ParseParent("12." + hexA)
	require.NoError(t, err)
	assert.Equal(t, metadata.Parent{Version: 12, ID: hexA}, p)
	assert.Equal(t, "12."+hexA, p.String())
	for _, s := range []string{"", ".", "1", "1.", "+1." + hexA, "01." + hexA, "0." + hexA, "-1." + hexA, "1." + hexA + "a", "1." + hexA[1:], "1..", "99999999999999999999." + hexA} {
		_, err := metadata.ParseParent(s)
		assert.Error(t, err, s)
	}
}
