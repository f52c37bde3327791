package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/carnet-project/carnet/metadata"
)

// Text writes the decision for people: several lines, the first says it all.
// What came from others is shown without control characters.
func (d Decision) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", d.Reference, d.Verdict)
	if d.Policy != "" {
		fmt.Fprintf(&b, " by rule %q", d.Policy)
	}
	b.WriteString("\n")
	if d.Digest != "" {
		fmt.Fprintf(&b, "  digest %s\n", d.Digest)
	}
	for _, r := range d.Results {
		b.WriteString(r.text())
	}
	return printable(b.String())
}

func (r Result) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s: %s: %s\n", or(r.Publisher, "-"), r.Reason, r.Message)
	if r.Target != "" {
		fmt.Fprintf(&b, "    target %s", r.Target)
		if r.SignedDigest != "" {
			fmt.Fprintf(&b, " is %s", r.SignedDigest)
		}
		b.WriteString("\n")
	}
	if r.Chain != nil {
		fmt.Fprintf(&b, "    chain %s\n", strings.Join(r.Chain, " > "))
	}
	if len(r.Claims) > 0 {
		fmt.Fprintf(&b, "    claims %s\n", claimsText(r.Claims))
	}
	if o := r.Origin; o != nil {
		fmt.Fprintf(&b, "    origin %s of publisher %s, root version %d, timestamp version %d\n", o.Target, o.Publisher, o.RootVersion, o.TimestampVersion)
	}
	if r.TimestampVersion > 0 {
		fmt.Fprintf(&b, "    root version %d, timestamp version %d, expires %s, from %s\n", r.RootVersion, r.TimestampVersion, metadata.FormatTime(r.Expires), r.Source)
	}
	return b.String()
}

func claimsText(claims map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(claims)) {
		out = append(out, k+"="+claims[k])
	}
	return strings.Join(out, ", ")
}

func or(s, absent string) string {
	if s == "" {
		return absent
	}
	return s
}

// printable takes out what a terminal would act on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// ago writes an age in its largest whole unit.
func ago(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// noticeText says why something was withdrawn, in one line.
func noticeText(n *metadata.Notice) string {
	s := "withdrawn: " + strings.ReplaceAll(n.Reason, "\n", " ")
	if n.Advisory != "" {
		s += " (" + n.Advisory + ")"
	}
	if n.ReplacedBy != "" {
		s += ", replaced by " + n.ReplacedBy
	}
	return s
}
