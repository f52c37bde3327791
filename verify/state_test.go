package verify_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

var _ tuf.Store = (*verify.State)(nil)

// keep commits files as an update that accepted them does.
func keep(t testing.TB, dir string, pinned []byte, files map[string][]byte) error {
	t.Helper()
	st, err := verify.OpenStates(dir).Load(pinned, nil)
	require.NoError(t, err)
	for role, raw := range files {
		if raw == nil {
			require.NoError(t, st.Delete(role))
			continue
		}
		require.NoError(t, st.Put(role, raw))
	}
	return st.Commit()
}

// kept returns the versions that are remembered, 0 for none.
func kept(t testing.TB, dir string, pinned []byte) (root, timestamp, snapshot int64) {
	t.Helper()
	st, err := verify.OpenStates(dir).Load(pinned, nil)
	require.NoError(t, err)
	version := func(role string) int64 {
		raw, err := st.Get(role)
		if err != nil {
			require.ErrorIs(t, err, fs.ErrNotExist)
			return 0
		}
		f, err := metadata.Decode(role, raw)
		require.NoError(t, err)
		return f.Version
	}
	return version("root"), version("timestamp"), version("snapshot")
}

func requireKept(t testing.TB, dir string, pinned []byte, root, timestamp, snapshot int64) {
	t.Helper()
	r, ts, s := kept(t, dir, pinned)
	require.Equal(t, [3]int64{root, timestamp, snapshot}, [3]int64{r, ts, s})
}

func TestStateNeverGoesBack(t *testing.T) {
	for _, id := range []string{strings.Repeat("a", 32), ""} {
		dir := filepath.Join(t.TempDir(), "state")
		l := newRoot(t, id)
		state := func(version int64) map[string][]byte {
			return map[string][]byte{"root": l.root, "timestamp": l.timestampOf(version, l.key), "snapshot": l.snapshotOf(version, l.key)}
		}
		// Both started when nothing was known.
		slow, err := verify.OpenStates(dir).Load(l.root, nil)
		require.NoError(t, err)
		require.NoError(t, keep(t, dir, l.root, state(5)))
		requireKept(t, dir, l.root, 1, 5, 5)
		for role, raw := range state(4) {
			require.NoError(t, slow.Put(role, raw))
		}
		require.NoError(t, slow.Commit())
		requireKept(t, dir, l.root, 1, 5, 5)
		require.NoError(t, keep(t, dir, l.root, state(6)))
		requireKept(t, dir, l.root, 1, 6, 6)
		// Half way: timestamp without its snapshot, and then with it.
		require.NoError(t, keep(t, dir, l.root, map[string][]byte{"timestamp": l.timestampOf(7, l.key)}))
		requireKept(t, dir, l.root, 1, 7, 6)
		require.NoError(t, keep(t, dir, l.root, map[string][]byte{"snapshot": l.snapshotOf(7, l.key)}))
		requireKept(t, dir, l.root, 1, 7, 7)
	}
}

func TestStateRecoversFromALeap(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := newRoot(t, strings.Repeat("a", 32))
	thief, fresh := l.key, newKey(t)
	require.NoError(t, keep(t, dir, l.root, map[string][]byte{"root": l.root, "timestamp": l.timestampOf(1<<40, thief), "snapshot": l.snapshotOf(1<<40, thief)}))
	// Half way: the root that took the key away, and nothing under it yet.
	require.NoError(t, keep(t, dir, l.root, map[string][]byte{"root": l.rootOf(2, fresh)}))
	r, ts, s := kept(t, dir, l.root)
	require.EqualValues(t, 2, r)
	require.Zero(t, ts+s, "what the newest root does not vouch for binds nobody")
	require.NoError(t, keep(t, dir, l.root, map[string][]byte{"timestamp": l.timestampOf(3, fresh), "snapshot": l.snapshotOf(3, fresh)}))
	requireKept(t, dir, l.root, 2, 3, 3)
	// One who knows the old root alone changes nothing.
	require.NoError(t, keep(t, dir, l.root, map[string][]byte{"root": l.root, "timestamp": l.timestampOf(1<<41, thief)}))
	requireKept(t, dir, l.root, 2, 3, 3)
}

