package carnet_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/carnet-project/carnet/"

// A room is a top-level directory: what its product code may import.
type room struct {
	rooms   []string // rooms of this module
	modules []string // other modules, by prefix
	pure    bool     // bytes in, values out: no disk, network, randomness
	tool    bool     // prints, exits, takes flags
}

var (
	oci     = []string{"github.com/opencontainers/go-digest", "github.com/opencontainers/image-spec"}
	keys    = []string{"github.com/sigstore/sigstore/pkg/", "github.com/secure-systems-lab/go-securesystemslib"}
	tokens  = []string{"github.com/miekg/pkcs11"}
	flock   = []string{"github.com/gofrs/flock"}
	oras    = []string{"oras.land/oras-go/v2"}
	yaml    = []string{"go.yaml.in/yaml/v3"}
	sync    = []string{"golang.org/x/sync"}
	command = []string{"github.com/spf13/cobra", "golang.org/x/term"}
	harness = []string{
		"github.com/theupdateframework/go-tuf/v2", "github.com/distribution/distribution/v3",
		"github.com/google/go-containerregistry", "github.com/rogpeppe/go-internal", "github.com/stretchr/testify",
	}
)

// rooms is the table of DESIGN.md.
var rooms = map[string]room{
	"metadata":      {pure: true, modules: oci},
	"delegations":   {pure: true, modules: oci, rooms: []string{"metadata"}},
	"tuf":           {modules: slices.Concat(oci, keys, flock, sync), rooms: []string{"metadata", "delegations"}},
	keysElsewhere:   {modules: slices.Concat(keys, tokens), rooms: []string{"metadata", "tuf"}},
	"revocation":    {modules: slices.Concat(oci, sync), rooms: []string{"metadata", "delegations", "tuf"}},
	"registrystore": {modules: slices.Concat(oci, oras, flock, sync), rooms: []string{"metadata", "tuf"}},
	"verify":        {modules: slices.Concat(oci, yaml, flock, sync), rooms: []string{"metadata", "delegations", "tuf", "revocation", "registrystore"}},
	"promotion":     {modules: slices.Concat(oci, sync), rooms: []string{"metadata", "delegations", "tuf", "revocation", "registrystore", "verify"}},
	"fixtures": {
		tool:    true,
		modules: slices.Concat(oci, keys, oras, flock, yaml, sync, harness, servers),
		rooms:   []string{"metadata", "delegations", "tuf", "revocation", "registrystore", "verify", "promotion"},
	},
	"cmd": {
		tool:    true,
		modules: slices.Concat(oci, sync, command),
		rooms:   []string{"metadata", "delegations", "tuf", keysElsewhere, "revocation", "registrystore", "verify", "promotion"},
	},
	benchmark: {
		tool:    true,
		modules: slices.Concat(oci, harness),
		rooms:   []string{"metadata", "tuf", "registrystore", "verify", "promotion", "fixtures"},
	},
}

// benchmark is a command that nobody installs: it may use what tests use.
const benchmark = "cmd/carnet-bench"

// keysElsewhere is a room inside of another: who verifies does not pull it in.
const keysElsewhere = "tuf/signers"

// inner are the rooms that lie inside of another.
var inner = []string{benchmark, keysElsewhere}

// servers is what the registries in process need beside themselves.
var servers = []string{"github.com/go-jose/go-jose/v4", "github.com/sirupsen/logrus"}

// What tools own and libraries must not touch: printing, flags, exits.
var commandOnly = []string{"flag", "log", "log/slog"}

// What a pure room has no business with.
var impure = []string{"os", "net", "io/fs", "io/ioutil", "path/filepath", "math/rand", "math/rand/v2", "crypto/rand", "syscall", "embed"}

// source is one Go file, as far as its imports go.
type source struct {
	path    string // with slashes, below the module's root
	pkg     string
	imports []string
}

func (s source) room() string { return roomOf(s.path) }

// roomOf returns the room of a path below the module's root.
func roomOf(path string) string {
	for _, room := range inner {
		if strings.HasPrefix(path+"/", room+"/") {
			return room
		}
	}
	first, _, _ := strings.Cut(path, "/")
	return first
}

// external reports whether nothing can import the file: it is a test of
// another package, or a test of a command.
func (s source) external() bool {
	return strings.HasSuffix(s.path, "_test.go") && (strings.HasSuffix(s.pkg, "_test") || s.pkg == "main")
}

// violations lists the imports of s that its room may not have. Internal
// tests may import what their room may, and the testing modules.
func violations(s source) []string {
	r, ok := rooms[s.room()]
	if !ok {
		return []string{s.path + " is in no room"}
	}
	if s.external() {
		return nil
	}
	if strings.HasSuffix(s.path, "_test.go") {
		r.modules, r.pure, r.tool = slices.Concat(r.modules, harness), false, true
	}
	var out []string
	for _, imp := range s.imports {
		if !r.allows(s.room(), imp) {
			out = append(out, s.path+" imports "+imp)
		}
	}
	return out
}

func (r room) allows(name, imp string) bool {
	if own, ok := strings.CutPrefix(imp, module); ok {
		return roomOf(own) == name || slices.Contains(r.rooms, roomOf(own))
	}
	if host, _, _ := strings.Cut(imp, "/"); strings.Contains(host, ".") {
		return slices.ContainsFunc(r.modules, func(m string) bool { return strings.HasPrefix(imp, m) })
	}
	if r.pure && within(impure, imp) {
		return false
	}
	return r.tool || !within(commandOnly, imp)
}

// within reports whether imp is one of the packages or below one of them.
func within(packages []string, imp string) bool {
	return slices.ContainsFunc(packages, func(p string) bool { return imp == p || strings.HasPrefix(imp, p+"/") })
}

