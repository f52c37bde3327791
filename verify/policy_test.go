package verify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// writePolicy writes a policy beside the roots of publishers made for it.
func writePolicy(t *testing.T, text string, publishers ...string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "roots"), 0o700))
	for i, name := range publishers {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "roots", name+".json"), newRoot(t, fmt.Sprintf("%032x", i+1)).root, 0o600))
	}
	path := filepath.Join(dir, "policy.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestPolicyOfTheDocumentation(t *testing.T) {
	raw, err := os.ReadFile("../docs/policy.md")
	require.NoError(t, err)
	example := fenced(string(raw), "yaml")[0]
	p, err := verify.LoadPolicy(writePolicy(t, example, "wabbit-networks", "acme"), nil)
	require.NoError(t, err)
	require.Len(t, p.Publishers, 2)
	for ref, want := range map[string]string{
		"registry.acme.example/prod/net-monitor:1.0":          "production",
		"registry.acme.example/prod:1.0":                      "production",
		"REGISTRY.ACME.EXAMPLE/prod/net-monitor:1.0":          "production",
		"registry.acme.example/production/net-monitor:1.0":    "everything-else",
		"registry.acme.example/mirror/wabbit/net-monitor:1.0": "imported",
		"registry.acme.example/mirror/net-monitor:1.0":        "everything-else",
		"oci:net-monitor:1.0":                                 "laptop",
		"docker.io/library/alpine:3":                          "everything-else",
	} {
		r, err := registrystore.ParseReference(ref, "")
		require.NoError(t, err)
		rule, ok := p.Match(r.Repository)
		require.True(t, ok)
		require.Equal(t, want, rule.Name, ref)
	}
	r, err := registrystore.ParseReference("registry.acme.example/prod/net-monitor:1.0", "")
	require.NoError(t, err)
	require.Equal(t, fenced(string(raw), "text")[0], p.Explain(r))
	r, err = registrystore.ParseReference("registry.acme.example/mirror/wabbit/net-monitor:1.0", "")
	require.NoError(t, err)
	require.Contains(t, p.Explain(r), `  - at least 1 of these, for one digest:
    - wabbit-networks vouches for net-monitor:1.0
    - acme vouches for net-monitor:1.0
`)
	r, err = registrystore.ParseReference("docker.io/library/alpine:3", "")
	require.NoError(t, err)
	require.Contains(t, p.Explain(r), "nothing is required, so nothing vouches: it is denied")
}

func TestMostSpecificScope(t *testing.T) {
	scopes := []string{"*", "r.example/**", "r.example/a/**", "r.example/a", "r.example/a/b/**", "r.example/a/b", "oci:**", "oci:a/**", "oci:a"}
	text := "version: 1\nrules:\n"
	for _, s := range scopes {
		text += fmt.Sprintf("  - {name: %q, scope: %q, require: []}\n", s, s)
	}
	p, err := verify.LoadPolicy(writePolicy(t, text), nil)
	require.NoError(t, err)
	for _, c := range []struct {
		repo registrystore.Repository
		want string
	}{
		{registrystore.Repository{Host: "other.example", Name: "a"}, "*"},
		{registrystore.Repository{Host: "r.example.evil.example", Name: "a"}, "*"},
		{registrystore.Repository{Host: "r.example", Name: "b"}, "r.example/**"},
		{registrystore.Repository{Host: "r.example", Name: "ab"}, "r.example/**"},
		{registrystore.Repository{Host: "r.example", Name: "a"}, "r.example/a"},
		{registrystore.Repository{Host: "r.example", Name: "a/c"}, "r.example/a/**"},
		{registrystore.Repository{Host: "r.example", Name: "a/b"}, "r.example/a/b"},
		{registrystore.Repository{Host: "r.example", Name: "a/b/c"}, "r.example/a/b/**"},
		{registrystore.Repository{Dir: "/x", Name: "x"}, "oci:**"},
		{registrystore.Repository{Dir: "/a", Name: "a"}, "oci:a"},
		{registrystore.Repository{Dir: "/a/b", Name: "a/b"}, "oci:a/**"},
	} {
		rule, ok := p.Match(c.repo)
		require.True(t, ok)
		require.Equal(t, c.want, rule.Name, c.repo)
	}
}

