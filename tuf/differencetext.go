package tuf

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/carnet-project/carnet/metadata"
)

// maxLine is how many bytes a line of a preview may have: a longer one is
// not read.
const maxLine = 4096

// Text writes the difference in words, a fact a line. Name returns what a key
// is called here, or ""; it may be nil. What cannot be shown in full is said
// to be so where it stands, and Text then fails with ErrNotShown when all the
// rest is written; it fails too if w does.
func (d *Difference) Text(w io.Writer, name func(metadata.Key) string) error {
	t := &preview{w: bufio.NewWriter(w), name: name, d: d, told: map[string][]fact{}}
	t.all()
	err := t.w.Flush()
	if err == nil {
		err = t.err
	}
	if err == nil {
		err = d.Err()
	}
	return err
}

// Brief is Text for who looks back: without the first lines, and of entries
// only the paths, "+" for new or other ones and "-" for those that are gone.
func (d *Difference) Brief(w io.Writer, name func(metadata.Key) string) error {
	t := &preview{w: bufio.NewWriter(w), name: name, d: d, brief: true}
	t.all()
	err := t.w.Flush()
	if err == nil {
		err = t.err
	}
	return err
}

// preview writes one difference.
type preview struct {
	w     *bufio.Writer
	brief bool
	d     *Difference
	name  func(metadata.Key) string
	told  map[string][]fact // what was said of withdrawn digests, by path
	err   error             // the first line that was not shown in full
}

func (t *preview) line(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if len(s) > maxLine {
		cut := maxLine
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		if t.err == nil {
			t.err = fmt.Errorf("%w: %s: a line of %d bytes where a reader is shown %d: %.60s…", ErrNotShown, Printable(t.d.Role), len(s), maxLine, s)
		}
		s = fmt.Sprintf("%s… NOT SHOWN: %d bytes more", s[:cut], len(s)-cut)
	}
	t.w.WriteString(s)
	t.w.WriteByte('\n')
}

func (t *preview) all() {
	d := t.d
	if !t.brief {
		t.head()
	}
	t.self()
	t.root()
	for _, c := range d.Trust {
		t.trust(c)
	}
	if !d.Order.IsZero() {
		t.line("  roles are searched in another order:")
		t.list("    before: ", d.Order.Before)
		t.list("    after:  ", d.Order.After)
	}
	for _, c := range d.SpareKeys.Keys {
		t.keyChange("  listed for no role: ", c)
	}
	if t.brief {
		t.paths()
	} else {
		t.entries()
	}
	for _, h := range d.Hidden {
		t.line("  HIDDEN: %s", h)
	}
	if d.Empty() && !t.brief {
		t.line("  nothing else changes")
	}
}

// paths writes where entries change.
func (t *preview) paths() {
	plus, minus := "+", "-"
	if t.d.Withdrawal {
		plus, minus = "withdrawn:", "lifted:   "
	}
	for _, e := range t.d.Entries {
		if e.After != nil {
			t.line("  %s %s", plus, Printable(e.Path))
		}
	}
	for _, e := range t.d.Entries {
		if e.After == nil {
			t.line("  %s %s", minus, Printable(e.Path))
		}
	}
}

func (t *preview) list(before string, names []string) {
	for i, name := range names {
		t.line("%s%d. %s", before, i+1, Printable(name))
	}
}

func (t *preview) head() {
	d := t.d
	what := fmt.Sprintf("version %d → %d", d.Version.Before, d.Version.After)
	if d.New {
		what = fmt.Sprintf("version %d, of a new role", d.Version.After)
	}
	if d.Withdrawal {
		what += ", which withdraws"
	}
	t.line("%s: %s", Printable(d.Role), what)
	switch {
	case d.New || d.Expires.Before.Equal(d.Expires.After):
		t.line("  valid till %s", day(d.Expires.After))
	default:
		t.line("  valid till %s, before till %s", day(d.Expires.After), day(d.Expires.Before))
	}
}

// self writes what the file says of itself.
func (t *preview) self() {
	d := t.d
	t.text("  written by version %s of the TUF specification, before %s", d.SpecVersion)
	if !d.Revoked.IsZero() && d.Revoked.After {
		t.line("  the role gives itself up: it lists nothing, for ever")
	} else if !d.Revoked.IsZero() {
		t.line("  the role, which gave itself up, takes that back")
	}
	if !d.NoDelegations.IsZero() {
		t.line("  the list of delegations, which has none: %s → %s", d.NoDelegations.Before, d.NoDelegations.After)
	}
}

func day(t time.Time) string { return metadata.FormatTime(t) }

// text writes two strings that somebody else chose, if they differ.
func (t *preview) text(format string, s Span[string]) {
	if !s.IsZero() {
		t.line(format, Printable(s.After), Printable(s.Before))
	}
}