func TestStateOfAnotherPinIsNotTrusted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	id := strings.Repeat("a", 32)
	evil, good := newRoot(t, id), newRoot(t, id) // both claim the id
	require.NoError(t, keep(t, dir, evil.root, map[string][]byte{"root": evil.rootOf(9, evil.key), "timestamp": evil.timestampOf(9, evil.key), "snapshot": evil.snapshotOf(9, evil.key)}))
	st, err := verify.OpenStates(dir).Load(good.root, nil)
	require.NoError(t, err)
	_, err = st.Get("root")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, keep(t, dir, good.root, map[string][]byte{"root": good.root, "timestamp": good.timestampOf(1, good.key), "snapshot": good.snapshotOf(1, good.key)}))
	requireKept(t, dir, good.root, 1, 1, 1)
	// A newer root of the same publisher, pinned instead, keeps the memory.
	newer := good.rootOf(2, good.key)
	_, ts, s := kept(t, dir, newer)
	require.EqualValues(t, 2, ts+s)
}

func TestDamagedStateIsAnError(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	files, err := filepath.Glob(filepath.Join(w.dir, "state", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	good, err := os.ReadFile(files[0])
	require.NoError(t, err)
	at := strings.Index(string(good), `"timestamp":"`) + 60
	flipped := append([]byte{}, good...)
	flipped[at] ^= 1
	for _, bad := range [][]byte{nil, good[:len(good)/2], flipped, []byte(`{"version":2}`)} {
		require.NoError(t, os.WriteFile(files[0], bad, 0o600))
		d := w.requireReason("HOST/net-monitor:1.0", verify.Undecided, verify.Unreachable)
		require.Contains(t, d.Results[0].Message, "restore it from a backup, or delete it")
		now, err := os.ReadFile(files[0])
		require.NoError(t, err)
		require.Equal(t, len(bad), len(now), "it is left for a person to look at")
	}
	require.NoError(t, os.Remove(files[0]))
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
}

func TestStateThatCannotBeKept(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	// A folder where the lock file should be: nothing can be written.
	id := verify.PublisherID(mustDecode(t, metadata.RoleRoot, w.wabbit.Root))
	lock := filepath.Join(w.dir, "state", id+".json.lock")
	require.NoError(t, os.MkdirAll(lock, 0o700))
	d := w.requireReason("HOST/net-monitor:1.0", verify.Undecided, verify.Unreachable)
	require.Contains(t, d.Results[0].Message, "vouched for by releases")
	require.Contains(t, d.Results[0].Message, "could not be remembered")
	w.push("net-monitor", "2.0", "two")
	w.requireReason("HOST/net-monitor:2.0", verify.Denied, verify.NotListed)
	require.NoError(t, os.Remove(lock))
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)

	// What is remembered already need not be written.
	files, err := filepath.Glob(filepath.Join(w.dir, "state", "*"))
	require.NoError(t, err)
	require.Len(t, files, 2)
	require.NoError(t, os.Remove(lock))
	require.NoError(t, os.Mkdir(lock, 0o700))
	before := snapshot(t, filepath.Join(w.dir, "state"))
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, before, snapshot(t, filepath.Join(w.dir, "state")))
}

// A verification that fails half way keeps what was accepted.
func TestHalfWayIsKept(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.wabbit.Sleep(2 * day)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Expired)
	requireKept(t, filepath.Join(w.dir, "state"), w.wabbit.Root, 1, 0, 0) // not what was expired
}

// Also one without a memory takes a withdrawal from an expired answer.
func TestExpiredAnswerWithdraws(t *testing.T) {
	w := newWorld(t)
	a := w.signed("net-monitor", "1.0", "one")
	w.withdraw(w.wabbit, a.Digest)
	w.wabbit.Sleep(2 * day)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
}