func TestDefaultPolicyIsValidAndClosed(t *testing.T) {
	p, err := verify.LoadPolicy(writePolicy(t, verify.DefaultPolicy), nil)
	require.NoError(t, err)
	require.Len(t, p.Rules, 1)
	// What it shows as an example is valid too.
	var shown strings.Builder
	for line := range strings.Lines(verify.DefaultPolicy) {
		if rest, ok := strings.CutPrefix(line, "  # "); ok {
			line = "  " + rest
		}
		if strings.HasPrefix(line, "# publishers:") || strings.HasPrefix(line, "#   ") {
			line = strings.TrimPrefix(line, "# ")
		}
		shown.WriteString(line)
	}
	pins := verify.OpenPins(t.TempDir())
	require.NoError(t, pins.Add(verify.Pin{Name: "acme", Root: newRoot(t, strings.Repeat("f", 32)).root, Repositories: []string{"r.example/trust"}}))
	p, err = verify.LoadPolicy(writePolicy(t, shown.String(), "wabbit-networks"), pins)
	require.NoError(t, err, shown.String())
	require.Len(t, p.Rules, 3)
	require.Len(t, p.Publishers, 2)
}

func TestPolicyProblems(t *testing.T) {
	head := "version: 1\npublishers:\n  a: {root: roots/a.json, repositories: [r.example/trust]}\nrules:\n"
	rule := func(s string) string { return head + "  - " + s + "\n" }
	deep := strings.Repeat("[", 20000)
	for name, c := range map[string]struct{ text, line, want string }{
		"empty":               {"", "1", "EOF"},
		"no version":          {"rules: []\n", "1", "version is missing"},
		"newer version":       {"version: 2\nrules: []\n", "1", "version: 2 is not known here"},
		"version of text":     {"version: one\nrules: []\n", "1", "want a whole number"},
		"no rules":            {"version: 1\n", "1", "rules is missing"},
		"no YAML":             {"version: [\n", "1", "yaml"},
		"second document":     {"version: 1\nrules: []\n---\nversion: 1\n", "3", "a second document"},
		"alias":               {"version: 1\nrules: &x []\nmore: *x\n", "2", "anchors and aliases"},
		"bomb":                {"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n", "1", "anchors and aliases"},
		"depth":               {"version: " + deep, "1", "yaml"},
		"size":                {strings.Repeat("#", 2<<20), "", "more than 1048576 bytes"},
		"unknown field":       {rule("{name: x, scope: '*', requires: []}"), "5", `unknown field "requires": did you mean "require"?`},
		"far field":           {rule("{name: x, scope: '*', require: [], colour: red}"), "5", "known are level, name, require, scope, strip"},
		"unknown top field":   {head + "  []\nrule: []\n", "6", `unknown field "rule": did you mean "rules"?`},
		"field twice":         {rule("{name: x, scope: '*', scope: '*', require: []}"), "5", `"scope" stands twice, first on line 5`},
		"rule is text":        {rule("x"), "5", "rule: want fields, found the text"},
		"rules is text":       {head[:strings.Index(head, "rules:")] + "rules: x\n", "4", "rules: want a list"},
		"scope is a number":   {rule("{name: x, scope: 1, require: []}"), "5", `scope: want text, found "1" (int)`},
		"empty name":          {rule("{name: '', scope: '*', require: []}"), "5", "name: it is empty"},
		"bad level":           {rule("{name: x, scope: '*', level: enforced, require: []}"), "5", `level: "enforced" is none: did you mean "enforce"?`},
		"no require":          {rule("{name: x, scope: '*'}"), "5", "require is missing"},
		"no publisher":        {rule("{name: x, scope: '*', require: [{role: y}]}"), "5", "publisher is missing"},
		"unknown publisher":   {rule("{name: x, scope: '*', require: [{publisher: b}]}"), "5", `unknown publisher: "b" has no root here and is not pinned`},
		"unknown origin":      {rule("{name: x, scope: '*', require: [{publisher: a, origin-from: b}]}"), "5", `unknown publisher: "b"`},
		"own origin":          {rule("{name: x, scope: '*', require: [{publisher: a, origin-from: a}]}"), "5", "cannot be its own origin"},
		"bad duration":        {rule("{name: x, scope: '*', require: [{publisher: a, max-age: 1d}]}"), "5", "max-age: want a duration of at least 1s, like 90m, 24h or 720h"},
		"no duration":         {rule("{name: x, scope: '*', require: [{publisher: a, max-staleness: 0s}]}"), "5", "max-staleness: want a duration"},
		"claim of a number":   {rule("{name: x, scope: '*', require: [{publisher: a, claims: {v: 1.0}}]}"), "5", "v: want text"},
		"claims of text":      {rule("{name: x, scope: '*', require: [{publisher: a, claims: x}]}"), "5", "claims: want fields"},
		"threshold alone":     {rule("{name: x, scope: '*', require: [{publisher: a, threshold: 1}]}"), "5", "threshold: it goes with any"},
		"threshold too high":  {rule("{name: x, scope: '*', require: [{any: [{publisher: a}], threshold: 2}]}"), "5", "want a whole number from 1 to 1"},
		"threshold zero":      {rule("{name: x, scope: '*', require: [{any: [{publisher: a}], threshold: 0}]}"), "5", "want a whole number from 1 to 1"},
		"any empty":           {rule("{name: x, scope: '*', require: [{any: []}]}"), "5", "any: the list is empty"},
		"any with publisher":  {rule("{name: x, scope: '*', require: [{any: [{publisher: a}], publisher: a}]}"), "5", `unknown field "publisher"`},
		"any in any":          {rule("{name: x, scope: '*', require: [{any: [{any: [{publisher: a}]}]}]}"), "5", "cannot hold another any"},
		"one publisher twice": {rule("{name: x, scope: '*', require: [{any: [{publisher: a}, {publisher: a, role: b}], threshold: 2}]}"), "5", "one publisher counts once"},
		"wildcard inside":     {rule("{name: x, scope: 'r.example/*/b', require: []}"), "5", "a wildcard is"},
		"two stars":           {rule("{name: x, scope: '**', require: []}"), "5", "want HOST/PATH"},
		"dot after the host":  {rule("{name: x, scope: 'r.example./a', require: []}"), "5", "without a dot at its ends"},
		"host alone":          {rule("{name: x, scope: 'r.example', require: []}"), "5", "for a whole registry write r.example/**"},
		"no host":             {rule("{name: x, scope: 'library/alpine', require: []}"), "5", "no registry is assumed"},
		"tag in scope":        {rule("{name: x, scope: 'r.example/a:1', require: []}"), "5", "is no repository name"},
		"slash at the end":    {rule("{name: x, scope: 'r.example/a/', require: []}"), "5", "want HOST/PATH"},
		"strip":               {rule("{name: x, scope: 'r.example/a/**', strip: b/, require: []}"), "5", "strip:"},
		"strip half a part":   {rule("{name: x, scope: 'r.example/ab/**', strip: a, require: []}"), "5", "must end in a slash"},
		"same scope":          {rule("{name: x, scope: '*', require: []}\n  - {name: y, scope: '*', require: []}"), "6", "ambiguous: the rule on line 5"},
		"same scope spelt":    {rule("{name: x, scope: r.example/a, require: []}\n  - {name: y, scope: R.example/a, require: []}"), "6", "ambiguous"},
		"same name":           {rule("{name: x, scope: '*', require: []}\n  - {name: x, scope: r.example/a, require: []}"), "6", "the name stands twice, first on line 5"},
		"publisher's name":    {"version: 1\npublishers:\n  ../x: {root: roots/a.json, repositories: [r.example/t]}\nrules: []\n", "3", "is no name of a publisher"},
		"publisher's field":   {"version: 1\npublishers:\n  a: {root: roots/a.json, repository: [r.example/t]}\nrules: []\n", "3", `did you mean "repositories"?`},
		"bad repository":      {"version: 1\npublishers:\n  a: {root: roots/a.json, repositories: [trust]}\nrules: []\n", "3", "no registry is assumed"},
		"no root file":        {"version: 1\npublishers:\n  a: {root: roots/absent.json, repositories: [r.example/t]}\nrules: []\n", "3", "no such file"},
		"root is none":        {"version: 1\npublishers:\n  a: {root: policy.yaml, repositories: [r.example/t]}\nrules: []\n", "3", "no usable root file"},
		"one root two names":  {"version: 1\npublishers:\n  a: {root: roots/a.json, repositories: [r.example/t]}\n  b: {root: roots/a.json, repositories: [r.example/t]}\nrules: []\n", "1", "publishers a and b are one"},
	} {
		t.Run(name, func(t *testing.T) {
			path := writePolicy(t, c.text, "a")
			err := verify.CheckPolicy(path, nil)
			require.ErrorContains(t, err, c.want)
			if c.line != "" {
				require.ErrorIs(t, err, verify.ErrPolicy)
				require.Contains(t, err.Error(), path+":"+c.line+": ")
			}
		})
	}
}

