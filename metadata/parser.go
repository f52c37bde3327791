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

// ErrJSON is wrapped by every error of [Parse].
var ErrJSON = errors.New("not the JSON that metadata uses")

// Parse reads exactly one JSON value, strictly: UTF-8 without lone
// surrogates, no duplicate names, no fraction or exponent, no "-0", nesting
// of at most [MaxDepth], at most [MaxValues] values. Size is the caller's to
// bound, before reading.
func Parse(b []byte) (Value, error) {
	p := parser{in: string(b)}
	v, err := p.document()
	if err != nil {
		return Value{}, fmt.Errorf("%w: byte %d: %w", ErrJSON, p.at, err)
	}
	return v, nil
}

// parser reads one document.
type parser struct {
	in    string
	at    int
	depth int
	count int // values so far
	// canonical says whether everything since it was last set to true stood
	// in canonical form.
	canonical bool
	// signed is where in the input the member "signed" of the outermost object
	// stands, from its first byte to the byte after its last, and isSealed
	// whether it stands in canonical form.
	signed   [2]int
	isSealed bool

	open []Member // the parts of those arrays and objects that are not complete
	free []Member // memory for complete ones, many at a time
}

// keep takes the parts from mark on off those that are open.
func (p *parser) keep(mark int) []Member {
	n := len(p.open) - mark
	if n > len(p.free) {
		p.free = make([]Member, max(n, min(p.count, 1024)))
	}
	kept := p.free[:n:n]
	p.free = p.free[n:]
	copy(kept, p.open[mark:])
	p.open = p.open[:mark]
	return kept
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
	if p.count++; p.count > MaxValues {
		return Value{}, fmt.Errorf("more than %d values", MaxValues)
	}
	switch c := p.peek(); {
	case c == '{':
		return p.nested(p.object)
	case c == '[':
		return p.nested(p.array)
	case c == '"':
		s, err := p.str()
		return Text(s), err
	case c == '-' || c >= '0' && c <= '9':
		return p.integer()
	}
	return p.word()
}

func (p *parser) word() (Value, error) {
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

// nested reads an array or object one level deeper.
func (p *parser) nested(read func() (Value, error)) (Value, error) {
	if p.depth++; p.depth > MaxDepth {
		return Value{}, fmt.Errorf("nested deeper than %d", MaxDepth)
	}
	v, err := read()
	p.depth--
	return v, err
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
	mark := len(p.open)
	for p.space(); ; p.space() {
		if p.peek() == ']' && len(p.open) == mark {
			p.at++
			return Value{kind: Array}, nil
		}
		e, err := p.value()
		if err != nil {
			return Value{}, err
		}
		p.open = append(p.open, Member{Value: e})
		done, err := p.next(']')
		if err != nil {
			return Value{}, err
		}
		if done {
			return Value{kind: Array, parts: p.keep(mark)}, nil
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
	mark := len(p.open)
	for p.space(); ; p.space() {
		if p.peek() == '}' && len(p.open) == mark {
			p.at++
			return Value{kind: Object}, nil
		}
		m, err := p.member()
		if err != nil {
			return Value{}, err
		}
		p.open = append(p.open, m)
		done, err := p.next('}')
		if err != nil {
			return Value{}, err
		}
		if done {
			members := p.keep(mark)
			return Value{kind: Object, parts: members}, p.order(members)
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
		p.signed, p.isSealed = [2]int{start, p.at}, p.canonical
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
			return fmt.Errorf("the name %.300q stands twice in one object", members[i].Name)
		}
	}
	return nil
}

func (p *parser) str() (string, error) {
	p.at++
	start := p.at
	all := byte(0) // every bit that some byte of the string has
	for ; p.at < len(p.in); p.at++ {
		c := p.in[p.at]
		switch {
		case c == '"':
			s := p.in[start:p.at]
			p.at++
			if all < utf8.RuneSelf {
				return s, nil
			}
			return checked(s)
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return "", errControl
		}
		all |= c
	}
	return "", errOpenString
}

var (
	errControl    = errors.New("a raw control character in a string")
	errOpenString = errors.New("a string without an end")
)

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
			return "", errControl
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
	return "", errOpenString
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
	if err != nil {
		return 0, errors.New("a \\u without four digits")
	}
	p.at += 4
	return rune(n), nil
}