func sources(t *testing.T) []source {
	var out []source
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") && filepath.Dir(path) != "." { // the module itself is no room
			out = append(out, parse(t, path))
		}
		return nil
	}))
	return out
}

func parse(t *testing.T, path string) source {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	require.NoError(t, err)
	s := source{path: filepath.ToSlash(path), pkg: f.Name.Name}
	for _, spec := range f.Imports {
		imp, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		s.imports = append(s.imports, imp)
	}
	return s
}

func TestRoomsImportDownwardsOnly(t *testing.T) {
	files := sources(t)
	require.Greater(t, len(files), 30, "no sources: the test looked in the wrong place")
	for _, s := range files {
		assert.Empty(t, violations(s))
	}
}

func TestViolationsAreFound(t *testing.T) {
	for _, s := range []source{
		{"metadata/a.go", "metadata", []string{module + "tuf"}},
		{"metadata/a.go", "metadata", []string{"os"}},
		{"metadata/a.go", "metadata", []string{"net/http"}},
		{"tuf/a.go", "tuf", []string{module + "registrystore"}},
		{"tuf/a.go", "tuf", []string{"oras.land/oras-go/v2/registry"}},
		{"tuf/a.go", "tuf", []string{"github.com/theupdateframework/go-tuf/v2/metadata"}},
		{"tuf/a.go", "tuf", []string{"github.com/stretchr/testify/require"}},
		{"tuf/a_test.go", "tuf", []string{module + "fixtures"}},
		{"tuf/a.go", "tuf", []string{module + "tuf/signers"}},
		{"verify/a.go", "verify", []string{module + "tuf/signers"}},
		{"verify/a.go", "verify", []string{"github.com/miekg/pkcs11"}},
		{"verify/a.go", "verify", []string{"log/slog"}},
		{"verify/a.go", "verify", []string{module + "fixtures"}},
		{"verify/a.go", "verify", []string{"oras.land/oras-go/v2"}},
		{"registrystore/a.go", "registrystore", []string{module + "verify"}},
		{"cmd/carnet/a.go", "main", []string{module + "fixtures"}},
		{"cmd/carnet/a.go", "main", []string{"oras.land/oras-go/v2"}},
		{"cmd/carnet-bench/a.go", "main", []string{"oras.land/oras-go/v2"}},
		{"helpers/a.go", "helpers", nil},
	} {
		assert.NotEmpty(t, violations(s), "%v", s)
	}
}

// Libraries are used by other programs: they do not print, end the process,
// or read its arguments.
func TestOnlyToolsPrintAndExit(t *testing.T) {
	n := 0
	for _, s := range sources(t) {
		if rooms[s.room()].tool || strings.HasSuffix(s.path, "_test.go") {
			continue
		}
		n++
		f, err := parser.ParseFile(token.NewFileSet(), s.path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		assert.Empty(t, toolUses(f), s.path)
	}
	require.Greater(t, n, 30, "no sources: the test looked in the wrong place")
}

func TestToolUsesAreFound(t *testing.T) {
	for _, body := range []string{
		`fmt.Println(1)`, `fmt.Printf("")`, `fmt.Fprintln(os.Stderr)`, `os.Stdout.Close()`, `os.Exit(1)`, `_ = os.Args`, `println(1)`, `print(1)`,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "a.go", "package a\nfunc f() { "+body+" }\n", parser.SkipObjectResolution)
		require.NoError(t, err)
		assert.NotEmpty(t, toolUses(f), body)
	}
}

// toolUses lists what in a file prints, ends the process or reads its
// arguments.
func toolUses(f *ast.File) []string {
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			pkg, ok := n.X.(*ast.Ident)
			if !ok {
				return true
			}
			name := pkg.Name + "." + n.Sel.Name
			if strings.HasPrefix(name, "fmt.Print") || slices.Contains([]string{"os.Stdin", "os.Stdout", "os.Stderr", "os.Exit", "os.Args"}, name) {
				out = append(out, name)
			}
		case *ast.CallExpr:
			if fn, ok := n.Fun.(*ast.Ident); ok && (fn.Name == "print" || fn.Name == "println") {
				out = append(out, fn.Name)
			}
		}
		return true
	})
	return out
}

func TestTestsMayImportFixtures(t *testing.T) {
	for _, s := range []source{
		{"tuf/a_test.go", "tuf_test", []string{module + "fixtures", "github.com/theupdateframework/go-tuf/v2/metadata"}},
		{"tuf/a_test.go", "tuf", []string{"github.com/stretchr/testify/require"}},
		{"metadata/a_test.go", "metadata", []string{"os"}},
		{"cmd/carnet/a_test.go", "main", []string{module + "fixtures"}},
		{"cmd/carnet-bench/a.go", "main", []string{module + "fixtures", "flag"}},
	} {
		assert.Empty(t, violations(s), "%v", s)
	}
}

// Each direct dependency is argued for in DESIGN.md.
func TestDirectDependenciesAreArguedFor(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	design, err := os.ReadFile("DESIGN.md")
	require.NoError(t, err)
	n := 0
	for line := range strings.Lines(string(mod)) {
		path, version, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "require ")), " v")
		if !ok || strings.Contains(version, "// indirect") {
			continue
		}
		n++
		last := path[strings.LastIndex(path, "/")+1:]
		if strings.HasPrefix(last, "v") {
			last = strings.TrimSuffix(path, "/"+last)
		} else {
			last = path
		}
		parts := strings.Split(last, "/")
		assert.Contains(t, string(design), parts[len(parts)-1], path)
	}
	assert.Greater(t, n, 5)
}
