package metadata

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Kind says which of JSON's types a [Value] has.
type Kind uint8

// The kinds of a Value. The zero Value is Absent: no JSON at all.
const (
	Absent Kind = iota
	Null
	Bool
	Integer
	String
	Array
	Object
)

func (k Kind) String() string {
	return [...]string{"nothing", "null", "boolean", "integer", "string", "array", "object"}[k]
}

// Value is one parsed JSON value of the subset that TUF metadata uses:
// integers of any size but no fractions, and no object with two members of
// one name. A Value is immutable; what was parsed can be written again in
// canonical form without loss, members unknown to Carnet included.
type Value struct {
	kind    Kind
	text    string // the string, or the literal of a number or boolean
	list    []Value
	members []Member // sorted by name
}

// Member is one name and value of an object.
type Member struct {
	Name  string
	Value Value
}

// Text returns a string value.
func Text(s string) Value { return Value{kind: String, text: s} }

// Int returns an integer value.
func Int(n int64) Value { return Value{kind: Integer, text: strconv.FormatInt(n, 10)} }

// Boolean returns true or false as a value.
func Boolean(b bool) Value { return Value{kind: Bool, text: strconv.FormatBool(b)} }

// List returns an array.
func List(v ...Value) Value { return Value{kind: Array, list: v} }

