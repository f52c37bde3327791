package tuf

import (
	"fmt"

	"github.com/carnet-project/carnet/metadata"
)

// Floor is a lower bound for a client that has no state of its own. The zero
// Floor bounds nothing. The timestamp part is void once the newest root no
// longer lists every timestamp key of root version Root: versions may start
// again after keys were taken away. A client that was pinned later than Root
// cannot know its keys: there the floor holds.
type Floor struct {
	Root      int64
	Timestamp int64
}

// rememberFloorRoot keeps the root that the floor speaks of when the client
// passes it.
func (c *Client) rememberFloorRoot() {
	if c.root.Version == c.opts.Floor.Root {
		c.floorRoot = c.root.Root
	}
}

// checkFloor refuses a timestamp below the floor (docs/spec.md, "Freshness").
func (c *Client) checkFloor(f *metadata.File) error {
	if f.Version >= c.opts.Floor.Timestamp || c.floorVoid() {
		return nil
	}
	return fmt.Errorf("%w: timestamp version %d, at least %d is demanded", ErrBelowFloor, f.Version, c.opts.Floor.Timestamp)
}

func (c *Client) floorVoid() bool {
	if c.floorRoot == nil {
		return false
	}
	listed := timestampKeys(c.root.Root)
	for key := range timestampKeys(c.floorRoot) {
		if !listed[key] {
			return true
		}
	}
	return false
}

// timestampKeys returns the timestamp keys of r by their material: a key that
// is listed under another ID was not taken away.
func timestampKeys(r *metadata.Root) map[string]bool {
	out := map[string]bool{}
	for _, id := range r.Roles[metadata.RoleTimestamp].KeyIDs {
		if material, err := KeyIdentity(r.Keys[id]); err == nil {
			out[material] = true
		}
	}
	return out
}
