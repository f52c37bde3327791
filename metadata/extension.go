package metadata

import (
	"slices"
	"time"
)

// extensionName is the member that holds what Carnet adds to an object.
// Within it times and claims are strings and integers small: TUF clients
// disagree about the rest (docs/spec.md, "Signed extensions").
const extensionName = "carnet"

// critical refuses an extension that names, under "critical", a member that
// this version does not know: its author says that a reader who ignores it
// would decide wrongly.
func critical(o *fields, known ...string) {
	for _, name := range o.texts("critical", o.may("critical", Array)) {
		if !slices.Contains(known, name) {
			o.fail("critical: %q is needed to read this and is not known here: a newer carnet may know it", name)
		}
	}
	// Kept among the unknown members, so that it is written again.
	o.asked = slices.DeleteFunc(o.asked, func(s string) bool { return s == "critical" })
}

func textOrAbsent(s string) Value {
	if s == "" {
		return Value{}
	}
	return Text(s)
}

func textsOrAbsent(list []string) Value {
	if len(list) == 0 {
		return Value{}
	}
	return texts(list)
}

// isHex reports whether s is n lower-case hexadecimal digits.
func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// durations reads an object of names to durations in Go's form, "24h0m0s".
func (f *fields) durations(name string) map[string]time.Duration {
	v := f.may(name, Object)
	if v.kind == Absent {
		return nil
	}
	out := make(map[string]time.Duration, len(v.parts))
	for _, m := range v.Members() {
		d, err := time.ParseDuration(m.Value.Str())
		if err != nil || d < time.Second || d%time.Second != 0 {
			f.fail("%s: %s: want whole seconds like \"24h\", found %.40q", name, m.Name, m.Value.Str())
		}
		out[m.Name] = d
	}
	return out
}

func durationsOrAbsent(list map[string]time.Duration) Value {
	if len(list) == 0 {
		return Value{}
	}
	m := make([]Member, 0, len(list))
	for name, d := range list {
		m = append(m, Member{name, Text(d.String())})
	}
	return Struct(m...)
}
