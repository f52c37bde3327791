package verify_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// fenced returns the blocks of a document in one language.
func fenced(text, language string) []string {
	var out []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}

// whole completes a block that shows a part of a policy.
func whole(block string) string {
	switch {
	case strings.HasPrefix(block, "publishers:"):
		return "version: 1\n" + block + "rules: []\n"
	case strings.HasPrefix(block, "- "):
		return "version: 1\nrules:\n" + block
	}
	return block
}

func TestEveryPolicyOfTheDocumentationIsValid(t *testing.T) {
	raw, err := os.ReadFile("../docs/policy.md")
	require.NoError(t, err)
	pins := verify.OpenPins(t.TempDir())
	for name, id := range map[string]string{"wabbit-networks": "c", "acme": "d"} {
		pin := verify.Pin{Name: name, Root: newRoot(t, strings.Repeat(id, 32)).root, Repositories: []string{"r.example/trust"}}
		require.NoError(t, pins.Add(pin))
	}
	blocks := fenced(string(raw), "yaml")
	require.Len(t, blocks, 4)
	for _, block := range blocks {
		_, err := verify.LoadPolicy(writePolicy(t, whole(block), "wabbit-networks", "acme"), pins)
		require.NoError(t, err, block)
	}
	p, err := verify.LoadPolicy(writePolicy(t, whole(blocks[2])), pins)
	require.NoError(t, err)
	for ref, want := range map[string]string{
		"registry.acme.example/team:1": "team", "registry.acme.example/team/x:1": "team", "registry.acme.example/team/tool:1": "one-image",
		"registry.acme.example/team/tool/x:1": "team", "registry.acme.example/teams:1": "whole-registry", "registry.acme.example:443/team/x:1": "same-by-port",
	} {
		r, err := registrystore.ParseReference(ref, "")
		require.NoError(t, err)
		rule, ok := p.Match(r.Repository)
		require.True(t, ok)
		require.Equal(t, want, rule.Name, ref)
	}
}

// Every word of the language, and every reason, is explained in a table.
func TestEveryFieldAndReasonIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/policy.md")
	require.NoError(t, err)
	var words []string
	for file, pattern := range map[string]string{
		"policyparse.go": `d\.mapping\(.*\)`, "reason.go": `Reason = "[a-z-]+"`,
	} {
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, line := range regexp.MustCompile(pattern).FindAllString(string(code), -1) {
			for i, m := range regexp.MustCompile(`"([a-z-]+)"`).FindAllStringSubmatch(line, -1) {
				if file == "reason.go" || i > 0 || strings.Contains(line, `"publisher "+`) { // first: what is read
					words = append(words, m[1])
				}
			}
		}
	}
	require.Greater(t, len(words), 30)
	for _, w := range words {
		require.Contains(t, string(doc), "\n| `"+w+"` |", "not in a table: %s", w)
	}
}

// Every field of verify -o json is documented.
func TestEveryFieldOfADecisionIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/policy.md")
	require.NoError(t, err)
	code, err := os.ReadFile("decision.go")
	require.NoError(t, err)
	fields := regexp.MustCompile("`json:\"([a-zA-Z]+)\"`").FindAllStringSubmatch(string(code), -1)
	require.Greater(t, len(fields), 25)
	for _, f := range fields {
		require.Regexp(t, "(?m)^\\| [^|]*`"+f[1]+"`[^|]* \\|", string(doc), "not in a table: %s", f[1])
	}
}
