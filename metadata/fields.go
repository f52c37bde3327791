package metadata

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrInvalid is wrapped by every error that says a file, though it is JSON,
// breaks the format of its type.
var ErrInvalid = errors.New("invalid metadata")

// fields reads the members of one object that has a fixed set of names. The
// first error sticks; what was not asked for is kept by rest. Paths for
// errors are composed only when one occurs, files have 100,000 entries.
type fields struct {
	parent *fields
	name   string
	value  Value
	asked  []string
	err    *error
}

func openFields(v Value, name string) *fields {
	f := &fields{name: name, err: new(error)}
	f.setObject(v)
	return f
}

func (f *fields) setObject(v Value) {
	f.value = v
	if v.kind != Object {
		f.fail("want an object, found %s", v.kind)
	}
}

func (f *fields) path() string {
	if f.parent == nil {
		return f.name
	}
	return f.parent.path() + "." + f.name
}

func (f *fields) fail(format string, args ...any) {
	if *f.err == nil {
		*f.err = fmt.Errorf("%w: %s: %s", ErrInvalid, f.path(), fmt.Sprintf(format, args...))
	}
}

func (f *fields) get(name string) Value {
	f.asked = append(f.asked, name)
	return f.value.Get(name)
}

// need returns a member that must be there with that kind.
func (f *fields) need(name string, k Kind) Value {
	v := f.get(name)
	if v.kind != k {
		f.fail("%s: want %s, found %s", name, k, v.kind)
	}
	return v
}

// may returns a member that, if it is there, has that kind.
func (f *fields) may(name string, k Kind) Value {
	v := f.get(name)
	if v.kind != Absent && v.kind != k {
		f.fail("%s: want %s, found %s", name, k, v.kind)
		return Value{}
	}
	return v
}

// reopen makes f, a child, read another object of its parent. Large files
// have 100,000 objects of a kind.
func (f *fields) reopen(name string, v Value) *fields {
	f.name, f.asked = name, f.asked[:0]
	f.setObject(v)
	return f
}

func (f *fields) child(name string, v Value) *fields {
	c := &fields{parent: f, name: name, err: f.err}
	c.setObject(v)
	return c
}

func (f *fields) object(name string) *fields { return f.child(name, f.get(name)) }

func (f *fields) str(name string) string { return f.need(name, String).text }

// integer reads a whole number of at least low.
func (f *fields) integer(name string, low int64) int64 {
	return f.number(name, f.need(name, Integer), low)
}

func (f *fields) number(name string, v Value, low int64) int64 {
	if *f.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil || n < low {
		f.fail("%s: want an integer from %d, found %s", name, low, v.text)
	}
	return n
}

// time reads a date of TUF's form; a fraction of a second is dropped.
func (f *fields) time(name string) time.Time {
	s := f.str(name)
	if *f.err != nil {
		return time.Time{}
	}
	t, err := ParseTime(s)
	if err != nil {
		f.fail("%s: %v", name, err)
	}
	return t
}

// unique refuses a list in which a string stands twice.
func (f *fields) unique(name string, list []string) []string {
	seen := make(map[string]bool, len(list))
	for _, s := range list {
		if seen[s] {
			f.fail("%s: %q stands twice", name, s)
		}
		seen[s] = true
	}
	return list
}

// texts reads an array of strings; nil if there is none.
func (f *fields) texts(name string, v Value) []string {
	if v.kind != Array {
		return nil
	}
	out := make([]string, 0, len(v.parts))
	for _, e := range v.parts {
		if e.Value.kind != String {
			f.fail("%s: want strings, found %s", name, e.Value.kind)
		}
		out = append(out, e.Value.text)
	}
	return out
}

// rest returns the members that nobody asked for.
func (f *fields) rest() []Member {
	var out []Member
	for _, m := range f.value.Members() {
		if !slices.Contains(f.asked, m.Name) {
			out = append(out, m)
		}
	}
	return out
}

// hashes reads an object of algorithm to hex digest.
func (f *fields) hashes(name string, v Value) Hashes {
	out := make(Hashes, 0, len(v.Members()))
	for _, m := range v.Members() {
		h := Hash{Algorithm: m.Name, Hex: m.Value.Str()}
		if !h.wellFormed() {
			h.Hex = strings.ToLower(h.Hex) // some repositories write capitals
		}
		if !h.wellFormed() {
			f.fail("%s: %.40s: no hexadecimal digest by that algorithm", name, m.Name)
		}
		out = append(out, h)
	}
	if len(out) == 0 {
		f.fail("%s: no hash", name)
	}
	return out
}

// TimeFormat is how metadata writes time: UTC, whole seconds (TUF 4.2.2).
const TimeFormat = "2006-01-02T15:04:05Z"

// timeGrammar is stricter than Go's parser, which takes "T3:04" and commas.
var timeGrammar = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)

// ParseTime reads TUF's date and time. Fractions of a second, which the
// specification does not have but some repositories write, are cut off: a
// file never lives longer than its author wrote.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !timeGrammar.MatchString(s) {
		return time.Time{}, fmt.Errorf("want a time like 2026-11-23T15:04:05Z, found %.100q", s)
	}
	return t.Truncate(time.Second), nil
}

// FormatTime is the inverse of [ParseTime].
func FormatTime(t time.Time) string { return t.UTC().Format(TimeFormat) }
