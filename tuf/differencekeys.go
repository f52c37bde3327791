package tuf

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// KeysChange is what changes in a list of keys. Keys count by their material.
type KeysChange struct {
	Keys []KeyChange `json:"keys,omitempty"`
	// Reordered says that the same key IDs stand in another order, which means
	// nothing.
	Reordered bool `json:"reordered,omitempty"`
}

// IsZero reports whether nothing changes.
func (k KeysChange) IsZero() bool { return len(k.Keys) == 0 && !k.Reordered }

// KeyChange is what changes for one key: added if nothing listed it before,
// removed if nothing does after, else listed otherwise: under another ID, say.
type KeyChange struct {
	Before []ListedKey `json:"before"`
	After  []ListedKey `json:"after"`
}

// ListedKey is a key under the ID that it is listed with.
type ListedKey struct {
	ID      string
	Key     metadata.Key
	Missing bool // the file lists no key with that ID
}

// MarshalJSON writes the ID with the key's own members.
func (k ListedKey) MarshalJSON() ([]byte, error) {
	var key json.RawMessage
	if !k.Missing {
		key = k.Key.JSON()
	}
	return json.Marshal(struct {
		ID  string          `json:"id"`
		Key json.RawMessage `json:"key"`
	}{k.ID, key})
}

func (k ListedKey) equal(other ListedKey) bool {
	return k.ID == other.ID && k.Missing == other.Missing && string(k.Key.JSON()) == string(other.Key.JSON())
}

// identity is KeyIdentity, and something of its own for what verifies nothing.
func (k ListedKey) identity() string {
	if k.Missing {
		return "id " + k.ID
	}
	if id, err := KeyIdentity(k.Key); err == nil {
		return id
	}
	return "key " + k.Key.ID()
}

// unknown returns the names of the key's members that Carnet does not know.
func (k ListedKey) unknown() []string {
	plain := metadata.Key{Type: k.Key.Type, Scheme: k.Key.Scheme, Public: k.Key.Public}
	if k.Missing || plain.ID() == k.Key.ID() {
		return nil
	}
	d := &Difference{}
	a, aerr := metadata.Parse(plain.JSON())
	b, berr := metadata.Parse(k.Key.JSON())
	if aerr != nil || berr != nil {
		return []string{"the key"}
	}
	d.hide("", a, b)
	return d.Hidden
}

func listed(keys metadata.Keys, ids []string) []ListedKey {
	out := make([]ListedKey, len(ids))
	for i, id := range ids {
		key, ok := keys[id]
		out[i] = ListedKey{ID: id, Key: key, Missing: !ok}
	}
	return out
}

func compareKeys(a metadata.Keys, ids []string, b metadata.Keys, newIDs []string) KeysChange {
	return compareListed(listed(a, ids), listed(b, newIDs))
}

func compareListed(before, after []ListedKey) KeysChange {
	was, is := byIdentity(before), byIdentity(after)
	var out KeysChange
	done := map[string]bool{}
	for _, k := range append(slices.Clone(before), after...) {
		id := k.identity()
		if done[id] {
			continue
		}
		done[id] = true
		if !sameListed(was[id], is[id]) {
			out.Keys = append(out.Keys, KeyChange{Before: was[id], After: is[id]})
		}
	}
	out.Reordered = len(out.Keys) == 0 && !slices.EqualFunc(before, after, ListedKey.equal)
	return out
}

func byIdentity(list []ListedKey) map[string][]ListedKey {
	out := make(map[string][]ListedKey, len(list))
	for _, k := range list {
		out[k.identity()] = append(out[k.identity()], k)
	}
	return out
}

// sameListed compares two lists, whatever their order.
func sameListed(a, b []ListedKey) bool {
	if len(a) != len(b) {
		return false
	}
	rest := slices.Clone(b)
	for _, k := range a {
		i := slices.IndexFunc(rest, k.equal)
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

// hideKeys notes the unknown members of keys that are new or changed.
func (d *Difference) hideKeys(k KeysChange) {
	for _, c := range k.Keys {
		for _, key := range c.After {
			if slices.ContainsFunc(c.Before, key.equal) {
				continue
			}
			for _, what := range key.unknown() {
				d.hidden("keys."+Printable(key.ID), what)
			}
		}
	}
}

// spare returns the keys that none of ids names.
func spare(keys metadata.Keys, ids map[string]bool) []ListedKey {
	var out []ListedKey
	for id, key := range keys {
		if !ids[id] {
			out = append(out, ListedKey{ID: id, Key: key})
		}
	}
	slices.SortFunc(out, func(a, b ListedKey) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// countKeys returns how many different keys the role has.
func countKeys(keys metadata.Keys, ids []string) int {
	return len(byIdentity(listed(keys, ids)))
}
