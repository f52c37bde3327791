package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// level is how urgent it is that somebody acts.
type level string

const (
	levelOK       level = "ok"
	levelNotice   level = "notice"   // 30 days are left, or a quarter of the file's life
	levelWarning  level = "warning"  // 7 days, or an eighth
	levelCritical level = "critical" // 1 day, or a sixteenth
	levelExpired  level = "expired"
	levelInvalid  level = "invalid" // verifiers refuse the file whatever the time
)

// levelOf says how urgent it is that a file with so much left, of so long a
// life, is signed again. A file that lives a day must not be warned about all
// the time: so the limits are at most a fraction of its life.
func levelOf(left, life time.Duration) level {
	const day = 24 * time.Hour
	switch {
	case left <= 0:
		return levelExpired
	case left <= min(day, life/16):
		return levelCritical
	case left <= min(7*day, life/8):
		return levelWarning
	case left <= min(30*day, life/4):
		return levelNotice
	}
	return levelOK
}

// warning is something that somebody must do, who, and how.
type warning struct {
	Role      string     `json:"role"` // "latest" for the tag
	Level     level      `json:"level"`
	Message   string     `json:"message"`
	Threshold int        `json:"threshold"` // how many of the signers must sign
	AtHand    int        `json:"atHand"`
	Signers   []signerAt `json:"signers"`
	Command   string     `json:"command"`
}

// roleLatest is the name under which status warns of the tag.
const roleLatest = metadata.TagLatest

// spoiltWarning tells that what is shown is not the newest state. The holders
// of root must act.
func (s *statusAnswer) spoiltWarning(p *publisher) warning {
	i := slices.IndexFunc(s.Roles, func(r roleStatus) bool { return r.Role == metadata.RoleRoot })
	root := s.Roles[i]
	return warning{
		Role: metadata.RoleTimestamp, Level: levelInvalid, Threshold: root.Threshold, AtHand: root.AtHand, Signers: root.Signers,
		Command: p.pasted("writer", "replace", "OLD", "NEW"),
		Message: "verifiers refuse the newest state; what is shown here is the one before: " + printable(s.spoilt.Error()),
	}
}

// warn adds what there is to do.
func (s *statusAnswer) warn(p *publisher) {
	var here []string
	for _, r := range s.Roles {
		if r.Level == levelOK {
			continue
		}
		w := warning{Role: r.Role, Level: r.Level, Message: r.message(), Threshold: r.Threshold, AtHand: r.AtHand, Signers: r.Signers}
		switch {
		case r.GivenUp, r.Error != nil:
			w.Command = p.pasted("delegate", "remove", r.Role)
		case r.Role == metadata.RoleTimestamp, r.Role == metadata.RoleSnapshot:
			w.Command = p.pasted("refresh")
		default:
			w.Command = p.pasted("refresh", "--role", r.Role)
			if r.AtHand >= r.Threshold {
				here = append(here, "--role", r.Role)
			}
		}
		s.Warnings = append(s.Warnings, w)
	}
	switch {
	case s.spoilt != nil:
		s.Warnings = append(s.Warnings, s.spoiltWarning(p))
	case s.Latest.Behind:
		s.Warnings = append(s.Warnings, warning{
			Role: roleLatest, Level: levelWarning, Signers: []signerAt{}, Command: p.pasted("refresh"),
			Message: fmt.Sprintf("the tag latest names state %d, and state %d is the newest: verifiers that never saw it are shown the older one", s.Latest.Version, s.Latest.Newest),
		})
	}
	if len(here) > 0 && len(s.Warnings) > 1 {
		s.refresh = p.pasted("refresh", here...)
	}
}

func (s roleStatus) message() string {
	name := printable(s.Role)
	switch {
	case s.Error != nil:
		return fmt.Sprintf("%s is not valid: verifiers refuse it: %s", name, printable(*s.Error))
	case s.Expired:
		return fmt.Sprintf("%s expired %s ago", name, span(-s.Left))
	}
	return fmt.Sprintf("%s expires in %s", name, span(s.Left))
}

// span names a time as people do.
func span(seconds int64) string {
	d := time.Duration(seconds) * time.Second
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Hour:
		return d.Truncate(time.Minute).String()
	}
	return d.String()
}

func (w warning) text(out io.Writer, c *command) {
	fmt.Fprintf(out, "%s: %s\n", c.paint(w.color(), strings.ToUpper(string(w.Level))), w.Message)
	if len(w.Signers) > 0 {
		names := make([]string, len(w.Signers))
		for i, s := range w.Signers {
			names[i] = s.String()
		}
		fmt.Fprintf(out, "  who   %d of: %s\n", w.Threshold, strings.Join(names, ", "))
	}
	fmt.Fprintf(out, "  do    %s\n", w.Command)
	if w.AtHand < w.Threshold {
		fmt.Fprintf(out, "  here  %d of the keys, %d needed: run it where the others are\n", w.AtHand, w.Threshold)
	}
}

func (w warning) color() string {
	if w.Level == levelNotice || w.Level == levelWarning {
		return yellow
	}
	return red
}

func (s signerAt) String() string {
	name := s.KeyID[:min(len(s.KeyID), 12)]
	if s.Name != nil {
		name = *s.Name
	}
	if s.AtHand {
		return name + " (here)"
	}
	return name
}

// withins reads [ROLE=]DURATION; "" is for all that are not named.
func withins(list []string) (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	for _, s := range list {
		role, text, named := strings.Cut(s, "=")
		if !named {
			role, text = "", s
		}
		d, err := duration(text)
		if named && !metadata.IsTopLevel(role) && role != tuf.ExpiryDelegated || err != nil || d < 0 {
			return nil, usagef("--fail-within %s: want a duration like 36h or 14d, or ROLE=DURATION; ROLE is root, targets, snapshot, timestamp or delegated", s)
		}
		out[role] = d
	}
	return out, nil
}

// fail lists the roles that are not valid for as long as limits ask.
func (s *statusAnswer) fail(limits map[string]time.Duration) {
	if len(limits) == 0 {
		return
	}
	s.Failing = []string{}
	if s.spoilt != nil {
		s.Failing = append(s.Failing, metadata.RoleTimestamp)
	}
	for _, r := range s.Roles {
		kind := r.Role
		if !metadata.IsTopLevel(kind) {
			kind = tuf.ExpiryDelegated
		}
		limit, ok := limits[kind]
		if !ok {
			limit, ok = limits[""]
		}
		if ok && (r.Error != nil || r.Left <= int64(limit/time.Second)) && !slices.Contains(s.Failing, r.Role) {
			s.Failing = append(s.Failing, r.Role)
		}
	}
}

// pasted is a command that does what is needed when it is pasted: it names
// the publisher's trust repository, and the configuration if a flag did.
func (p *publisher) pasted(verb string, args ...string) string {
	words := append([]string{"carnet", verb}, args...)
	words = append(words, "--trust", p.at)
	if p.c.flags.config != "" {
		words = append(words, "--config", p.c.flags.config)
	}
	for i, word := range words {
		words[i] = shellQuoted(word)
	}
	return strings.Join(words, " ")
}

// shellQuoted makes one word of s for a shell. What is no ordinary character
// a terminal does not get to see.
func shellQuoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+%", r)
	}
	if s != "" && !slices.ContainsFunc([]rune(s), func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(printable(s), "'", `'\''`) + "'"
}
