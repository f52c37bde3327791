package metadata

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Key is a public key as metadata lists it (TUF 4.2.1). What kinds are
// usable is not decided here: a key of an unknown kind is valid metadata
// that verifies nothing.
type Key struct {
	Type   string // "ed25519", "ecdsa", "rsa", …
	Scheme string // "ed25519", "ecdsa-sha2-nistp256", "rsassa-pss-sha256", …
	Public string // keyval.public: hexadecimal for ed25519, PEM for the others; "" for kinds without
	extra  []Member
	keyval []Member
}

// ID returns the key ID that Carnet gives the key: the SHA-256 of its
// canonical form (TUF 4.2.1). Keys of other repositories may be listed under
// IDs of any form (TAP 12).
func (k Key) ID() string {
	sum := sha256.Sum256(k.value().Canonical())
	return hex.EncodeToString(sum[:])
}

func (k Key) value() Value {
	val := Struct(append([]Member{{"public", textOrAbsent(k.Public)}}, k.keyval...)...)
	return Struct(append([]Member{{"keytype", Text(k.Type)}, {"scheme", Text(k.Scheme)}, {"keyval", val}}, k.extra...)...)
}

// JSON returns the key as TUF lists it.
func (k Key) JSON() []byte { return appendJSON(nil, k.value().Canonical()) }

// ParseKey reads a key from TUF's JSON.
func ParseKey(raw []byte) (Key, error) {
	v, err := Parse(raw)
	if err != nil {
		return Key{}, err
	}
	o := openFields(v, "key")
	k := key(o)
	return k, *o.err
}

func key(o *fields) Key {
	k := Key{Type: o.str("keytype"), Scheme: o.str("scheme")}
	val := o.object("keyval")
	k.Public = val.may("public", String).Str() // keys of other kinds have other members
	k.keyval, k.extra = val.rest(), o.rest()
	return k
}

// Keys maps key IDs to keys.
type Keys map[string]Key

// ByID returns the one key whose ID is id or begins with it, which must then
// be at least eight characters long.
func (k Keys) ByID(id string) (Key, bool) {
	if key, ok := k[id]; ok {
		return key, true
	}
	var found Key
	n := 0
	for full, key := range k {
		if len(id) >= 8 && strings.HasPrefix(full, id) {
			found, n = key, n+1
		}
	}
	return found, n == 1
}

func keys(o *fields) Keys {
	if len(o.value.Members()) > MaxKeys {
		o.fail("%d keys where at most %d are allowed", len(o.value.Members()), MaxKeys)
		return nil
	}
	out := make(Keys, len(o.value.Members()))
	for _, m := range o.value.Members() {
		out[m.Name] = key(o.child(m.Name, m.Value))
	}
	return out
}

func (k Keys) value() Value {
	members := make([]Member, 0, len(k))
	for id, key := range k {
		members = append(members, Member{id, key.value()})
	}
	return Struct(members...)
}

// RoleKeys says whose signatures a role needs.
type RoleKeys struct {
	KeyIDs    []string
	Threshold int      // signatures by that many different keys, from 1
	extra     []Member // in root; a Delegation keeps its own
}

func roleKeys(o *fields) RoleKeys {
	r := RoleKeys{KeyIDs: o.unique("keyids", o.texts("keyids", o.need("keyids", Array)))}
	if len(r.KeyIDs) > MaxKeys {
		o.fail("keyids: %d where at most %d are allowed", len(r.KeyIDs), MaxKeys)
	}
	n := o.integer("threshold", 1)
	if n > MaxKeys {
		o.fail("threshold: %d where a role lists at most %d keys", n, MaxKeys)
		return r
	}
	r.Threshold = int(n)
	return r
}

func (r RoleKeys) members() []Member {
	return append([]Member{{"keyids", texts(r.KeyIDs)}, {"threshold", Int(int64(r.Threshold))}}, r.extra...)
}

func texts(list []string) Value {
	out := make([]Value, len(list))
	for i, s := range list {
		out[i] = Text(s)
	}
	return List(out...)
}
