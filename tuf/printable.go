package tuf

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns a name, path or ID that somebody else chose as it may be
// shown to a person: as it is, if it is of ASCII's visible characters alone;
// else quoted, everything else escaped, so that no letter passes for another.
func Printable(s string) string {
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '"' || r == '\\' {
			return strconv.QuoteToASCII(s)
		}
	}
	if s == "" {
		return `""`
	}
	return s
}

// Quoted returns free text that somebody else wrote as it may be shown to a
// person: quoted, on one line, letters of all languages as they are, and
// escaped what is not seen: control characters, those that turn the direction
// of writing, those without width.
func Quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0]), 16))
		case r == '"' || r == '\\':
			b.WriteString(`\` + s[:n])
		case visible(r):
			b.WriteString(s[:n])
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[n:]
	}
	b.WriteByte('"')
	return b.String()
}

// visible reports whether a reader sees r, and it leaves its neighbours as
// they are.
func visible(r rune) bool {
	return unicode.IsPrint(r) && r != '\u2800' && !unicode.In(r, unicode.Me, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
