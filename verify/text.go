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
// What came from others is shown without line breaks and control characters.
func (d Decision) Text() string {
	var b strings.Builder
	first := d.Reference + ": " + d.Verdict.String()
	if d.Policy != "" {
		first += fmt.Sprintf(" by rule %q", d.Policy)
	}
	line(&b, "%s", first)
	if d.Digest != "" {
		line(&b, "  digest %s", d.Digest)
	}
	for _, r := range d.Results {
		r.text(&b)
	}
	return b.String()
}

func (r Result) text(b *strings.Builder) {
	line(b, "  %s: %s: %s", or(r.Publisher, "-"), r.Reason, r.Message)
	if r.SignedDigest != "" {
		line(b, "    target %s is %s", r.Target, r.SignedDigest)
	}
	if r.Chain != nil {
		line(b, "    chain %s", strings.Join(r.Chain, " > "))
	}
	if len(r.Claims) > 0 {
		line(b, "    claims %s", claimsText(r.Claims))
	}
	if o := r.Origin; o != nil {
		line(b, "    origin %s of publisher %s, root version %d, timestamp version %d", o.Target, o.Publisher, o.RootVersion, o.TimestampVersion)
	}
	if r.TimestampVersion > 0 {
		line(b, "    %s", r.freshness())
	}
}

// freshness says how old the publisher's metadata is, and where it came from.
func (r Result) freshness() string {
	return fmt.Sprintf("root version %d, timestamp version %d, expires %s, from %s", r.RootVersion, r.TimestampVersion, metadata.FormatTime(r.Expires), r.Source)
}

// line writes one line, whatever stands in the arguments.
func line(b *strings.Builder, format string, args ...any) {
	b.WriteString(printable(fmt.Sprintf(format, args...)))
	b.WriteByte('\n')
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
		switch {
		case r == '\n':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '?'
	}, s)
}

// maxShown is how much of a word that anybody may have written is shown.
const maxShown = 200

// clipped shortens what is shown of such a word.
func clipped(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return strings.ToValidUTF8(s[:maxShown], "") + "…"
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
	s := "withdrawn"
	if n.By != "" {
		s += " by " + n.By
	}
	s += ": " + n.Reason
	if n.Advisory != "" {
		s += " (" + n.Advisory + ")"
	}
	if n.ReplacedBy != "" {
		s += ", replaced by " + n.ReplacedBy
	}
	return s
}
