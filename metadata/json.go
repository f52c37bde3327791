package metadata

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	kind Kind
	text string // the string, or the literal of a number or boolean
	// parts are the members of an object, sorted by name, or the elements of
	// an array, without names. One slice for both keeps a Value small: a file
	// has millions.
	parts []Member
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
func List(v ...Value) Value {
	parts := make([]Member, len(v))
	for i, e := range v {
		parts[i].Value = e
	}
	return Value{kind: Array, parts: parts}
}

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
	return Value{kind: Object, parts: unique}
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

// Items returns the elements of an array, nil for every other kind.
func (v Value) Items() []Value {
	if v.kind != Array {
		return nil
	}
	out := make([]Value, len(v.parts))
	for i, p := range v.parts {
		out[i] = p.Value
	}
	return out
}

// Members returns the members of an object sorted by name, nil for every
// other kind. The slice must not be changed.
func (v Value) Members() []Member {
	if v.kind != Object {
		return nil
	}
	return v.parts
}

// Get returns the member name of an object, or the Absent value.
func (v Value) Get(name string) Value {
	members := v.Members()
	i, found := slices.BinarySearchFunc(members, name, func(m Member, n string) int { return strings.Compare(m.Name, n) })
	if !found {
		return Value{}
	}
	return members[i].Value
}

// With returns a copy of the object v in which name has the given value, or
// no longer exists if the value is Absent.
func (v Value) With(name string, value Value) Value {
	members := slices.Clone(v.Members())
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
		for i, e := range v.parts {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.Value.AppendCanonical(dst)
		}
		return append(dst, ']')
	case Object:
		dst = append(dst, '{')
		for i, m := range v.parts {
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
