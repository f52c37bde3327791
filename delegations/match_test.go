package delegations_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	tufmeta "github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

var patternCases = []struct {
	pattern, target string
	want            bool
}{
	{"a:1", "a:1", true},
	{"a:1", "a:2", false},
	{"a:1", "A:1", false},
	{"*", "a:1", true},
	{"*", "", true},
	{"*", "a/b:1", false},
	{"*/*", "a/b:1", true},
	{"*/*", "a:1", false},
	{"*/*", "a/b/c:1", false},
	{"**", "a/b:1", false},
	{"**", "a:1", true},
	{"a/*:1", "a/b:1", true},
	{"a/*:1", "a/b/c:1", false},
	{"a:1.?", "a:1.2", true},
	{"a:1.?", "a:1.", false},
	{"a:1.?", "a:1.10", false},
	{"a?b", "a/b", false},
	{"a?b", "aéb", true},
	{"[ab]:1", "a:1", true},
	{"[ab]:1", "c:1", false},
	{"[a-c]:1", "b:1", true},
	{"[^a]:1", "b:1", true},
	{"[^a]:1", "a:1", false},
	{"a[^x]b", "a/b", false},
	{"a[/]b", "a/b", false},
	{"a[.-0]b", "a/b", false},
	{"a[", "a[", false},
	{"a[/]*", "a/b", false},
	{"[", "[", false},
	{"a/[", "a/[", false},
	{"[/a", "[/a", false},
	{`a\*`, "a*", true},
	{`a\*`, "ab", false},
	{`a\/b`, "a/b", false},
	{"a/", "a/", true},
	{"a/*", "a/", true},
	{"", "", true},
	{"", "a", false},
	{"*:*", "net-monitor:1.0", true},
	{"net-monitor@*", "net-monitor@sha256:00", true},
	{"net-monitor:*", "net-monitor@sha256:00", false},
	{"*a*a*a*a*a*a*a*a*a*a*b", strings.Repeat("a", 200), false},
}

func TestMatchPattern(t *testing.T) {
	for _, c := range patternCases {
		t.Run(c.pattern+" "+c.target, func(t *testing.T) {
			assert.Equal(t, c.want, delegations.MatchAny([]string{c.pattern}, c.target))
			other := tufmeta.DelegatedRole{Paths: []string{c.pattern}}
			theirs, err := other.IsDelegatedPath(c.target)
			require.NoError(t, err)
			assert.Equal(t, theirs, c.want, "go-tuf says otherwise")
		})
	}
}

// What `delegate add` writes is what the name covers, to eight levels.
func TestPatternsCoverNames(t *testing.T) {
	d := "@sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct {
		name    string
		covered []string
		not     []string
	}{
		{"a/b", []string{"a/b:1", "a/b" + d}, []string{"a:1", "a/b/c:1", "a/bc:1", "b:1"}},
		{"a/b/**", []string{"a/b:1", "a/b" + d, "a/b/c:1", "a/b/c/d/e/f/g/h:1", "a/b/c/d/e/f/g/h" + d}, []string{"a:1", "a/bc:1", "a/c/b:1"}},
		{"**", []string{"a:1", "a" + d, "a/b/c/d/e/f/g/h:1", "withdrawn" + d}, []string{"a/b/c/d/e/f/g/h/i:1"}},
	} {
		patterns, err := metadata.Patterns(c.name)
		require.NoError(t, err)
		for _, p := range patterns {
			require.NoError(t, delegations.CheckPattern(p))
		}
		for _, path := range c.covered {
			assert.True(t, delegations.MatchAny(patterns, path), "%s covers %s", c.name, path)
		}
		for _, path := range c.not {
			assert.False(t, delegations.MatchAny(patterns, path), "%s does not cover %s", c.name, path)
		}
	}
}

