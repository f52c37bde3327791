package tuf_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func decoded(t *testing.T, role, signed string) *metadata.File {
	t.Helper()
	f, err := metadata.Decode(role, []byte(`{"signatures":[],"signed":`+signed+`}`))
	require.NoError(t, err)
	return f
}

// A file whose difference cannot be described whole is never one to sign:
// each case is a change to the same file.
func TestDifferenceNamesWhatIsHidden(t *testing.T) {
	hex := strings.Repeat("a", 64)
	key := string(fixtures.Key("ann").Key().JSON())
	signed := `{"_type":"targets","delegations":{"keys":{"k":` + key + `},"roles":[{"keyids":["k"],"name":"dev","paths":["a/*"],"terminating":false,"threshold":1}]},` +
		`"expires":"2030-01-02T03:04:05Z","spec_version":"1.0.34","targets":{"a/b":{"custom":{"carnet":{"claims":{"x":"y"}}},"hashes":{"sha256":"` + hex + `"},"length":1}},"version":1}`
	before := decoded(t, "team", signed)
	for _, c := range []struct{ name, old, new, where string }{
		{"unknown member", `"version":1}`, `"version":1,"zz":1}`, "zz: "},
		{"unknown member of the extension", `"_type"`, `"carnet":{"later":"x"},"_type"`, "carnet.later: "},
		{"unknown member of a delegation", `"terminating"`, `"quorum":1,"terminating"`, "delegations.dev.quorum: "},
		{"unknown member of a delegation's extension", `"terminating"`, `"carnet":{"later":"x"},"terminating"`, "delegations.dev.carnet.later: "},
		{"unknown member beside the delegations", `"roles":`, `"paths":[],"roles":`, "delegations.paths: "},
		{"unknown custom", `"custom":{`, `"custom":{"theirs":{"x":1},`, "targets.a/b.custom.theirs.x: "},
		{"unknown member of a statement", `"claims"`, `"later":"x","claims"`, "targets.a/b.custom.carnet.later: "},
		{"statement that cannot be read", `"claims":{"x":"y"}`, `"claims":{"x":1}`, "targets.a/b.custom.carnet.claims.x: "},
		{"unknown member of an entry", `"length":1`, `"length":1,"more":true`, "targets.a/b.more: "},
		{"unknown member of a key", `"keyval":{`, `"keyval":{"certificate":"x",`, "keys.k: keyval.certificate: "},
		{"what is only written differently", `"terminating":false,`, ``, "delegations.roles[0].terminating: "},
		{"a name that hides itself", `"version":1}`, `"version":1,"\u202e\u200b":1}`, `"\u202e\u200b": `},
		{"a long name", `"version":1}`, `"version":1,"` + strings.Repeat("z", 100000) + `":1}`, "zz… (100000 bytes)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Contains(t, signed, c.old)
			d, err := tuf.Compare(delegations.Edge{Role: "team"}, before, decoded(t, "team", strings.Replace(signed, c.old, c.new, 1)))
			require.NoError(t, err)
			require.ErrorIs(t, d.Err(), tuf.ErrNotShown)
			require.ErrorContains(t, d.Err(), c.where)
			var b strings.Builder
			require.ErrorIs(t, d.Text(&b, nil), tuf.ErrNotShown)
			require.Contains(t, b.String(), "  HIDDEN: ")
			require.False(t, d.Empty())
		})
	}
}

// Keys with unknown members are hidden wherever a file lists them, and so is
// a role of root that is none of TUF's.
func TestDifferenceNamesWhatIsHiddenInRoot(t *testing.T) {
	p := publisherWithEverything(t)
	root := decodedFile(t, metadata.RoleRoot, p.Root).Root
	odd, err := metadata.ParseKey([]byte(`{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"` + strings.Repeat("ab", 32) + `"},"owner":"eve"}`))
	require.NoError(t, err)
	for name, change := range map[string]func(*metadata.Root){
		"spare key": func(r *metadata.Root) { r.Keys["x"] = odd },
		"refresher": func(r *metadata.Root) { r.Keys["x"], r.Carnet.Refreshers = odd, []string{"x"} },
		"key of a role": func(r *metadata.Root) {
			r.Keys["x"], r.Roles["root"] = odd, metadata.RoleKeys{KeyIDs: []string{"x"}, Threshold: 1}
		},
		"role": func(r *metadata.Root) { r.Roles["mirrors"] = metadata.RoleKeys{KeyIDs: []string{}, Threshold: 1} },
	} {
		after := root.Clone()
		change(after)
		require.ErrorIs(t, tuf.CompareRoot(root, after).Err(), tuf.ErrNotShown, name)
	}
}

// Where several roles list one path the first of them counts: their order
// decides what passes.
func TestOrderOfSearchIsShown(t *testing.T) {
	p := publisherWithEverything(t)
	list, err := tuf.NewRepository(p.Options()).Preview(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		targets, err := d.Edit(ctx, metadata.RoleTargets)
		slices.Reverse(targets.Delegations.Roles[1:3])
		return err
	})
	require.NoError(t, err)
	require.Contains(t, words(t, list, nil), `  roles are searched in another order:
    before: 1. revocations
    before: 2. releases
    before: 3. team
    before: 4. both
    before: 5. check
    after:  1. revocations
    after:  2. team
    after:  3. releases
`)
}

