package metadata

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The top-level roles, which are also the types of files (TUF 2.1).
const (
	RoleRoot      = "root"
	RoleTargets   = "targets"
	RoleSnapshot  = "snapshot"
	RoleTimestamp = "timestamp"
)

// RootPack is what the file of old roots is called among the files of a
// publication. It is no role, and no new role is called so.
const RootPack = "root-pack"

// IsTopLevel reports whether role is one of TUF's four.
func IsTopLevel(role string) bool {
	return role == RoleRoot || role == RoleTargets || role == RoleSnapshot || role == RoleTimestamp
}

// Signature is one signature of a file. Sig is nil if what stood there was
// not hexadecimal: such a signature counts for nothing (it does not spoil
// the others).
type Signature struct {
	KeyID string
	Sig   []byte
}

// File is a decoded file of whatever type, not yet verified: its type's
// rules hold, its signatures are unchecked.
type File struct {
	// Raw is the file as received.
	Raw []byte
	// Signed is what the signatures are over: the canonical form of the
	// signed part. It shares memory with Raw where that was canonical.
	Signed []byte
	// Signatures in the order of the file; no key ID stands twice.
	Signatures []Signature
	// Header is common to the types.
	Header
	// One of these is set, by Header.Type.
	Root      *Root
	Timestamp *Timestamp
	Snapshot  *Snapshot
	Targets   *Targets
}

// Header is what every file's signed part has (TUF 4.2.1).
type Header struct {
	Type        string
	SpecVersion string
	Version     int64     // from 1
	Expires     time.Time // UTC, whole seconds
}

// SpecVersion is the version of the TUF specification that Carnet writes.
const SpecVersion = "1.0.34"

// ExpiredAt reports whether the file is expired at t: the expiry must be
// later than the time of the update (TUF 5.3.10, 5.4.4, 5.5.6, 5.6.6).
func (h Header) ExpiredAt(t time.Time) bool { return !h.Expires.After(t) }

// Decode reads a file of the type that role needs: root, timestamp, snapshot,
// or targets for every other name. It is the one place where bytes become
// metadata. Raw must have been bounded by the caller ([Limit]).
func Decode(role string, raw []byte) (*File, error) {
	if limit := Limit(role); int64(len(raw)) > limit {
		return nil, fmt.Errorf("%w: %s: %d bytes where at most %d are allowed", ErrInvalid, role, len(raw), limit)
	}
	p := parser{in: string(raw)}
	v, err := p.document()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w: byte %d: %w", ErrInvalid, role, ErrJSON, p.at, err)
	}
	f := &File{Raw: raw}
	o := openFields(v, role)
	f.Signatures = signatures(o)
	signed := o.object("signed")
	if *o.err != nil {
		return nil, *o.err
	}
	if p.isSealed {
		f.Signed = slices.Clip(raw[p.signed[0]:p.signed[1]])
	} else {
		f.Signed = signed.value.Canonical()
	}
	f.decode(role, signed)
	return f, *o.err
}

// Limit returns how many bytes a file of role may have.
func Limit(role string) int64 {
	switch role {
	case RoleRoot:
		return MaxRoot
	case RoleTimestamp:
		return MaxTimestamp
	case RoleSnapshot:
		return MaxSnapshot
	}
	return MaxTargets
}

func (f *File) decode(role string, o *fields) {
	want := role
	if !IsTopLevel(role) {
		want = RoleTargets
	}
	f.Header = header(o, want)
	if *o.err != nil {
		return
	}
	switch want {
	case RoleRoot:
		f.Root = root(o, f.Header)
	case RoleTimestamp:
		f.Timestamp = timestamp(o, f.Header)
	case RoleSnapshot:
		f.Snapshot = snapshot(o, f.Header)
	default:
		f.Targets = targets(o, f.Header)
	}
}

func header(o *fields, want string) Header {
	h := Header{Type: o.str("_type"), SpecVersion: o.str("spec_version"), Version: o.integer("version", 1), Expires: o.time("expires")}
	if h.Type != want {
		o.fail("_type: want %q, found %q", want, h.Type)
	}
	// TUF 4.2.1: the major version decides whether a client may go on.
	if h.SpecVersion != "1" && !strings.HasPrefix(h.SpecVersion, "1.") {
		o.fail("spec_version: want 1.x, found %q", h.SpecVersion)
	}
	return h
}

func signatures(o *fields) []Signature {
	list := o.need("signatures", Array).parts
	if len(list) > MaxSignatures {
		o.fail("signatures: %d where at most %d are allowed", len(list), MaxSignatures)
		return nil
	}
	seen := make(map[string]bool, len(list))
	out := make([]Signature, 0, len(list))
	for _, e := range list {
		s := o.child("signatures", e.Value)
		id := s.str("keyid")
		sig, err := hex.DecodeString(s.str("sig"))
		if err != nil {
			sig = nil
		}
		if seen[id] {
			s.fail("two signatures by key ID %q", id)
		}
		seen[id] = true
		out = append(out, Signature{KeyID: id, Sig: sig})
	}
	return out
}

// Seal joins canonical signed bytes and signatures to a file. The file is
// JSON: what stands between the signatures and the canonical form is only
// that control characters are escaped.
func Seal(signed []byte, signatures []Signature) []byte {
	list := make([]Value, len(signatures))
	for i, s := range signatures {
		list[i] = Struct(Member{"keyid", Text(s.KeyID)}, Member{"sig", Text(hex.EncodeToString(s.Sig))})
	}
	out := append([]byte(`{"signatures":`), List(list...).Canonical()...)
	out = appendJSON(append(out, `,"signed":`...), signed)
	return append(out, '}')
}

func (h Header) members(typ string) []Member {
	spec := h.SpecVersion
	if spec == "" {
		spec = SpecVersion
	}
	return []Member{
		{"_type", Text(typ)},
		{"spec_version", Text(spec)},
		{"version", Int(h.Version)},
		{"expires", Text(FormatTime(h.Expires))},
	}
}
