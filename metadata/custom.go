package metadata

import (
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Statement is what Carnet says about a target, in the member "carnet" of the
// target's custom object. Its zero value says nothing.
type Statement struct {
	ArtifactType string            // the manifest's artifact type or config media type
	MediaType    string            // the manifest's media type
	Signed       time.Time         // when; UTC, whole seconds; information only
	Claims       map[string]string // what the signer attests
	Index        digest.Digest     // the index through which a child manifest was signed
	Origin       *Origin           // where a promoter had it from
	Notice       *Notice           // only in the withdrawal role
	extra        []Member
}

// Origin records what a promoter verified before signing a new name.
type Origin struct {
	Publisher        string // publisher id
	Target           string // target path under which that publisher vouched
	RootVersion      int64
	TimestampVersion int64
	extra            []Member
}

// Notice says why an artifact is withdrawn.
type Notice struct {
	Digest     digest.Digest // what is withdrawn
	Reason     string        // for people
	Advisory   string        // an id such as CVE-2026-1234, or ""
	ReplacedBy string        // a target path or digest, or ""
	By         string        // who withdrew: a name, for people
	At         time.Time     // UTC, whole seconds; information only
	extra      []Member
}

// Statement reads what Carnet says in t's custom object. It fails on an
// extension that breaks the format or needs a newer reader.
func (t Target) Statement() (Statement, error) {
	v := t.Custom.Get(extensionName)
	if v.kind == Absent {
		return Statement{}, nil
	}
	o := openFields(v, "custom."+extensionName)
	s := Statement{
		ArtifactType: o.may("artifactType", String).Str(),
		MediaType:    o.may("mediaType", String).Str(),
		Index:        o.digest("index"),
	}
	if o.may("signed", String).kind == String {
		s.Signed = o.time("signed")
	}
	s.Claims = o.claims()
	s.Origin, s.Notice = o.origin(), o.notice()
	critical(o, "artifactType", "mediaType", "index", "signed", "claims", "origin", "notice")
	s.extra = o.rest()
	return s, *o.err
}

// Notice returns the notice in t's custom object, or nil if there is none or
// it cannot be read.
func (t Target) Notice() *Notice {
	s, err := t.Statement()
	if err != nil {
		return nil
	}
	return s.Notice
}

// WithStatement returns t with s in its custom object; other members of
// custom stay. Members of the statement that this version does not know stay
// if s came from t's own [Target.Statement].
func (t Target) WithStatement(s Statement) Target {
	if t.Custom.kind != Object {
		t.Custom = Struct()
	}
	said := s.value()
	if len(said.parts) == 0 {
		said = Value{}
	}
	t.Custom = t.Custom.With(extensionName, said)
	if len(t.Custom.parts) == 0 {
		t.Custom = Value{}
	}
	return t
}

func (s Statement) value() Value {
	m := append([]Member{
		{"artifactType", textOrAbsent(s.ArtifactType)},
		{"mediaType", textOrAbsent(s.MediaType)},
		{"index", textOrAbsent(s.Index.String())},
	}, s.extra...)
	if !s.Signed.IsZero() {
		m = append(m, Member{"signed", Text(FormatTime(s.Signed))})
	}
	if len(s.Claims) > 0 {
		m = append(m, Member{"claims", claimsValue(s.Claims)})
	}
	if s.Origin != nil {
		m = append(m, Member{"origin", s.Origin.value()})
	}
	if s.Notice != nil {
		m = append(m, Member{"notice", s.Notice.value()})
	}
	return Struct(m...)
}

func (f *fields) digest(name string) digest.Digest {
	v := f.may(name, String)
	if v.kind == Absent {
		return ""
	}
	s := v.text
	if hex, ok := strings.CutPrefix(s, "sha256:"); !ok || !isHex(hex, 64) {
		f.fail("%s: want sha256:<hex>, found %q", name, s)
	}
	return digest.Digest(s)
}

func (f *fields) claims() map[string]string {
	v := f.may("claims", Object)
	if v.kind == Absent {
		return nil
	}
	out := make(map[string]string, len(v.parts))
	for _, m := range v.Members() {
		if m.Value.kind != String {
			f.fail("claims: %s: want a string, found %s", m.Name, m.Value.kind)
		}
		out[m.Name] = m.Value.text
	}
	return out
}

func claimsValue(claims map[string]string) Value {
	m := make([]Member, 0, len(claims))
	for k, v := range claims {
		m = append(m, Member{k, Text(v)})
	}
	return Struct(m...)
}

func (f *fields) origin() *Origin {
	v := f.may("origin", Object)
	if v.kind == Absent {
		return nil
	}
	o := f.child("origin", v)
	out := &Origin{
		Publisher: o.nonEmpty("publisher"), Target: o.nonEmpty("target"),
		RootVersion: o.integer("rootVersion", 1), TimestampVersion: o.integer("timestampVersion", 1),
	}
	critical(o, "publisher", "target", "rootVersion", "timestampVersion")
	out.extra = o.rest()
	return out
}

func (f *fields) nonEmpty(name string) string {
	s := f.str(name)
	if s == "" {
		f.fail("%s: it is empty", name)
	}
	return s
}

func (o *Origin) value() Value {
	return Struct(append([]Member{
		{"publisher", Text(o.Publisher)}, {"target", Text(o.Target)},
		{"rootVersion", Int(o.RootVersion)}, {"timestampVersion", Int(o.TimestampVersion)},
	}, o.extra...)...)
}

func (f *fields) notice() *Notice {
	v := f.may("notice", Object)
	if v.kind == Absent {
		return nil
	}
	o := f.child("notice", v)
	n := &Notice{
		Digest: o.digest("digest"), Reason: o.str("reason"), By: o.may("by", String).Str(), At: o.time("at"),
		Advisory: o.may("advisory", String).Str(), ReplacedBy: o.may("replacedBy", String).Str(),
	}
	if n.Digest == "" {
		o.fail("digest: nothing is named")
	}
	critical(o, "digest", "reason", "by", "at", "advisory", "replacedBy")
	n.extra = o.rest()
	return n
}

func (n *Notice) value() Value {
	return Struct(append([]Member{
		{"digest", Text(n.Digest.String())}, {"reason", Text(n.Reason)}, {"by", textOrAbsent(n.By)}, {"at", Text(FormatTime(n.At))},
		{"advisory", textOrAbsent(n.Advisory)}, {"replacedBy", textOrAbsent(n.ReplacedBy)},
	}, n.extra...)...)
}

// Canonical returns the notice in canonical JSON.
func (n *Notice) Canonical() []byte { return n.value().Canonical() }

// Entry returns the target that stands at [WithdrawnPath] of n's digest, and
// beside it at every path that is to be refused: length and hash are those
// of the notice's canonical JSON, so that a TUF client that fetches what such
// a path names finds no artifact that fits.
func (n *Notice) Entry() Target {
	m := NewMetaFile(1, n.Canonical())
	return Target{Length: m.Length, Hashes: m.Hashes}.WithStatement(Statement{Notice: n})
}
