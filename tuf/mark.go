package tuf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// StoreMarks is the name under which a [Store] keeps what the client remembers
// of roles that gave themselves up. No role has an empty name.
const StoreMarks = ""

// MaxMarks bounds how many roles that gave themselves up are remembered, and
// maxMarkSigners the keys of each. MaxMarksSize bounds what is kept, in bytes.
const (
	MaxMarks       = 256
	maxMarkSigners = 64
	MaxMarksSize   = MaxMarks * (6*metadata.MaxRoleName + 67*maxMarkSigners + 128)
)

// mark remembers that keys let a role give itself up. Role names are one space
// in which every delegated role may use any name: so a mark binds by the keys
// that signed it, and nobody's keys but a role's own give it up.
type mark struct {
	Role    string `json:"role"`
	Version int64  `json:"version"` // of the file that said so
	// Signers are the identities of the delegation's keys that signed it.
	Signers []string `json:"signers"`
	// Depth is how many delegations lead to the role by the way it was found.
	Depth int `json:"depth"`
}

// binds reports whether the keys that gave the role up are enough to speak for
// it by the delegation e.
func (m mark) binds(e delegations.Edge) bool {
	if m.Role != e.Role {
		return false
	}
	found := map[string]bool{}
	for _, id := range e.RoleKeys.KeyIDs {
		if identity, err := KeyIdentity(e.Keys[id]); err == nil && slices.Contains(m.Signers, identity) {
			found[identity] = true
		}
	}
	return len(found) >= max(e.RoleKeys.Threshold, 1)
}

// checkMark holds a verified file of the role at the end of e against the
// marks: a role that gave itself up stays so, since the key that did it may be
// a thief's.
func (c *Client) checkMark(e delegations.Edge, f *metadata.File) error {
	if f.Targets.Revoked {
		return nil
	}
	for _, m := range c.marks {
		if m.binds(e) {
			return takenBack(e.Role, m.Version, f)
		}
	}
	return nil
}

// remember keeps the mark of a role that gave itself up, unless one that is
// kept binds as well.
func (c *Client) remember(e delegations.Edge, f *metadata.File) error {
	if !f.Targets.Revoked || slices.ContainsFunc(c.marks, func(m mark) bool { return m.binds(e) }) {
		return nil
	}
	signers, err := Signers(f, e.Keys, e.RoleKeys)
	if err != nil {
		return err
	}
	ids := slices.Sorted(maps.Keys(signers))
	c.marks = addMark(c.marks, mark{Role: e.Role, Version: f.Version, Signers: ids[:min(len(ids), maxMarkSigners)], Depth: len(e.Chain)})
	raw, err := json.Marshal(c.marks)
	if err != nil {
		return err
	}
	return c.putRaw(StoreMarks, raw)
}

// addMark drops the mark furthest from targets if there are too many, and of
// those the last: who was trusted with a role deep down fills the room of
// roles no nearer than his own.
func addMark(marks []mark, m mark) []mark {
	out := append(slices.Clone(marks), m)
	if len(out) <= MaxMarks {
		return out
	}
	last := 0
	for i := range out {
		if out[i].Depth >= out[last].Depth {
			last = i
		}
	}
	return slices.Delete(out, last, last+1)
}

// loadMarks takes up the marks of the store.
func (c *Client) loadMarks() error {
	raw, err := c.opts.Store.Get(StoreMarks)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("trusted state: %w", err)
	}
	if c.marks, err = decodeMarks(raw); err != nil {
		c.noteState(err)
	}
	return nil
}

func decodeMarks(raw []byte) (marks []mark, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &marks); err != nil {
		return nil, fmt.Errorf("the roles that gave themselves up: %w", err)
	}
	return marks[:min(len(marks), MaxMarks)], nil
}

// JoinMarks joins what two updates of one publisher keep under [StoreMarks].
// What it cannot read of one it takes from the other.
func JoinMarks(a, b []byte) []byte {
	marks, err := decodeMarks(a)
	more, other := decodeMarks(b)
	if err != nil || len(marks) == 0 {
		return b
	}
	if other != nil {
		return a
	}
	was := len(marks)
	for _, m := range more {
		if !slices.ContainsFunc(marks, func(k mark) bool { return k.Role == m.Role && slices.Equal(k.Signers, m.Signers) }) {
			marks = addMark(marks, m)
		}
	}
	if len(marks) == was {
		return a
	}
	raw, err := json.Marshal(marks)
	if err != nil {
		return a
	}
	return raw
}