func TestCheckPattern(t *testing.T) {
	for _, p := range []string{"a:1", "*", "*/*", "[a-c]:?", `a\*`, strings.Repeat("p", metadata.MaxPath)} {
		assert.NoError(t, delegations.CheckPattern(p), p)
	}
	for _, p := range []string{"", "[", "a/[", "[/]", "a[/b]", `a\`, `a\/b`, "[]a]", "[-]", strings.Repeat("p", metadata.MaxPath+1)} {
		assert.ErrorIs(t, delegations.CheckPattern(p), metadata.ErrPath, p)
	}
}

func TestCovers(t *testing.T) {
	all, err := metadata.Patterns("**")
	require.NoError(t, err)
	tree, err := metadata.Patterns("a/**")
	require.NoError(t, err)
	for _, c := range []struct {
		patterns []string
		pattern  string
		want     bool
	}{
		{[]string{"a:*"}, "a:*", true},
		{[]string{"b:*", "a:*"}, "a:1.*", true},
		{[]string{"a:*"}, "a:1", true},
		{[]string{"a:*"}, "a@*", false},
		{[]string{"a:1.*"}, "a:*", false},
		{[]string{"a:?"}, "a:*", false},
		{[]string{"a:?*"}, "a:*", false},
		{[]string{"a:*"}, "a:?", true},
		{[]string{"a:?"}, "a:?", true},
		{[]string{"a:?"}, "a:[12]", false},
		{[]string{"a:[12]"}, "a:[12]", true},
		{[]string{"a:[^1]"}, "a:?", false},
		{[]string{"a:[12]"}, "a:?", false},
		{[]string{"a:*"}, "a:[12]", true},
		{[]string{"*"}, "a/b:*", false},
		{all, "a/b/c:*", true},
		{tree, "a/b:*", true},
		{tree, "ab:*", false},
		{nil, "a:*", false},
	} {
		assert.Equal(t, c.want, delegations.Covers(c.patterns, c.pattern), "%s by %s", c.pattern, c.patterns)
	}
}

func TestMatchHashPrefixes(t *testing.T) {
	sum := sha256.Sum256([]byte("a:1"))
	full := hex.EncodeToString(sum[:])
	match := func(prefixes ...string) bool {
		return delegations.Match(metadata.Delegation{HashPrefixes: prefixes}, "a:1")
	}
	assert.True(t, match(full))
	assert.True(t, match(full[:1]), "half a byte is a prefix")
	assert.True(t, match(strings.ToUpper(full[:5])))
	assert.True(t, match("zz", full[:2]), "one of several")
	assert.False(t, match(full+"0"))
	assert.False(t, match(""), "an empty prefix matches nothing")
	assert.False(t, match())
	assert.False(t, match(string(full[0]^1)+full[1:]))
}

// Known difference: go-tuf compares path_hash_prefixes with base64.
func TestMatchHashPrefixesAreHexadecimalWhereGoTUFHasBase64(t *testing.T) {
	sum := sha256.Sum256([]byte("a:1"))
	prefix := hex.EncodeToString(sum[:])[:4]
	assert.True(t, delegations.Match(metadata.Delegation{HashPrefixes: []string{prefix}}, "a:1"))
	other := tufmeta.DelegatedRole{PathHashPrefixes: []string{prefix}}
	theirs, err := other.IsDelegatedPath("a:1")
	require.NoError(t, err)
	assert.False(t, theirs, "go-tuf is repaired: hash prefixes interoperate now")
}

func TestBinsAreThoseOfGoTUF(t *testing.T) {
	for bits := 1; bits <= 32; bits++ {
		ours := &metadata.SuccinctRoles{BitLength: bits, NamePrefix: "bin"}
		theirs := &tufmeta.SuccinctRoles{BitLength: bits, NamePrefix: "bin"}
		for i := range 20 {
			path := fmt.Sprintf("net-monitor:%d", i)
			name := delegations.Bin(ours, path)
			assert.Equal(t, theirs.GetRolesForTarget(path), []tufmeta.RoleResult{{Name: name, Terminating: true}})
			assert.True(t, delegations.IsBin(ours, name), "%d bits: %s", bits, name)
			assert.True(t, theirs.IsDelegatedRole(name))
		}
	}
}

func TestIsBin(t *testing.T) {
	s := &metadata.SuccinctRoles{BitLength: 10, NamePrefix: "bin"}
	all := map[string]bool{}
	for _, name := range (&tufmeta.SuccinctRoles{BitLength: 10, NamePrefix: "bin"}).GetRoles() {
		assert.True(t, delegations.IsBin(s, name), name)
		all[name] = true
	}
	assert.Len(t, all, 1024)
	for _, name := range []string{"bin-400", "bin-3FF", "bin-00", "bin-0000", "bin-", "bin", "bin-00g", "bin-0x1", "bin-+01", "bin- 01", "other-001", "bin001", ""} {
		assert.False(t, delegations.IsBin(s, name), name)
	}
}