func TestConcurrentStates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l := newRoot(t, strings.Repeat("a", 32))
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			v := int64(1 + (i*7)%16)
			if err := keep(t, dir, l.root, map[string][]byte{"root": l.root, "timestamp": l.timestampOf(v, l.key), "snapshot": l.snapshotOf(v, l.key)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	requireKept(t, dir, l.root, 1, 16, 16)
}

// TestConcurrentProcesses runs this test's own binary several times at once.
func TestConcurrentProcesses(t *testing.T) {
	if dir := os.Getenv("CARNET_TEST_STATE"); dir != "" {
		commitFromFiles(t, dir)
		return
	}
	dir := t.TempDir()
	l := newRoot(t, strings.Repeat("a", 32))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "root"), l.root, 0o600))
	const n = 6
	for v := int64(1); v <= n; v++ {
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("timestamp", v)), l.timestampOf(v, l.key), 0o600))
	}
	var wg sync.WaitGroup
	for v := 1; v <= n; v++ {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestConcurrentProcesses$")
			cmd.Env = append(os.Environ(), "CARNET_TEST_STATE="+dir, "CARNET_TEST_VERSION="+strconv.Itoa(v))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	requireKept(t, filepath.Join(dir, "state"), l.root, 1, n, 0)
}

func commitFromFiles(t *testing.T, dir string) {
	root, err := os.ReadFile(filepath.Join(dir, "root"))
	require.NoError(t, err)
	timestamp, err := os.ReadFile(filepath.Join(dir, "timestamp"+os.Getenv("CARNET_TEST_VERSION")))
	require.NoError(t, err)
	require.NoError(t, keep(t, filepath.Join(dir, "state"), root, map[string][]byte{"root": root, "timestamp": timestamp}))
}

func TestStateServesRolesFromTheCache(t *testing.T) {
	cache := registrystore.OpenCache(t.TempDir())
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	st, err := verify.OpenStates(filepath.Join(w.dir, "state")).Load(w.wabbit.Root, registrystore.OpenCache(w.cache))
	require.NoError(t, err)
	raw, err := st.Get("releases")
	require.NoError(t, err)
	require.Contains(t, string(raw), "net-monitor:1.0")
	st, err = verify.OpenStates(filepath.Join(w.dir, "state")).Load(w.wabbit.Root, cache)
	require.NoError(t, err)
	_, err = st.Get("releases")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Two processes that saw different roles give themselves up forget neither.
func TestMarksOfTwoProcessesAreJoined(t *testing.T) {
	root := newWorld(t).wabbit.Root
	states := verify.OpenStates(t.TempDir())
	load := func() *verify.State {
		st, err := states.Load(root, nil)
		require.NoError(t, err)
		return st
	}
	a, b := load(), load()
	require.NoError(t, a.Put(tuf.StoreMarks, []byte(`[{"role":"a","version":1,"signers":["k"],"depth":2}]`)))
	require.NoError(t, b.Put(tuf.StoreMarks, []byte(`[{"role":"b","version":1,"signers":["k"],"depth":2}]`)))
	require.NoError(t, a.Commit())
	require.NoError(t, b.Commit())
	raw, err := load().Get(tuf.StoreMarks)
	require.NoError(t, err)
	require.JSONEq(t, `[{"role":"a","version":1,"signers":["k"],"depth":2},{"role":"b","version":1,"signers":["k"],"depth":2}]`, string(raw))
}

// A state that was kept before there were marks is one without them; marks
// that were changed are damage.
func TestMarksAreWithinTheSum(t *testing.T) {
	root := newWorld(t).wabbit.Root
	dir := t.TempDir()
	require.NoError(t, keep(t, dir, root, map[string][]byte{"root": root}))
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	raw, err := os.ReadFile(files[0])
	require.NoError(t, err)
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s0\n0\n", len(root), root))
	require.Contains(t, string(raw), hex.EncodeToString(sum[:]))

	require.NoError(t, keep(t, dir, root, map[string][]byte{tuf.StoreMarks: []byte(`[{"role":"a"}]`)}))
	raw, err = os.ReadFile(files[0])
	require.NoError(t, err)
	was, now := base64.StdEncoding.EncodeToString([]byte(`[{"role":"a"}]`)), base64.StdEncoding.EncodeToString([]byte(`[{"role":"b"}]`))
	require.Contains(t, string(raw), was)
	require.NoError(t, os.WriteFile(files[0], bytes.ReplaceAll(raw, []byte(was), []byte(now)), 0o600))
	_, err = verify.OpenStates(dir).Load(root, nil)
	require.ErrorIs(t, err, verify.ErrState)
}