// What goes away is described whole by that, whatever it held.
func TestWhatGoesAwayHidesNothing(t *testing.T) {
	hex := strings.Repeat("a", 64)
	before := decoded(t, "team", `{"_type":"targets","delegations":{"keys":{"k":{"keytype":"x","scheme":"y","keyval":{"z":1}}},"roles":[{"keyids":["k"],"name":"dev","paths":["a/*"],"threshold":1,"zz":1}]},`+
		`"expires":"2030-01-02T03:04:05Z","spec_version":"1.0.34","targets":{"a/b":{"custom":{"theirs":1},"hashes":{"sha256":"`+hex+`"},"length":1,"zz":1}},"version":1,"zz":1}`)
	after := decoded(t, "team", `{"_type":"targets","delegations":{"keys":{},"roles":[]},"expires":"2030-01-02T03:04:05Z","spec_version":"1.0.34","targets":{},"version":2,"zz":1}`)
	d, err := tuf.Compare(delegations.Edge{Role: "team"}, before, after)
	require.NoError(t, err)
	require.NoError(t, d.Err())
	require.Len(t, d.Trust, 1)
	require.Len(t, d.Entries, 1)
}

// A line that nobody reads to its end is cut where all can see it, and fails.
func TestPreviewIsNeverCutInSilence(t *testing.T) {
	claim := func(n int) *tuf.Difference {
		target := fixtures.Target("x").WithStatement(metadata.Statement{Claims: map[string]string{"c": strings.Repeat("ä", n)}})
		after := &metadata.Targets{Targets: map[string]metadata.Target{"a:1": target}}
		return tuf.CompareTargets(delegations.Edge{Role: "team"}, nil, after)
	}
	var b strings.Builder
	require.NoError(t, claim(1000).Text(&b, nil))
	b.Reset()
	require.ErrorIs(t, claim(10000).Text(&b, nil), tuf.ErrNotShown)
	require.Regexp(t, `ä… NOT SHOWN: \d+ bytes more\n`, b.String())
	for line := range strings.Lines(b.String()) {
		require.Less(t, len(line), 4200)
	}
}

type brokenWriter struct{ left int }

var errBroken = errors.New("broken pipe")

func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

func TestPreviewThatIsNotWrittenFails(t *testing.T) {
	d := tuf.CompareTargets(delegations.Edge{Role: "team"}, nil, manyEntries(1000, "x"))
	require.ErrorIs(t, d.Text(&brokenWriter{left: 10000}, nil), errBroken)
}

func TestCompareWantsTwoFilesOfOneType(t *testing.T) {
	p := publisherWithEverything(t)
	root, err := metadata.Decode(metadata.RoleRoot, p.Root)
	require.NoError(t, err)
	state, err := tuf.NewRepository(p.Options()).Load(t.Context())
	require.NoError(t, err)
	targets := decodedFile(t, metadata.RoleTargets, fileOf(t, state, metadata.RoleTargets))
	for _, c := range [][2]*metadata.File{{root, targets}, {targets, root}, {nil, state.Snapshot()}, {nil, state.Timestamp()}} {
		_, err := tuf.Compare(delegations.Edge{Role: "x"}, c[0], c[1])
		require.ErrorIs(t, err, tuf.ErrInvalid)
	}
}

func decodedFile(t *testing.T, role string, raw []byte) *metadata.File {
	t.Helper()
	f, err := metadata.Decode(role, raw)
	require.NoError(t, err)
	return f
}

func manyEntries(n int, content string) *metadata.Targets {
	out := &metadata.Targets{Targets: make(map[string]metadata.Target, n)}
	for i := range n {
		s := metadata.Statement{Claims: map[string]string{"stage": "prod"}, MediaType: "application/vnd.oci.image.manifest.v1+json", Signed: fixtures.Epoch}
		out.Targets[fmt.Sprintf("team/app-%d:1.0", i)] = fixtures.Target(fmt.Sprint(content, i)).WithStatement(s)
	}
	out.Version, out.Expires = 2, fixtures.Epoch
	return out
}

// A person who approves 10,000 changes reads them at once.
func TestManyChangesAreAllShown(t *testing.T) {
	d := tuf.CompareTargets(delegations.Edge{Role: "team"}, manyEntries(10000, "before"), manyEntries(10000, "after"))
	require.NoError(t, d.Text(io.Discard, nil))
	require.Len(t, d.Entries, 10000)
}

func BenchmarkDifference(b *testing.B) {
	before := manyEntries(100000, "before")
	after := manyEntries(100000, "before")
	for i := range 10000 {
		after.Targets[fmt.Sprintf("team/new-%d:1.0", i)] = fixtures.Target("new")
	}
	for b.Loop() {
		d := tuf.CompareTargets(delegations.Edge{Role: "team"}, before, after)
		if err := d.Text(io.Discard, nil); err != nil || len(d.Entries) != 10000 {
			b.Fatal(err, len(d.Entries))
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"net-monitor:1.0": "net-monitor:1.0", "": `""`, "a b": `"a b"`, "pаypal": `"p\u0430ypal"`, "a\nb": `"a\nb"`, `a"`: `"a\""`, "\x1b[2J": `"\x1b[2J"`, "\xff": `"\xff"`,
	} {
		require.Equal(t, want, tuf.Printable(in))
	}
	for in, want := range map[string]string{
		"": `""`, "leaks memory": `"leaks memory"`, "läuft über": `"läuft über"`, "漏洞": `"漏洞"`, "a\nb": `"a\nb"`, "\u202eabc": `"\u202eabc"`, "a\u200bb": `"a\u200bb"`,
		"\u3164": `"\u3164"`, "\u2800": `"\u2800"`, "x\ufe0f": `"x\ufe0f"`, "\U000e0041": `"\U000e0041"`, `"quoted\`: `"\"quoted\\"`, "\x1b[31m": `"\x1b[31m"`, "\xff": `"\xff"`, "\x07": `"\a"`,
	} {
		require.Equal(t, want, tuf.Quoted(in))
	}
}