// Struct returns an object of the members given; members whose value is
// absent are left out. Of two members with one name the last counts.
func Struct(members ...Member) Value {
	kept := make([]Member, 0, len(members))
	for _, m := range members {
		if m.Value.kind != Absent {
			kept = append(kept, m)
		}
	}
	slices.SortStableFunc(kept, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	unique := kept[:0]
	for i, m := range kept {
		if i+1 < len(kept) && kept[i+1].Name == m.Name {
			continue
		}
		unique = append(unique, m)
	}
	return Value{kind: Object, members: unique}
}

// Kind returns the type of v.
func (v Value) Kind() Kind { return v.kind }

// Str returns the text of a string, and "" for every other kind.
func (v Value) Str() string {
	if v.kind != String {
		return ""
	}
	return v.text
}

// Items returns the elements of an array. The slice must not be changed.
func (v Value) Items() []Value { return v.list }

// Members returns the members of an object sorted by name. The slice must
// not be changed.
func (v Value) Members() []Member { return v.members }

// Get returns the member name of an object, or the Absent value.
func (v Value) Get(name string) Value {
	i, found := slices.BinarySearchFunc(v.members, name, func(m Member, n string) int { return strings.Compare(m.Name, n) })
	if !found {
		return Value{}
	}
	return v.members[i].Value
}

// With returns a copy of the object v in which name has the given value, or
// no longer exists if the value is Absent.
func (v Value) With(name string, value Value) Value {
	members := slices.Clone(v.members)
	return Struct(append(slices.DeleteFunc(members, func(m Member) bool { return m.Name == name }), Member{name, value})...)
}

// Canonical returns v in the canonical JSON that TUF signs (OLPC canonical
// JSON: members sorted by name, no white space, only `"` and `\` escaped).
// It is the inverse of [Parse] except where a string holds a control
// character: canonical JSON writes those raw and JSON forbids them.
func (v Value) Canonical() []byte { return v.AppendCanonical(nil) }

// AppendCanonical appends the canonical form of v to dst.
func (v Value) AppendCanonical(dst []byte) []byte {
	switch v.kind {
	case Null:
		return append(dst, "null"...)
	case Bool, Integer:
		return append(dst, v.text...)
	case String:
		return appendString(dst, v.text)
	case Array:
		dst = append(dst, '[')
		for i, e := range v.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.AppendCanonical(dst)
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i, m := range v.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, m.Name), ':')
			dst = m.Value.AppendCanonical(dst)
		}
		return append(dst, '}')
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for {
		i := strings.IndexAny(s, `"\`)
		if i < 0 {
			return append(append(dst, s...), '"')
		}
		dst = append(append(append(dst, s[:i]...), '\\'), s[i])
		s = s[i+1:]
	}
}

// appendJSON appends canonical bytes as JSON: control characters, which can
// only stand in strings and which canonical JSON writes raw, are escaped.
func appendJSON(dst, canonical []byte) []byte {
	for _, c := range canonical {
		switch {
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c < 0x20:
			dst = fmt.Appendf(dst, `\u%04x`, c)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// ErrJSON is wrapped by every error of [Parse].
var ErrJSON = errors.New("not the JSON that metadata uses")

// Parse reads exactly one JSON value, strictly: UTF-8 without lone
// surrogates, no duplicate names, no fraction or exponent, no "-0", nesting
// of at most [MaxDepth]. Size is the caller's to bound, before reading.
func Parse(b []byte) (Value, error) {
	p := parser{in: string(b)}
	v, err := p.document()
	if err != nil {
		return Value{}, fmt.Errorf("%w: byte %d: %w", ErrJSON, p.at, err)
	}
	return v, nil
}

// parser reads one document. canonical says whether everything since it was
// last set to true stood in canonical form; signed is the part of the input
// that the outermost object's member "signed" took, and whether it did.
type parser struct {
	in        string
	at        int
	depth     int
	canonical bool
	signed    string
	isSealed  bool // signed stands in canonical form
}

func (p *parser) document() (Value, error) {
	p.space()
	v, err := p.value()
	if err != nil {
		return v, err
	}
	p.space()
	if p.at != len(p.in) {
		return v, errors.New("something follows the value")
	}
	return v, nil
}

func (p *parser) space() {
	for p.at < len(p.in) {
		switch p.in[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
			p.canonical = false
		default:
			return
		}
	}
}

func (p *parser) peek() byte {
	if p.at < len(p.in) {
		return p.in[p.at]
	}
	return 0
}

func (p *parser) value() (Value, error) {
	if p.depth++; p.depth > MaxDepth {
		return Value{}, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	defer func() { p.depth-- }()
	switch c := p.peek(); {
	case c == '{':
		return p.object()
	case c == '[':
		return p.array()
	case c == '"':
		s, err := p.str()
		return Text(s), err
	case c == '-' || c >= '0' && c <= '9':
		return p.integer()
	}
	for _, w := range [...]string{"null", "true", "false"} {
		if strings.HasPrefix(p.in[p.at:], w) {
			p.at += len(w)
			if w == "null" {
				return Value{kind: Null, text: w}, nil
			}
			return Value{kind: Bool, text: w}, nil
		}
	}
	return Value{}, errors.New("no value here")
}

func (p *parser) integer() (Value, error) {
	start := p.at
	if p.peek() == '-' {
		p.at++
	}
	digits := p.at
	for c := p.peek(); c >= '0' && c <= '9'; c = p.peek() {
		p.at++
	}
	n := p.in[digits:p.at]
	switch {
	case n == "":
		return Value{}, errors.New("a minus without digits")
	case n[0] == '0' && (len(n) > 1 || digits > start):
		return Value{}, errors.New("a number with a leading or negative zero")
	case len(n) > 100:
		return Value{}, errors.New("a number of more than 100 digits")
	}
	if c := p.peek(); c == '.' || c == 'e' || c == 'E' {
		return Value{}, errors.New("a number that is no integer")
	}
	return Value{kind: Integer, text: p.in[start:p.at]}, nil
}

func (p *parser) array() (Value, error) {
	p.at++
	v := Value{kind: Array}
	for p.space(); ; p.space() {
		if p.peek() == ']' && len(v.list) == 0 {
			p.at++
			return v, nil
		}
		e, err := p.value()
		if err != nil {
			return v, err
		}
		v.list = append(v.list, e)
		if done, err := p.next(']'); done || err != nil {
			return v, err
		}
	}
}

// next reads a comma or the end of an array or object.
func (p *parser) next(end byte) (done bool, err error) {
	p.space()
	switch p.peek() {
	case ',':
		p.at++
		return false, nil
	case end:
		p.at++
		return true, nil
	}
	return false, fmt.Errorf("neither ',' nor '%c'", end)
}

func (p *parser) object() (Value, error) {
	p.at++
	v := Value{kind: Object}
	for p.space(); ; p.space() {
		if p.peek() == '}' && len(v.members) == 0 {
			p.at++
			return v, nil
		}
		m, err := p.member()
		if err != nil {
			return v, err
		}
		v.members = append(v.members, m)
		done, err := p.next('}')
		if err != nil {
			return v, err
		}
		if done {
			return v, p.order(v.members)
		}
	}
}

func (p *parser) member() (Member, error) {
	if p.peek() != '"' {
		return Member{}, errors.New("no name here")
	}
	name, err := p.str()
	if err != nil {
		return Member{}, err
	}
	p.space()
	if p.peek() != ':' {
		return Member{}, errors.New("no ':' after a name")
	}
	p.at++
	p.space()
	top := p.depth == 1 && name == "signed"
	if top {
		p.canonical = true
	}
	start := p.at
	v, err := p.value()
	if top {
		p.signed, p.isSealed = p.in[start:p.at], p.canonical
	}
	return Member{name, v}, err
}

// order sorts the members of an object and refuses two of one name.
func (p *parser) order(members []Member) error {
	byName := func(a, b Member) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(members, byName) {
		p.canonical = false
		slices.SortFunc(members, byName)
	}
	for i := 1; i < len(members); i++ {
		if members[i].Name == members[i-1].Name {
			return fmt.Errorf("the name %q stands twice in one object", members[i].Name)
		}
	}
	return nil
}

func (p *parser) str() (string, error) {
	p.at++
	start := p.at
	for ; p.at < len(p.in); p.at++ {
		switch c := p.in[p.at]; {
		case c == '"':
			s := p.in[start:p.at]
			p.at++
			return checked(s)
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", errors.New("a raw control character in a string")
		}
	}
	return "", errors.New("a string without an end")
}

func checked(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("a string that is not UTF-8")
	}
	return s, nil
}

// escaped reads the rest of a string that has an escape at p.at.
func (p *parser) escaped(start int) (string, error) {
	var b strings.Builder
	b.WriteString(p.in[start:p.at])
	for p.at < len(p.in) {
		c := p.in[p.at]
		p.at++
		switch {
		case c == '"':
			return checked(b.String())
		case c < 0x20:
			return "", errors.New("a raw control character in a string")
		case c != '\\':
			b.WriteByte(c)
		default:
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		}
	}
	return "", errors.New("a string without an end")
}

// escape reads what follows a backslash. Canonical JSON has only \" and \\.
func (p *parser) escape() (rune, error) {
	c := p.peek()
	p.at++
	if c == '"' || c == '\\' {
		return rune(c), nil
	}
	p.canonical = false
	if c == 'u' {
		return p.unicode()
	}
	if i := strings.IndexByte("/bfnrt", c); i >= 0 && c != 0 {
		return rune("/\b\f\n\r\t"[i]), nil
	}
	return 0, errors.New("an escape that JSON does not have")
}

func (p *parser) unicode() (rune, error) {
	hi, err := p.hex4()
	if err != nil || !utf16.IsSurrogate(hi) {
		return hi, err
	}
	if strings.HasPrefix(p.in[p.at:], `\u`) {
		p.at += 2
		lo, err := p.hex4()
		if err != nil {
			return 0, err
		}
		if r := utf16.DecodeRune(hi, lo); r != utf8.RuneError {
			return r, nil
		}
	}
	return 0, errors.New("half of a surrogate pair")
}

func (p *parser) hex4() (rune, error) {
	if p.at+4 > len(p.in) {
		return 0, errors.New("a \\u without four digits")
	}
	n, err := strconv.ParseUint(p.in[p.at:p.at+4], 16, 16)
	if err != nil || strings.ContainsAny(p.in[p.at:p.at+4], "+_") {
		return 0, errors.New("a \\u without four digits")
	}
	p.at += 4
	return rune(n), nil
}
