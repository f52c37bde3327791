package metadata

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// MetaFile describes one file of metadata (METAFILES in TUF 4.4).
type MetaFile struct {
	Version int64
	Length  int64  // bytes, or -1 where the author gave none
	Hashes  Hashes // nil where the author gave none
	extra   []Member
}

func metaFile(o *fields) MetaFile {
	m := MetaFile{Version: o.integer("version", 1), Length: -1}
	if v := o.may("length", Integer); v.kind == Integer {
		m.Length = o.number("length", v, 0)
	}
	if v := o.may("hashes", Object); v.kind == Object {
		m.Hashes = o.hashes("hashes", v)
	}
	m.extra = o.rest()
	return m
}

func (m MetaFile) value() Value {
	out := append([]Member{{"version", Int(m.Version)}}, m.extra...)
	if m.Length >= 0 {
		out = append(out, Member{"length", Int(m.Length)})
	}
	if m.Hashes != nil {
		out = append(out, Member{"hashes", m.Hashes.value()})
	}
	return Struct(out...)
}

// NewMetaFile describes raw as version of its role, with length and SHA-256.
func NewMetaFile(version int64, raw []byte) MetaFile {
	sum := sha256.Sum256(raw)
	return MetaFile{Version: version, Length: int64(len(raw)), Hashes: SHA256(hex.EncodeToString(sum[:]))}
}

// Timestamp is the content of a timestamp file (TUF 4.6).
type Timestamp struct {
	Header
	Snapshot MetaFile
	// Carnet is nil in a timestamp that another tool made.
	Carnet *TimestampExtension
	extra  []Member
}

// TimestampExtension is what Carnet adds to timestamp.
type TimestampExtension struct {
	// Issued is when the file was signed: what a verifier's max-age counts
	// from. UTC, whole seconds.
	Issued time.Time
	extra  []Member
}

func timestamp(o *fields, h Header) *Timestamp {
	t := &Timestamp{Header: h}
	meta := o.object("meta")
	t.Snapshot = metaFile(meta.object("snapshot.json"))
	if len(meta.value.Members()) > 1 {
		meta.fail("want snapshot.json alone, found %d files", len(meta.value.Members()))
	}
	t.Carnet = timestampExtension(o)
	t.extra = o.rest()
	return t
}

func timestampExtension(o *fields) *TimestampExtension {
	v := o.may(extensionName, Object)
	if v.kind == Absent {
		return nil
	}
	e := o.child(extensionName, v)
	x := &TimestampExtension{Issued: e.time("issued")}
	critical(e, "issued")
	x.extra = e.rest()
	return x
}

func (x *TimestampExtension) value() Value {
	if x == nil {
		return Value{}
	}
	return Struct(append([]Member{{"issued", Text(FormatTime(x.Issued))}}, x.extra...)...)
}

// Canonical returns the bytes to sign.
func (t *Timestamp) Canonical() []byte {
	m := append(t.members(RoleTimestamp),
		Member{"meta", Struct(Member{"snapshot.json", t.Snapshot.value()})},
		Member{extensionName, t.Carnet.value()})
	return Struct(append(m, t.extra...)...).Canonical()
}