func (t *preview) root() {
	d := t.d
	t.text("  publisher id %s, before %s", d.Publisher)
	if !d.Name.IsZero() {
		t.line("  the publisher's name, before: %s", Quoted(d.Name.Before))
		t.line("  the publisher's name, after:  %s", Quoted(d.Name.After))
	}
	if !d.ConsistentSnapshot.IsZero() {
		t.line("  consistent snapshots: %t → %t", d.ConsistentSnapshot.Before, d.ConsistentSnapshot.After)
	}
	for _, role := range slices.Sorted(maps.Keys(d.Lifetimes)) {
		s := d.Lifetimes[role]
		t.line("  new files of %s live for %s, before %s", Printable(role), lifetime(role, s.After), lifetime(role, s.Before))
	}
	t.keys("  refreshers: ", d.Refreshers)
}

func lifetime(role, s string) string {
	if s == "" {
		return DefaultExpiry(role).String() + " (the default)"
	}
	return s
}

func (t *preview) trust(c TrustChange) {
	who := "  the role " + Printable(c.Role) + ": "
	if c.Bins {
		who = "  the hash bins " + Printable(c.Role) + "-*: "
	}
	switch {
	case c.New && c.Place > 0:
		t.line("%strusted from now on, searched in place %d", who, c.Place)
	case c.New:
		t.line("%strusted from now on", who)
	case c.Gone:
		t.line("%strusted no longer", who)
	}
	t.keys(who, c.Keys)
	t.threshold(who, c)
	t.patterns(who, "trusted with the paths", c.Paths)
	t.patterns(who, "trusted with the paths whose hash begins with", c.HashPrefixes)
	if !c.Terminating.IsZero() && c.Terminating.After {
		t.line("%sno role after it is asked for its paths (terminating)", who)
	} else if !c.Terminating.IsZero() && !c.Gone {
		t.line("%sroles after it are asked for its paths too (terminating no longer)", who)
	}
	t.text(who+"purpose %s, before %s", c.Purpose)
	t.agreement(who, c)
	if !c.BitLength.IsZero() && !c.Gone {
		t.line("%s2^%d bins, before %s", who, c.BitLength.After, bins(c))
	}
}

// agreement says which roles must agree under the role's paths.
func (t *preview) agreement(who string, c TrustChange) {
	t.names(who, "under its paths the agreement is demanded of", c.Agree.Added)
	t.names(who, "under its paths the agreement is no longer demanded of", c.Agree.Removed)
	if c.Agree.Reordered {
		t.line("%sthose whose agreement is demanded are asked in another order", who)
	}
	switch {
	case c.Agreeing.IsZero():
	case c.Agreeing.After == 0:
		t.line("%sunder its paths one role is enough, where %d had to agree", who, c.Agreeing.Before)
	default:
		t.line("%sunder its paths %d of them must list the same, before %s", who, c.Agreeing.After, agreeingBefore(c))
	}
}

func agreeingBefore(c TrustChange) string {
	if c.Agreeing.Before == 0 {
		return "one was enough"
	}
	return strconv.Itoa(c.Agreeing.Before)
}

func bins(c TrustChange) string {
	if c.New {
		return "none"
	}
	return fmt.Sprintf("2^%d", c.BitLength.Before)
}

// threshold says how many of how many keys must sign.
func (t *preview) threshold(who string, c TrustChange) {
	switch {
	case c.Gone:
	case c.New:
		t.line("%s%d of its %d keys must sign", who, c.Threshold.After, c.Count.After)
	case !c.Threshold.IsZero():
		t.line("%sthreshold %d → %d: so many of its %d keys must sign", who, c.Threshold.Before, c.Threshold.After, c.Count.After)
	case !c.Count.IsZero():
		t.line("%sthreshold stays %d: so many of its %d keys must sign, before of %d", who, c.Threshold.After, c.Count.After, c.Count.Before)
	}
}

func (t *preview) patterns(who, verb string, c ListChange) {
	t.names(who, verb, c.Added)
	t.names(who, "no longer "+verb, c.Removed)
	if c.Reordered {
		t.line("%sthe same paths stand in another order or number, which means nothing", who)
	}
}

func (t *preview) names(who, verb string, names []string) {
	for _, name := range names {
		t.line("%s%s %s", who, verb, Printable(name))
	}
}

func (t *preview) keys(who string, k KeysChange) {
	for _, c := range k.Keys {
		t.keyChange(who, c)
	}
	if k.Reordered {
		t.line("%sthe same keys stand in another order, which means nothing", who)
	}
}

func (t *preview) keyChange(who string, c KeyChange) {
	switch {
	case len(c.Before) == 0:
		for _, k := range c.After {
			t.line("%s%s added", who, t.key(k))
		}
	case len(c.After) == 0:
		for _, k := range c.Before {
			t.line("%s%s removed", who, t.key(k))
		}
	default:
		t.line("%s%s is listed in another way", who, t.key(c.After[0]))
		for _, k := range c.Before {
			t.line("    before: %s", t.under(k))
		}
		for _, k := range c.After {
			t.line("    after:  %s", t.under(k))
		}
	}
}

