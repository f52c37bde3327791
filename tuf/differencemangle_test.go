package tuf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Whatever member of a file changes, and however: the preview says so, or
// says that it cannot. And two changes that are previewed in the same words,
// with nothing hidden, are one.
func TestNothingIsHidden(t *testing.T) {
	for name, c := range mangled(t) {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, c)
			for i := range b.edits(b.parse()) {
				doc := b.parse()
				edit := b.edits(doc)[i]
				edit.apply()
				b.check(doc, edit.name)
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 150 {
				doc := b.parse()
				var done []string
				for range 1 + r.IntN(4) {
					list := b.edits(doc)
					edit := list[r.IntN(len(list))]
					edit.apply()
					done = append(done, edit.name)
				}
				b.check(doc, strings.Join(done, ", "))
			}
			require.Greater(t, b.described, 5, "changes that are described")
			require.Greater(t, b.hidden, 5, "changes that are hidden")
			t.Logf("%d described, %d hidden, %d invalid", b.described, b.hidden, b.invalid)
		})
	}
}

// bench compares one file with what is made of it.
type bench struct {
	t                          *testing.T
	edge                       delegations.Edge
	raw                        []byte
	before                     *metadata.File
	same                       string            // the preview of no change
	texts                      map[string]string // by preview, what the file means
	described, hidden, invalid int
}

type subject struct {
	edge delegations.Edge
	raw  []byte
}

func newBench(t *testing.T, c subject) *bench {
	f, err := metadata.Decode(c.edge.Role, c.raw)
	require.NoError(t, err, string(c.raw))
	d, err := tuf.Compare(c.edge, f, f)
	require.NoError(t, err)
	var same strings.Builder
	require.NoError(t, d.Text(&same, nil))
	require.Contains(t, same.String(), "  nothing else changes\n")
	return &bench{
		t: t, edge: c.edge, raw: c.raw, before: f, texts: map[string]string{},
		same: strings.TrimSuffix(same.String(), "  nothing else changes\n"),
	}
}

func (b *bench) parse() map[string]any {
	dec := json.NewDecoder(bytes.NewReader(b.raw))
	dec.UseNumber()
	var doc map[string]any
	require.NoError(b.t, dec.Decode(&doc))
	return doc
}

func (b *bench) check(doc map[string]any, how string) {
	raw, err := json.Marshal(doc)
	require.NoError(b.t, err)
	after, err := metadata.Decode(b.edge.Role, raw)
	if err != nil {
		b.invalid++
		return
	}
	if bytes.Equal(after.Signed, b.before.Signed) {
		return
	}
	d, err := tuf.Compare(b.edge, b.before, after)
	require.NoError(b.t, err)
	var text strings.Builder
	shown := d.Text(&text, nil)
	if len(d.Hidden) > 0 || shown != nil {
		require.ErrorIs(b.t, shown, tuf.ErrNotShown)
		require.True(b.t, strings.Contains(text.String(), "HIDDEN: ") || strings.Contains(text.String(), "NOT SHOWN: "), how)
		b.hidden++
		return
	}
	b.described++
	require.False(b.t, d.Empty() && d.Version.IsZero() && d.Expires.IsZero(), "%s: nothing is said to change", how)
	require.NotEqual(b.t, b.same, text.String(), "%s: not a word of it", how)
	if strings.Contains(text.String(), "which means nothing") {
		return // an order is told, and not which
	}
	signed := meaning(b.t, doc["signed"])
	if same, ok := b.texts[text.String()]; ok {
		require.True(b.t, same == signed, "%s: two changes in the same words:\n%.2000s\n%.3000s\n%.3000s", how, text.String(), same, signed)
	}
	b.texts[text.String()] = signed
}

// meaning is a document with its lists of strings sorted: all are sets.
func meaning(t *testing.T, v any) string {
	var sorted func(any)
	sorted = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, e := range v {
				sorted(e)
			}
		case []any:
			slices.SortStableFunc(v, func(a, b any) int {
				x, isText := a.(string)
				y, both := b.(string)
				if !isText || !both {
					return 0
				}
				return strings.Compare(x, y)
			})
			for _, e := range v {
				sorted(e)
			}
		}
	}
	sorted(v)
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return string(raw)
}

// edit is one way to change a document.
type edit struct {
	name  string
	apply func()
}

func (b *bench) edits(doc map[string]any) []edit {
	return editsOf(nil, "signed", doc["signed"], func(v any) { doc["signed"] = v })
}

// editsOf returns every change of one value, and of those below it.
func editsOf(out []edit, at string, v any, set func(any)) []edit {
	replace := func(how string, with any) {
		out = append(out, edit{at + " " + how, func() { set(with) }})
	}
	switch v := v.(type) {
	case string:
		for how, with := range map[string]string{
			"longer": v + "a", "capitals": strings.ToUpper(v), "empty": "", "bidi": "\u202e" + v, "accent": v + "\u0301", "zero width": v + "\u200b",
			"newline": v + "\n  HIDD", "other digit": strings.Replace(v, "1", "2", 1), "other letter": strings.Replace(v, "a", "b", 1), "fraction": strings.Replace(v, "Z", ".5Z", 1),
			"cyrillic": strings.Replace(v, "a", "а", 1), "quoted": `"` + v + `"`, "long": v + strings.Repeat("x", 5000),
		} {
			if with != v {
				replace(how, with)
			}
		}
		slices.SortFunc(out, func(a, b edit) int { return strings.Compare(a.name, b.name) })
	case json.Number:
		n, _ := v.Int64()
		replace("+1", json.Number(fmt.Sprint(n+1)))
		replace("-1", json.Number(fmt.Sprint(n-1)))
	case bool:
		replace("turned", !v)
	case []any:
		out = editsOfList(out, at, v, set)
	case map[string]any:
		out = editsOfObject(out, at, v)
	}
	replace("null", nil)
	replace("string", "other")
	replace("object", map[string]any{})
	replace("list", []any{})
	return out
}

