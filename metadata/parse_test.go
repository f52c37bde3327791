package metadata_test

import (
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
)

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("[", metadata.MaxDepth+1) + strings.Repeat("]", metadata.MaxDepth+1)
	for name, c := range map[string]struct{ in, want string }{
		"nothing":                    {``, "no value"},
		"white space alone":          {" \n", "no value"},
		"trailing value":             {`{} {}`, "follows the value"},
		"trailing bytes":             {`{}x`, "follows the value"},
		"trailing NUL":               {"{}\x00", "follows the value"},
		"byte order mark":            {"\xef\xbb\xbf{}", "no value"},
		"duplicate name":             {`{"a":1,"b":2,"a":1}`, `"a" stands twice`},
		"duplicate name, escaped":    {`{"a":1,"\u0061":1}`, `"a" stands twice`},
		"duplicate name, nested":     {`[{"x":{"a":1,"a":2}}]`, `"a" stands twice`},
		"negative zero":              {`-0`, "zero"},
		"leading zero":               {`01`, "zero"},
		"negative leading zero":      {`-01`, "zero"},
		"fraction":                   {`1.0`, "no integer"},
		"exponent":                   {`1e3`, "no integer"},
		"capital exponent":           {`1E3`, "no integer"},
		"plus":                       {`+1`, "no value"},
		"minus alone":                {`-`, "minus without digits"},
		"minus infinity":             {`-Infinity`, "minus without digits"},
		"NaN":                        {`NaN`, "no value"},
		"a number of 101 digits":     {strings.Repeat("9", 101), "more than 100 digits"},
		"nesting":                    {deep, "nested deeper"},
		"not UTF-8":                  {"\"\xff\"", "UTF-8"},
		"not UTF-8 beside an escape": {"\"\\n\xff\"", "UTF-8"},
		"overlong UTF-8":             {"\"\xc0\x80\"", "UTF-8"},
		"surrogate in UTF-8":         {"\"\xed\xa0\x80\"", "UTF-8"},
		"lone high surrogate":        {`"\ud800"`, "surrogate"},
		"lone low surrogate":         {`"\udc00"`, "surrogate"},
		"two high surrogates":        {`"\ud800\ud800"`, "surrogate"},
		"swapped surrogates":         {`"\udc00\ud800"`, "surrogate"},
		"surrogate then escape":      {`"\ud800\n"`, "surrogate"},
		"short unicode escape":       {`"\u12"`, "four digits"},
		"signed unicode escape":      {`"\u+123"`, "four digits"},
		"unknown escape":             {`"\x41"`, "escape"},
		"escaped quote of one kind":  {`"\'"`, "escape"},
		"backslash at the end":       {`"\`, "escape"},
		"string without end":         {`"abc`, "without an end"},
		"escaped string without end": {`"a\nbc`, "without an end"},
		"raw line break":             {"\"a\nb\"", "control"},
		"raw NUL":                    {"\"a\x00b\"", "control"},
		"raw tab beside an escape":   {"\"\\\\a\tb\"", "control"},
		"comma after the last":       {`[1,]`, "no value"},
		"comma before the first":     {`[,1]`, "no value"},
		"comma after last member":    {`{"a":1,}`, "no name"},
		"missing comma":              {`[1 2]`, "neither"},
		"missing colon":              {`{"a" 1}`, "':'"},
		"name without quotes":        {`{a:1}`, "no name"},
		"number as name":             {`{1:1}`, "no name"},
		"open array":                 {`[1`, "neither"},
		"open object":                {`{"a":1`, "neither"},
		"closed by the other":        {`[1}`, "neither"},
		"comment":                    {`{}//`, "follows"},
		"no-break space":             {"\u00a0{}", "no value"},
		"form feed":                  {"\f{}", "no value"},
		"capital true":               {`True`, "no value"},
		"true with more":             {`truex`, "follows"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := metadata.Parse([]byte(c.in))
			require.ErrorIs(t, err, metadata.ErrJSON)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// canonicalCases are accepted, and stand in canonical form like this.
var canonicalCases = map[string]struct{ in, want string }{
	"white space":          {" { \"b\" : [ 1 , 2 ] ,\r\n\t\"a\" : null } ", `{"a":null,"b":[1,2]}`},
	"order by bytes":       {`{"b":1,"a":2,"A":3,"":4,"aa":5,"é":6,"z":7}`, `{"":4,"A":3,"a":2,"aa":5,"b":1,"z":7,"é":6}`},
	"order beyond the BMP": {`{"𝄞":1,"ﬀ":2}`, `{"ﬀ":2,"𝄞":1}`},
	"escapes":              {`"\/\u0041\"\\"`, `"/A\"\\"`},
	"surrogate pair":       {`"\ud834\udd1e"`, `"𝄞"`},
	"control characters":   {`"\b\f\n\r\t\u0000\u001f"`, "\"\b\f\n\r\t\x00\x1f\""},
	"delete and separator": {`"\u007f\u2028<>&"`, "\"\u007f\u2028<>&\""},
	"noncharacter":         {`"\uffff\ufffd"`, "\"\uffff\ufffd\""},
	"empty":                {`[{},[],""]`, `[{},[],""]`},
	"literals":             {`[true,false,null,0,-1,9223372036854775807]`, `[true,false,null,0,-1,9223372036854775807]`},
}

func TestCanonical(t *testing.T) {
	for name, c := range canonicalCases {
		t.Run(name, func(t *testing.T) {
			v, err := metadata.Parse([]byte(c.in))
			require.NoError(t, err)
			assert.Equal(t, c.want, string(v.Canonical()))
		})
	}
}

func TestCanonicalIsThatOfSecuresystemslib(t *testing.T) {
	for name, c := range canonicalCases {
		t.Run(name, func(t *testing.T) {
			other, err := cjson.EncodeCanonical(rawJSON(c.in))
			require.NoError(t, err)
			assert.Equal(t, string(other), c.want)
		})
	}
}

// rawJSON hands bytes to an encoder as they are.
type rawJSON string

func (r rawJSON) MarshalJSON() ([]byte, error) { return []byte(r), nil }

// Known difference: securesystemslib refuses integers beyond 64 bits; Carnet
// keeps their digits where it need not understand them.
func TestCanonicalKeepsBigIntegersThatSecuresystemslibRefuses(t *testing.T) {
	const big = `{"n":123456789012345678901234567890}`
	v, err := metadata.Parse([]byte(big))
	require.NoError(t, err)
	assert.Equal(t, big, string(v.Canonical()))
	_, err = cjson.EncodeCanonical(rawJSON(big))
	assert.Error(t, err)
}

func TestValueAccessors(t *testing.T) {
	v, err := metadata.Parse([]byte(`{"s":"x","l":[1,"two"],"o":{"k":true}}`))
	require.NoError(t, err)
	assert.Equal(t, metadata.Object, v.Kind())
	assert.Equal(t, "x", v.Get("s").Str())
	assert.Equal(t, "", v.Get("l").Str(), "an array has no text")
	assert.Len(t, v.Get("l").Items(), 2)
	assert.Equal(t, metadata.Absent, v.Get("nowhere").Kind())
	assert.Equal(t, metadata.Absent, v.Get("s").Get("x").Kind(), "a string has no members")
	assert.Len(t, v.Members(), 3)

	changed := v.With("s", metadata.Int(7)).With("l", metadata.Value{}).With("new", metadata.Boolean(false))
	assert.Equal(t, `{"new":false,"o":{"k":true},"s":7}`, string(changed.Canonical()))
	assert.Equal(t, "x", v.Get("s").Str(), "the original is unchanged")
}

func TestStructLastMemberCounts(t *testing.T) {
	v := metadata.Struct(
		metadata.Member{Name: "a", Value: metadata.Int(1)}, metadata.Member{Name: "b", Value: metadata.Value{}},
		metadata.Member{Name: "a", Value: metadata.Int(2)})
	assert.Equal(t, `{"a":2}`, string(v.Canonical()))
}

// A file of few bytes must not become many values in memory.
func TestParseBoundsValues(t *testing.T) {
	list := "[" + strings.Repeat("0,", metadata.MaxValues) + "0]"
	_, err := metadata.Parse([]byte(list))
	require.ErrorIs(t, err, metadata.ErrJSON)
	assert.ErrorContains(t, err, "values")
}