// key names a key: by what it is called here, which goes by its material, or
// by its whole ID, since whoever proposes a key may choose how an ID begins.
func (t *preview) key(k ListedKey) string {
	if k.Missing {
		return "the key ID " + Printable(k.ID) + ", with which the file lists no key,"
	}
	id, name := k.Key.ID(), ""
	if t.name != nil {
		name = t.name(k.Key)
	}
	s := fmt.Sprintf("key %s (%s)", id, kind(k.Key))
	if name != "" {
		s = fmt.Sprintf("key %s (%s, %s)", Printable(name), kind(k.Key), id[:12])
	}
	if k.ID != id {
		s += ", listed under the ID " + Printable(k.ID) + ","
	}
	if _, _, err := publicKey(k.Key); err != nil {
		s += ", with which nothing can be verified,"
	}
	return s
}

// under says how a key is listed.
func (t *preview) under(k ListedKey) string {
	return fmt.Sprintf("under the ID %s, as %s %s", Printable(k.ID), kind(k.Key), k.Key.ID())
}

func kind(k metadata.Key) string {
	if k.Type == k.Scheme {
		return Printable(k.Type)
	}
	return Printable(k.Type) + " " + Printable(k.Scheme)
}

// entries writes withdrawals before the paths that are denied because of them.
func (t *preview) entries() {
	for _, e := range t.d.Entries {
		if e.withdraws() {
			t.entry(e)
			t.told[e.Path] = e.After.facts()
		}
	}
	for _, e := range t.d.Entries {
		if !e.withdraws() {
			t.entry(e)
		}
	}
}

// withdraws reports whether the entry is a withdrawal's own.
func (e EntryChange) withdraws() bool { return e.After.withdraws(e.Path) }

// lifts reports whether the entry was a withdrawal's own.
func (e EntryChange) lifts() bool { return e.After == nil && e.Before.withdraws(e.Path) }

func (e *Entered) withdraws(path string) bool {
	return e != nil && e.Notice != nil && path == metadata.WithdrawnPath(e.Notice.Digest)
}

func (t *preview) entry(e EntryChange) {
	path := Printable(e.Path)
	switch {
	case e.Before == nil:
		t.line("  %s", t.headline(path, e))
		t.facts(nil, t.untold(e.After))
	case e.After == nil && t.d.Withdrawal && e.lifts():
		t.line("  no longer withdraws %s: reason %s", e.Before.Notice.Digest, Quoted(e.Before.Notice.Reason))
	case e.After == nil && t.d.Withdrawal:
		t.line("  no longer denies %s%s", path, withdrawn(e.Before))
	case e.After == nil:
		t.line("  no longer vouches for %s = %s", path, artifactHash(e.Before))
	default:
		t.line("  %s, before otherwise:", t.headline(path, e))
		t.facts(e.Before.facts(), e.After.facts())
	}
}

func (t *preview) headline(path string, e EntryChange) string {
	switch {
	case !t.d.Withdrawal:
		return fmt.Sprintf("vouches for %s = %s", path, artifactHash(e.After))
	case e.withdraws():
		return "withdraws " + e.After.Notice.Digest.String()
	}
	return "denies " + path + withdrawn(e.After)
}

// untold returns what an entry says; nothing if its withdrawal said it all.
func (t *preview) untold(e *Entered) []fact {
	facts := e.facts()
	if e.Notice != nil && slices.Equal(facts, t.told[metadata.WithdrawnPath(e.Notice.Digest)]) {
		return nil
	}
	return facts
}

func withdrawn(e *Entered) string {
	if e.Notice == nil {
		return ""
	}
	return ", since " + e.Notice.Digest.String() + " is withdrawn"
}

func artifactHash(e *Entered) string {
	if h := e.Hashes["sha256"]; h != "" {
		return "sha256:" + h
	}
	return "an artifact without SHA-256"
}

// facts writes what an entry says, or what changes in that.
func (t *preview) facts(before, after []fact) {
	was := map[string]fact{}
	for _, f := range before {
		was[f.label] = f
	}
	for _, f := range after {
		old, listed := was[f.label]
		delete(was, f.label)
		switch {
		case listed && old == f:
		case listed:
			t.line("    %s, before: %s", f.label, old.text())
			t.line("    %s, after:  %s", f.label, f.text())
		case f.label != "hash sha256" || t.d.Withdrawal:
			t.line("    %s: %s", f.label, f.text())
		}
	}
	for _, f := range before {
		if _, gone := was[f.label]; gone {
			t.line("    no longer %s: %s", f.label, f.text())
		}
	}
}

func (f fact) text() string {
	if f.free {
		return Quoted(f.value)
	}
	return Printable(f.value)
}

func sortedNames(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
