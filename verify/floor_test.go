package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// floored is a publisher at root version 2 and timestamp version 3. Its first
// root's timestamp key is first; root 2 lists a fresh one, and what change
// adds; root 3, if more is set, the fresh one alone.
func floored(t *testing.T, more bool, change func(r *metadata.Root, first metadata.Key)) (w *world, second []byte) {
	t.Helper()
	w = newWorld(t)
	l, fresh := newRoot(t, ""), newKey(t)
	a := w.push("net-monitor", "1.0", "one")
	second = l.rootWith(2, fresh, func(r *metadata.Root) { change(r, l.key.Key()) })
	roots := [][]byte{l.root, second}
	if more {
		roots = append(roots, l.rootOf(3, fresh))
	}
	l.publish(w, 3, fresh, roots, map[string]metadata.Target{
		"net-monitor:1.0": {Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())},
	})
	w.root("foreign", l.root)
	w.policy(foreignOnly)
	return w, second
}

// listed adds a key to those of the timestamp, by some ID.
func listed(r *metadata.Root, id string, k metadata.Key) {
	role := r.Roles[metadata.RoleTimestamp]
	role.KeyIDs = append(role.KeyIDs, id)
	r.Keys[id], r.Roles[metadata.RoleTimestamp] = k, role
}

// atFloor verifies with a floor, and wants a reason.
func (w *world) atFloor(f verify.Floor, want verify.Reason) {
	w.Helper()
	w.opts.Floors = map[string]verify.Floor{"foreign": f}
	require.Equal(w, want, w.verify("HOST/net-monitor:1.0").Results[0].Reason, f)
}

func TestFloor(t *testing.T) {
	w, _ := floored(t, false, func(*metadata.Root, metadata.Key) {})
	w.atFloor(verify.Floor{Root: 1, Timestamp: 3}, verify.OK)
	w.atFloor(verify.Floor{Root: 2, Timestamp: 3}, verify.OK)
	w.atFloor(verify.Floor{Root: 2, Timestamp: 4}, verify.BelowFloor)
	w.atFloor(verify.Floor{Root: 3, Timestamp: 1}, verify.BelowFloor)
	// The timestamp key of root 1 was taken away: versions start again.
	w.atFloor(verify.Floor{Root: 1, Timestamp: 1000}, verify.OK)
	// What was seen before is held to it too.
	w.opts.Offline = true
	w.atFloor(verify.Floor{Root: 2, Timestamp: 4}, verify.BelowFloor)
	w.opts.Offline = false
}

// Of two timestamp keys one was taken away: with it somebody may have leapt to
// a high version.
func TestFloorEndsWithOneOfItsKeys(t *testing.T) {
	w, second := floored(t, true, func(r *metadata.Root, first metadata.Key) { listed(r, first.ID(), first) })
	w.atFloor(verify.Floor{Root: 1, Timestamp: 1000}, verify.OK)
	w.atFloor(verify.Floor{Root: 2, Timestamp: 1000}, verify.OK)
	w.atFloor(verify.Floor{Root: 3, Timestamp: 1000}, verify.BelowFloor)
	// The keys of a root before the pinned one are not known: those of the
	// pinned one do not stand in for them.
	w.root("foreign", second)
	w.policy(foreignOnly)
	w.atFloor(verify.Floor{Root: 2, Timestamp: 1000}, verify.OK)
	w.atFloor(verify.Floor{Root: 1, Timestamp: 1000}, verify.BelowFloor)
}

// A floor ends with the loss of a key, and with nothing less.
func TestFloorHoldsWhileItsKeysAreListed(t *testing.T) {
	for name, id := range map[string]func(metadata.Key) string{
		"a key was added":                  metadata.Key.ID,
		"its key was listed by another ID": func(metadata.Key) string { return "another ID" },
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := floored(t, false, func(r *metadata.Root, first metadata.Key) { listed(r, id(first), first) })
			w.atFloor(verify.Floor{Root: 1, Timestamp: 4}, verify.BelowFloor)
			w.atFloor(verify.Floor{Root: 1, Timestamp: 3}, verify.OK)
		})
	}
}

func TestFloorThatMakesNoSense(t *testing.T) {
	w := newWorld(t)
	w.opts.Registries, _ = registrystore.New(registrystore.Options{}, nil)
	for name, floor := range map[string]verify.Floor{"nobody": {Root: 1}, "wabbit": {Timestamp: 1}} {
		w.opts.Floors = map[string]verify.Floor{name: floor}
		_, err := verify.New(w.opts)
		require.ErrorContains(t, err, "floor")
	}
}
