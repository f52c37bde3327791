package metadata

import (
	"slices"
	"strings"
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

func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
