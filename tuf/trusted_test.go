package tuf_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/tuf"
)

func TestStateIsKept(t *testing.T) {
	repo := tufrepository.New(start)
	repo.Publish("root")
	f := follow(t, repo)
	m := mirrorOf("m", repo)
	f.ok(m)
	f.trusts(map[string]int64{"root": 2, "timestamp": 1, "snapshot": 1, "targets": 1})
	for role, name := range map[string]string{"root": "2.root.json", "timestamp": "timestamp.json", "snapshot": "1.snapshot.json", "targets": "1.targets.json"} {
		require.Equal(t, repo.Get(name), f.store[role])
	}
	m.asked = nil
	f.ok(m)
	require.Equal(t, []string{"3.root.json", "timestamp.json"}, m.asked)
}

// writes counts what is put into a store.
type writes struct {
	tuf.MemoryStore
	put  []string
	fail string
}

func (w *writes) Put(role string, raw []byte) error {
	if w.put = append(w.put, role); role == w.fail {
		return errors.New("no space left on device")
	}
	return w.MemoryStore.Put(role, raw)
}

func TestUnchangedFilesAreNotWrittenAgain(t *testing.T) {
	repo := tufrepository.New(start)
	f := follow(t, repo)
	store := &writes{MemoryStore: f.store}
	f.opts.Store = store
	f.ok(mirrorOf("m", repo))
	require.Equal(t, []string{"root", "timestamp", "snapshot", "targets"}, store.put)
	store.put = nil
	f.ok(mirrorOf("m", repo))
	require.Empty(t, store.put)
}

func TestFullDiskEndsTheUpdate(t *testing.T) {
	repo := tufrepository.New(start)
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		f := follow(t, repo)
		f.opts.Store = &writes{MemoryStore: f.store, fail: role}
		_, err := f.refresh(mirrorOf("m", repo))
		require.ErrorContains(t, err, "no space left")
		require.NotContains(t, f.store, role)
	}
}

func TestDamagedFilesAreAsNeverSeen(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		for name, damage := range map[string]func([]byte) []byte{
			"cut":   func(raw []byte) []byte { return raw[:len(raw)/2] },
			"empty": func([]byte) []byte { return nil },
			"altered": func(raw []byte) []byte {
				return bytes.Replace(raw, []byte(`"spec_version": "1.0.31"`), []byte(`"spec_version": "1.0.99"`), 1)
			},
		} {
			t.Run(role+" "+name, func(t *testing.T) {
				repo := tufrepository.New(start)
				repo.Publish("root")
				f := follow(t, repo)
				m := mirrorOf("m", repo)
				f.ok(m)
				was := f.store[role]
				f.store[role] = damage(was)
				require.NotEqual(t, was, f.store[role])
				c := f.ok(m)
				require.Equal(t, was, f.store[role], "repaired")
				if name != "altered" || role == "root" {
					require.True(t, noted(c, "trusted state", tuf.ErrInvalid) || noted(c, "trusted state", tuf.ErrThreshold))
				}
			})
		}
	}
}

func TestDamagedRootOfflineCostsNoState(t *testing.T) {
	repo := tufrepository.New(start)
	repo.SetKeys("timestamp", 1, tufrepository.NewKey("new"))
	repo.Publish("root")
	repo.PublishAll()
	f := follow(t, repo)
	f.ok(mirrorOf("m", repo))
	good := f.store["root"]
	f.store["root"] = []byte("damaged")
	f.fails(tuf.ErrUnreachable)
	f.store["root"] = good
	f.ok()
}

func TestPinnedRoot(t *testing.T) {
	repo := tufrepository.New(start)
	f := follow(t, repo)
	f.ok(mirrorOf("m", repo))
	repo.Publish("root")
	second := repo.Get("2.root.json")
	t.Run("newer than the store's", func(t *testing.T) {
		f.opts.Root = second
		m := mirrorOf("m", repo)
		delete(m.files, "2.root.json")
		c := f.ok(m)
		require.EqualValues(t, 2, c.Root().Version)
		require.Equal(t, second, f.store["root"])
	})
	t.Run("older than the store's", func(t *testing.T) {
		f.opts.Root = repo.Get("1.root.json")
		m := mirrorOf("m", repo)
		f.ok(m)
		require.Equal(t, "3.root.json", m.asked[0])
	})
	t.Run("invalid", func(t *testing.T) {
		for _, raw := range []string{"", "{}", strings.Replace(string(second), `"sig": "`, `"sig": "00`, 1), string(repo.Get("1.targets.json"))} {
			_, err := tuf.NewClient(tuf.Options{Root: []byte(raw)})
			require.ErrorContains(t, err, "pinned root")
		}
	})
	t.Run("expired, with a successor", func(t *testing.T) {
		repo.Expire("root", start.AddDate(0, 0, -1))
		repo.Publish("root")
		f.opts.Root = repo.Get("3.root.json")
		f.fails(tuf.ErrExpired, mirrorOf("m", repo))
		repo.Expire("root", start.AddDate(0, 0, 1))
		repo.Publish("root")
		f.ok(mirrorOf("m", repo))
	})
}

func TestStoreOfAnotherPublisher(t *testing.T) {
	publisher := func(digit string) *tufrepository.Repository {
		repo := tufrepository.New(start)
		repo.Signed["root"]["carnet"] = tufrepository.Object{"id": strings.Repeat(digit, 32)}
		repo.SetVersion("root", 0)
		repo.Publish("root")
		return repo
	}
	a, b := publisher("a"), publisher("b")
	b.Publish("root")
	f := follow(t, b)
	f.ok(mirrorOf("b", b))
	f.opts.Root = a.Get("1.root.json")
	c := f.ok(mirrorOf("a", a))
	require.Equal(t, strings.Repeat("a", 32), c.Root().Root.Carnet.ID)
	require.True(t, noted(c, "trusted state", tuf.ErrInvalid))
}

func TestRotation(t *testing.T) {
	two := []*tufrepository.Key{tufrepository.NewKey("first"), tufrepository.NewKey("second")}
	for _, c := range []struct {
		name  string
		role  string
		keys  []*tufrepository.Key // after
		still map[string]int64     // what is still trusted after root alone was rotated
	}{
		{"timestamp key added", "timestamp", append(two, tufrepository.NewKey("third")), map[string]int64{"timestamp": 2, "snapshot": 2}},
		{"the other timestamp key dropped", "timestamp", two[:1], map[string]int64{"timestamp": 2, "snapshot": 2}},
		{"its timestamp key dropped", "timestamp", two[1:], map[string]int64{"snapshot": 2}},
		{"its snapshot key dropped", "snapshot", two[1:], map[string]int64{}},
		{"the other snapshot key dropped", "snapshot", two[:1], map[string]int64{"timestamp": 2, "snapshot": 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			repo := tufrepository.New(start)
			repo.SetKeys("timestamp", 1, two...)
			repo.SetKeys("snapshot", 1, two...)
			repo.Signers["timestamp"], repo.Signers["snapshot"] = two[:1], two[:1]
			repo.Publish("root")
			repo.PublishAll()
			f := follow(t, repo)
			f.ok(mirrorOf("m", repo))
			repo.SetKeys(c.role, 1, c.keys...)
			repo.Publish("root")
			only := mirrorOf("roots", repo)
			only.fails["timestamp.json"] = errDown
			f.fails(tuf.ErrUnreachable, only)
			c.still["root"], c.still["targets"] = 3, 2
			f.trusts(c.still)
		})
	}
}
