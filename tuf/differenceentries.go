package tuf

import (
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// EntryChange is what changes at one target path.
type EntryChange struct {
	Path   string   `json:"path"`
	Before *Entered `json:"before"` // null: not listed
	After  *Entered `json:"after"`  // null: no longer listed
}

// Entered is what a role says of a target path.
type Entered struct {
	Length       int64             `json:"length"` // bytes
	Hashes       map[string]string `json:"hashes"` // hexadecimal, by algorithm
	ArtifactType string            `json:"artifactType,omitempty"`
	MediaType    string            `json:"mediaType,omitempty"`
	Signed       *time.Time        `json:"signed,omitempty"`
	Claims       map[string]string `json:"claims,omitempty"`
	Index        digest.Digest     `json:"index,omitempty"`
	Origin       *EnteredOrigin    `json:"origin,omitempty"`
	Notice       *EnteredNotice    `json:"notice,omitempty"`

	own bool // hash and length are those of the notice, as they should be
}

// EnteredOrigin is a [metadata.Origin].
type EnteredOrigin struct {
	Publisher        string `json:"publisher"`
	Target           string `json:"target"`
	RootVersion      int64  `json:"rootVersion"`
	TimestampVersion int64  `json:"timestampVersion"`
}

// EnteredNotice is a [metadata.Notice].
type EnteredNotice struct {
	Digest     digest.Digest `json:"digest"`
	Reason     string        `json:"reason"`
	Advisory   string        `json:"advisory,omitempty"`
	ReplacedBy string        `json:"replacedBy,omitempty"`
	By         string        `json:"by,omitempty"`
	At         time.Time     `json:"at"`
}

func (d *Difference) entries(before, after map[string]metadata.Target) {
	for _, path := range changedPaths(before, after) {
		a, b := at(before, path), at(after, path)
		c := EntryChange{Path: path, Before: entered(a), After: entered(b)}
		d.Entries = append(d.Entries, c)
		if b == nil {
			continue // all of it is gone
		}
		if a == nil {
			a = &metadata.Target{}
		}
		where := below("targets", path)
		read := readable(*a) && readable(*b)
		d.hide(where, entryResidue(*a, read), entryResidue(*b, read))
		if oddEntry(*b) && !oddEntry(*a) {
			d.hidden(where, "it is not written as Carnet writes it")
		}
	}
}

// changedPaths returns the paths whose entries differ, sorted.
func changedPaths(before, after map[string]metadata.Target) []string {
	changed := map[string]metadata.Target{}
	for path, t := range before {
		if is := at(after, path); !sameEntry(&t, is) {
			changed[path] = t
		}
	}
	for path, t := range after {
		if _, listed := before[path]; !listed {
			changed[path] = t
		}
	}
	return unionKeys(changed)
}

func entered(t *metadata.Target) *Entered {
	if t == nil {
		return nil
	}
	s, err := t.Statement()
	if err != nil {
		s = metadata.Statement{} // all of it stays in the residue
	}
	e := &Entered{
		Length: t.Length, Hashes: make(map[string]string, len(t.Hashes)),
		ArtifactType: s.ArtifactType, MediaType: s.MediaType, Claims: s.Claims, Index: s.Index,
	}
	for _, h := range t.Hashes {
		e.Hashes[h.Algorithm] = h.Hex
	}
	if !s.Signed.IsZero() {
		e.Signed = &s.Signed
	}
	if o := s.Origin; o != nil {
		e.Origin = &EnteredOrigin{o.Publisher, o.Target, o.RootVersion, o.TimestampVersion}
	}
	if n := s.Notice; n != nil {
		e.Notice = &EnteredNotice{n.Digest, n.Reason, n.Advisory, n.ReplacedBy, n.By, n.At}
		is := n.Entry()
		e.own = is.Length == t.Length && is.Hashes.Equal(t.Hashes)
	}
	return e
}

func readable(t metadata.Target) bool {
	_, err := t.Statement()
	return err == nil
}

// entryResidue returns what is not described of an entry: all of what it
// states if that cannot be read.
func entryResidue(t metadata.Target, read bool) metadata.Value {
	t.Length, t.Hashes = 0, nil
	if !read {
		return t.Value()
	}
	s, _ := t.Statement()
	s.ArtifactType, s.MediaType, s.Index, s.Signed, s.Claims = "", "", "", time.Time{}, nil
	var o metadata.Origin
	if s.Origin != nil {
		o = *s.Origin
	}
	o.Publisher, o.Target, o.RootVersion, o.TimestampVersion = "", "", 0, 0
	var n metadata.Notice
	if s.Notice != nil {
		n = *s.Notice
	}
	n.Digest, n.Reason, n.Advisory, n.ReplacedBy, n.By, n.At = "", "", "", "", "", time.Time{}
	s.Origin, s.Notice = &o, &n
	return t.WithStatement(s).Value()
}

// oddEntry reports whether an empty object stands in t where Carnet writes
// none.
func oddEntry(t metadata.Target) bool {
	s, err := t.Statement()
	return err == nil && !t.WithStatement(s).Equal(t)
}

// fact is one thing that an entry says.
type fact struct {
	label string
	value string
	free  bool // the value is free text
}

// facts returns all that the entry says.
func (e *Entered) facts() []fact {
	var out []fact
	add := func(label, value string, free bool) {
		if value != "" {
			out = append(out, fact{label, value, free})
		}
	}
	if !e.own {
		for _, algorithm := range sortedNames(e.Hashes) {
			add("hash "+Printable(algorithm), e.Hashes[algorithm], false)
		}
		add("length", strconv.FormatInt(e.Length, 10), false)
	}
	add("media type", e.MediaType, false)
	add("artifact type", e.ArtifactType, false)
	add("signed through the index", e.Index.String(), false)
	if e.Signed != nil {
		add("signed at", metadata.FormatTime(*e.Signed), false)
	}
	for _, name := range sortedNames(e.Claims) {
		// An empty claim is a claim.
		out = append(out, fact{"claim " + Printable(name), e.Claims[name], true})
	}
	if o := e.Origin; o != nil {
		add("origin: publisher", o.Publisher, false)
		add("origin: target", o.Target, false)
		add("origin: root version", strconv.FormatInt(o.RootVersion, 10), false)
		add("origin: timestamp version", strconv.FormatInt(o.TimestampVersion, 10), false)
	}
	if n := e.Notice; n != nil {
		add("withdrawn", n.Digest.String(), false)
		out = append(out, fact{"reason", n.Reason, true})
		add("advisory", n.Advisory, false)
		add("replaced by", n.ReplacedBy, false)
		add("by", n.By, true)
		add("withdrawn at", metadata.FormatTime(n.At), false)
	}
	return out
}