func editsOfList(out []edit, at string, v []any, set func(any)) []edit {
	out = append(out, edit{at + " longer", func() { set(append(slices.Clone(v), "other")) }})
	for i, e := range v {
		here := fmt.Sprintf("%s[%d]", at, i)
		out = append(out,
			edit{here + " removed", func() { set(slices.Delete(slices.Clone(v), i, i+1)) }},
			edit{here + " twice", func() { set(slices.Insert(slices.Clone(v), i, e)) }},
			edit{here + " first", func() { set(slices.Insert(slices.Delete(slices.Clone(v), i, i+1), 0, e)) }})
		out = editsOf(out, here, e, func(with any) { v[i] = with })
	}
	return out
}

func editsOfObject(out []edit, at string, v map[string]any) []edit {
	out = append(out,
		edit{at + " with an unknown member", func() { v["zz"] = map[string]any{"x": "y"} }},
		edit{at + " with an unknown list", func() { v["custom"] = []any{"y"} }},
		edit{at + " with Carnet's member", func() { v["carnet"] = map[string]any{"agree": "x"} }},
		edit{at + " with an empty extension", func() { v["carnet"] = map[string]any{} }},
		edit{at + " with an empty custom", func() { v["custom"] = map[string]any{} }})
	for _, name := range slices.Sorted(maps.Keys(v)) {
		here := at + "." + name
		out = append(out,
			edit{here + " removed", func() { delete(v, name) }},
			edit{here + " renamed", func() { v[name+"x"] = v[name]; delete(v, name) }},
			edit{here + " twice", func() { v[name+"x"] = v[name] }})
		out = editsOf(out, here, v[name], func(with any) { v[name] = with })
	}
	return out
}

// mangled are real files, and such as other tools may write.
func mangled(t *testing.T) map[string]subject {
	p := publisherWithEverything(t)
	state, err := tuf.NewRepository(p.Options()).Load(t.Context())
	require.NoError(t, err)
	out := map[string]subject{"root": {delegations.Edge{Role: metadata.RoleRoot}, p.Root}}
	for _, role := range []string{metadata.RoleTargets, "revocations", "releases"} {
		f := fileOf(t, state, role)
		out[role] = subject{delegations.Edge{Role: role, Withdrawal: role == "revocations"}, f}
	}
	keys := `"keys":{"k1":` + string(fixtures.Key("ann").Key().JSON()) + `,"k2":` + string(fixtures.Key("bob").Key().JSON()) + `,"again":` + string(fixtures.Key("ann").Key().JSON()) +
		`,"odd":{"keytype":"sphincs","scheme":"x","keyval":{"public":"aa","other":"b"},"keyid_hash_algorithms":["sha256"]}}`
	head := `{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0.0","version":3,"expires":"2030-01-02T03:04:05.250Z","zz":{"n":1},`
	out["foreign"] = subject{delegations.Edge{Role: "team"}, []byte(head + `"targets":{"a/b.tgz":{"length":3,"hashes":{"sha256":"` + strings.Repeat("A", 64) + `","sha512":"` + strings.Repeat("b", 128) +
		`","md5":"aa"},"custom":{"theirs":[1,2]},"more":true},"c":{"length":0,"hashes":{"sha512":"` + strings.Repeat("b", 128) + `"}}},` +
		`"delegations":{` + keys + `,"roles":[{"name":"x","keyids":["k1","again"],"threshold":1,"path_hash_prefixes":["a0","B1"]},` +
		`{"name":"y","keyids":["odd","k1","lost"],"threshold":2,"terminating":true,"paths":["a/*","b/*"],"unknown":"x"},{"name":"z","keyids":["k2"],"threshold":1,"paths":[]}]}}}`)}
	out["agreement"] = subject{delegations.Edge{Role: "team"}, []byte(head + `"targets":{},"delegations":{` + keys + `,"roles":[{"name":"a","keyids":["k1"],"threshold":1,"paths":["*"]},` +
		`{"name":"b","keyids":["k2"],"threshold":1,"paths":["*"]},{"name":"c","keyids":["odd"],"threshold":1,"paths":["*"],` +
		`"carnet":{"agreement":{"roles":["a","b","c"],"min":2,"zz":1},"critical":["purpose","agreement"]}}]}}}`)}
	out["bins"] = subject{delegations.Edge{Role: "team"}, []byte(head + `"targets":{},"delegations":{` + keys + `,"succinct_roles":{"bit_length":4,"name_prefix":"bin","keyids":["k1","k2"],"threshold":1}}}}`)}
	out["nothing"] = subject{delegations.Edge{Role: "team"}, []byte(head + `"targets":{},"delegations":{"keys":{},"roles":[]}}}`)}
	return out
}
