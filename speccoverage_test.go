package carnet_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSpecCoverageNamesWhatExists reads the tables of docs/spec-coverage.md:
// each row names functions by file and tests by name.
func TestSpecCoverageNamesWhatExists(t *testing.T) {
	raw, err := os.ReadFile("docs/spec-coverage.md")
	require.NoError(t, err)
	tests := map[string]bool{}
	for _, s := range sources(t) {
		if strings.HasSuffix(s.path, "_test.go") {
			for name := range functions(t, s.path) {
				tests[name] = true
			}
		}
	}
	rows := 0
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.Contains(cells[3], "`") {
			continue
		}
		rows++
		place := ticked.FindAllString(cells[3], -1)
		for _, name := range place[1:] {
			assert.True(t, functions(t, strings.Trim(place[0], "`"))[strings.Trim(name, "`")], "%s in %s", name, place[0])
		}
		named := ticked.FindAllString(cells[4], -1)
		assert.NotEmpty(t, named, "no test: %s", line)
		for _, name := range named {
			test, _, _ := strings.Cut(strings.Trim(name, "`"), "/")
			assert.True(t, tests[test], "no such test: %s", name)
		}
	}
	require.Greater(t, rows, 40, "the tables were not found")
}

var ticked = regexp.MustCompile("`[^`]+`")

// functions returns the names of the functions and methods in a file.
func functions(t *testing.T, path string) map[string]bool {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	out := map[string]bool{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok {
			out[fn.Name.Name] = true
		}
	}
	return out
}