func TestPolicyTellsAllProblemsAtOnce(t *testing.T) {
	err := verify.CheckPolicy(writePolicy(t, "version: 1\nrules:\n  - {nam: x, scope: '*', require: []}\n  - {name: y, scop: '*', require: []}\n"), nil)
	require.ErrorContains(t, err, ":3: rule: unknown field \"nam\"")
	require.ErrorContains(t, err, ":4: rule: unknown field \"scop\"")
	many := "version: 1\nrules:\n" + strings.Repeat("  - {}\n", 1000)
	err = verify.CheckPolicy(writePolicy(t, many), nil)
	require.Less(t, len(err.Error()), 10_000)
}

func TestPolicyTakesPinnedPublishers(t *testing.T) {
	pins := verify.OpenPins(filepath.Join(t.TempDir(), "pins"))
	a, b := newRoot(t, strings.Repeat("a", 32)), newRoot(t, strings.Repeat("b", 32))
	require.NoError(t, pins.Add(verify.Pin{Name: "acme", Root: a.root, Repositories: []string{"r.example/pinned"}}))
	require.NoError(t, pins.Add(verify.Pin{Name: "beta", Root: b.root, Repositories: []string{"r.example/pinned-b"}}))
	p, err := verify.LoadPolicy(writePolicy(t, `
version: 1
publishers:
  acme:
  beta: {repositories: [r.example/other, "oci:near"]}
rules:
  - {name: x, scope: "*", require: [{publisher: acme}, {publisher: beta}]}
`), pins)
	require.NoError(t, err)
	require.Equal(t, a.root, p.Publishers[0].Root)
	require.Equal(t, []string{"r.example/pinned"}, p.Publishers[0].Repositories)
	require.Equal(t, b.root, p.Publishers[1].Root)
	require.Equal(t, "r.example/other", p.Publishers[1].Repositories[0])
	require.True(t, filepath.IsAbs(p.Publishers[1].Repositories[1][len("oci:"):]), "seen from the policy file")

	_, err = verify.LoadPolicy(writePolicy(t, "version: 1\nrules:\n  - {name: x, scope: '*', require: [{publisher: acm}]}\n"), pins)
	require.ErrorContains(t, err, `did you mean "acme"?`)
	require.ErrorIs(t, err, verify.ErrUnknownPublisher)
}
