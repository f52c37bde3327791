package tuf_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// start is the time at which the repositories are made.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// mirror is a source that holds what was published when it was made.
type mirror struct {
	name  string
	files map[string][]byte
	fails map[string]error // by file name
	asked []string
}

func mirrorOf(name string, repo *tufrepository.Repository) *mirror {
	return &mirror{name: name, files: repo.Files(), fails: map[string]error{}}
}

func (m *mirror) String() string { return m.name }

func (m *mirror) get(name string) ([]byte, error) {
	m.asked = append(m.asked, name)
	if err := m.fails[name]; err != nil {
		return nil, err
	}
	if raw, ok := m.files[name]; ok {
		return raw, nil
	}
	return nil, fmt.Errorf("%w: %s", tuf.ErrNotFound, name)
}

func (m *mirror) Root(_ context.Context, version int64) ([]byte, error) {
	return m.get(fmt.Sprintf("%d.root.json", version))
}

func (m *mirror) Timestamp(context.Context) ([]byte, error) { return m.get("timestamp.json") }

func (m *mirror) File(_ context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	return m.get(fmt.Sprintf("%d.%s.json", want.Version, tufrepository.Escape(role)))
}

// follower is a verifier that updates again and again with one store.
type follower struct {
	t     *testing.T
	opts  tuf.Options
	store tuf.MemoryStore
}

func follow(t *testing.T, repo *tufrepository.Repository) *follower {
	store := tuf.MemoryStore{}
	return &follower{t, tuf.Options{Root: repo.Get("1.root.json"), Store: store, Now: start}, store}
}

// refresh makes one update over the sources, and returns its client and error.
func (f *follower) refresh(sources ...tuf.Source) (*tuf.Client, error) {
	f.t.Helper()
	f.opts.Sources = sources
	c, err := tuf.NewClient(f.opts)
	require.NoError(f.t, err)
	return c, c.Refresh(f.t.Context())
}

func (f *follower) ok(sources ...tuf.Source) *tuf.Client {
	f.t.Helper()
	c, err := f.refresh(sources...)
	require.NoError(f.t, err)
	return c
}

func (f *follower) fails(want error, sources ...tuf.Source) *tuf.Client {
	f.t.Helper()
	c, err := f.refresh(sources...)
	require.ErrorIs(f.t, err, want)
	return c
}

// trusts wants the store to hold these versions.
func (f *follower) trusts(want map[string]int64) {
	f.t.Helper()
	found := map[string]int64{}
	for role, raw := range f.store {
		file, err := metadata.Decode(role, raw)
		require.NoError(f.t, err)
		found[role] = file.Version
	}
	require.Equal(f.t, want, found)
}

func noted(c *tuf.Client, source string, want error) bool {
	for _, n := range c.Notes() {
		if n.Source == source && errors.Is(n.Err, want) {
			return true
		}
	}
	return false
}

var errDown = errors.New("connection refused")

func down(name string) *mirror {
	return &mirror{name: name, fails: map[string]error{"2.root.json": errDown, "timestamp.json": errDown}}
}

func TestOneUnreachableSourceIsNoMatter(t *testing.T) {
	repo := tufrepository.New(start)
	c := follow(t, repo).ok(down("down"), mirrorOf("up", repo))
	require.Equal(t, "up", c.Source())
	require.True(t, noted(c, "down", tuf.ErrUnreachable))
}

func TestNoReachableSourceIsNoVerdict(t *testing.T) {
	repo := tufrepository.New(start)
	f := follow(t, repo)
	f.ok(mirrorOf("m", repo))
	_, err := f.refresh(down("a"), down("b"))
	require.ErrorIs(t, err, tuf.ErrUnreachable)
	for _, verdict := range []error{tuf.ErrInvalid, tuf.ErrThreshold, tuf.ErrRollback, tuf.ErrExpired} {
		require.NotErrorIs(t, err, verdict)
	}
	f.trusts(map[string]int64{"root": 1, "timestamp": 1, "snapshot": 1, "targets": 1})
}

func TestRootChainOverAllSources(t *testing.T) {
	repo := tufrepository.New(start)
	old := mirrorOf("old", repo)
	repo.Publish("root")
	newer := mirrorOf("newer", repo)
	repo.Publish("root")
	newest := mirrorOf("newest", repo)
	delete(newest.files, "2.root.json")
	c := follow(t, repo).ok(old, newer, newest)
	require.EqualValues(t, 3, c.Root().Version)
}

func TestForgedRootStopsOnlyItsSource(t *testing.T) {
	repo := tufrepository.New(start)
	repo.Publish("root")
	good := mirrorOf("good", repo)
	for name, forged := range map[string][]byte{"garbage": []byte("{"), "unsigned": []byte(strings.ReplaceAll(string(repo.Get("2.root.json")), `"sig": "`, `"sig": "00`))} {
		bad := mirrorOf("bad", repo)
		bad.files["2.root.json"] = forged
		t.Run(name, func(t *testing.T) {
			for _, order := range [][]tuf.Source{{bad, good}, {good, bad}} {
				bad.asked = nil
				c := follow(t, repo).ok(order...)
				require.EqualValues(t, 2, c.Root().Version)
			}
			c := follow(t, repo).ok(bad, good)
			require.NotEmpty(t, c.Notes())
			require.Equal(t, "good", c.Source())
			require.NotContains(t, bad.asked, "1.snapshot.json")
			f := follow(t, repo)
			_, err := f.refresh(bad)
			require.Error(t, err)
			require.Empty(t, f.store)
		})
	}
}

func TestNewestTimestampWins(t *testing.T) {
	repo := tufrepository.New(start)
	old := mirrorOf("old", repo)
	repo.PublishAll()
	current := mirrorOf("current", repo)
	f := follow(t, repo)
	c := f.ok(old, current)
	require.Equal(t, "current", c.Source())
	require.EqualValues(t, 2, c.Timestamp().Version)
	t.Run("a mirror that is behind is noted", func(t *testing.T) {
		c := f.ok(old, current)
		require.True(t, noted(c, "old", tuf.ErrRollback))
		require.Equal(t, "", c.Source())
	})
	t.Run("and refused alone", func(t *testing.T) {
		_, err := f.refresh(old, down("current"))
		var rollback *tuf.RollbackError
		require.ErrorAs(t, err, &rollback)
		require.Equal(t, tuf.RollbackError{File: "timestamp", Trusted: 2, Offered: 1}, *rollback)
	})
}

func TestTwoTimestampsOfOneVersion(t *testing.T) {
	repo := tufrepository.New(start)
	a := mirrorOf("a", repo)
	repo.Expire("timestamp", start.AddDate(0, 0, 20))
	repo.Republish("timestamp")
	b := mirrorOf("b", repo)
	var chosen []string
	for _, order := range [][]tuf.Source{{a, b}, {b, a}} { // whatever the order
		chosen = append(chosen, follow(t, repo).ok(order...).Source())
	}
	require.Equal(t, chosen[0], chosen[1])
	f := follow(t, repo)
	f.ok(a)
	f.ok(b)
	require.Equal(t, a.files["timestamp.json"], f.store["timestamp"], "what is trusted stays")
}

func TestForgedTimestampIsPassedBy(t *testing.T) {
	repo := tufrepository.New(start)
	good := mirrorOf("good", repo)
	repo.Signers["timestamp"] = []*tufrepository.Key{tufrepository.NewKey("thief")}
	repo.SetVersion("timestamp", 1000)
	repo.Republish("timestamp")
	bad := mirrorOf("bad", repo)
	c := follow(t, repo).ok(bad, good)
	require.Equal(t, "good", c.Source())
	require.True(t, noted(c, "bad", tuf.ErrThreshold))
	follow(t, repo).fails(tuf.ErrThreshold, bad, down("good"))
}

func TestFilesComeFromWhoeverHasThem(t *testing.T) {
	for _, hashes := range []bool{true, false} {
		t.Run(fmt.Sprint("hashes ", hashes), func(t *testing.T) {
			repo := tufrepository.New(start)
			repo.Hashes = hashes
			repo.PublishAll()
			partial, forged, whole := mirrorOf("partial", repo), mirrorOf("forged", repo), mirrorOf("whole", repo)
			for _, name := range []string{"2.snapshot.json", "2.targets.json"} {
				delete(partial.files, name)
				forged.files[name] = []byte(strings.Replace(string(repo.Get(name)), `"sig": "`, `"sig": "00`, 1))
			}
			c := follow(t, repo).ok(partial, forged, whole)
			require.True(t, noted(c, "partial", tuf.ErrUnreachable))
		})
	}
}

func TestMaxStaleness(t *testing.T) {
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		t.Run(role, func(t *testing.T) {
			repo := tufrepository.New(start)
			repo.Expire(role, start.Add(-time.Hour))
			if role == "root" {
				repo.Publish("root")
			}
			repo.PublishAll()
			f := follow(t, repo)
			_, err := f.refresh(mirrorOf("m", repo))
			var expired *tuf.ExpiredError
			require.ErrorAs(t, err, &expired)
			require.Equal(t, role, expired.Role)
			f.opts.MaxStaleness = time.Hour
			f.fails(tuf.ErrExpired, mirrorOf("m", repo)) // not later than now
			f.opts.MaxStaleness = 2 * time.Hour
			if role == "timestamp" || role == "snapshot" {
				f.ok(mirrorOf("m", repo))
				return
			}
			f.fails(tuf.ErrExpired, mirrorOf("m", repo))
		})
	}
}

func TestTimestampFromTheFuture(t *testing.T) {
	repo := tufrepository.New(start)
	issue := func(at time.Time) *mirror {
		repo.Signed["timestamp"]["carnet"] = tufrepository.Object{"issued": tufrepository.Time(at)}
		repo.Publish("timestamp")
		return mirrorOf(at.String(), repo)
	}
	soon, late := issue(start.Add(tuf.MaxClockSkew)), issue(start.Add(tuf.MaxClockSkew+time.Second))
	f := follow(t, repo)
	f.fails(tuf.ErrInvalid, late)
	c := f.ok(late, soon)
	require.Equal(t, soon.name, c.Source(), "the other one is taken")
	t.Run("trusted before the clock went back", func(t *testing.T) {
		f.opts.Now = start.Add(-time.Second)
		f.fails(tuf.ErrInvalid)
	})
}

func TestOfflineAsksNobody(t *testing.T) {
	repo := tufrepository.New(start)
	f := follow(t, repo)
	f.fails(tuf.ErrUnreachable) // nothing is known
	f.ok(mirrorOf("m", repo))
	c := f.ok()
	require.EqualValues(t, 1, c.Timestamp().Version)
	f.opts.Now = start.AddDate(0, 0, 31)
	f.fails(tuf.ErrExpired)
}

func TestOfflineWithoutSomeFiles(t *testing.T) {
	repo := tufrepository.New(start)
	for _, role := range []string{"snapshot", "targets"} {
		f := follow(t, repo)
		f.ok(mirrorOf("m", repo))
		delete(f.store, role)
		f.fails(tuf.ErrUnreachable)
	}
}

func TestExpiredForPublishers(t *testing.T) {
	repo := tufrepository.New(start)
	f := follow(t, repo)
	f.opts.Now = start.AddDate(1, 0, 0)
	f.opts.AllowExpired = true
	f.ok(mirrorOf("m", repo))
}

func TestMoreRootsThanOneUpdateWalks(t *testing.T) {
	repo := tufrepository.New(start)
	for range metadata.MaxRootSteps + 3 {
		repo.Publish("root")
	}
	f := follow(t, repo)
	m := mirrorOf("m", repo)
	c := f.ok(m)
	require.EqualValues(t, metadata.MaxRootSteps+1, c.Root().Version)
	require.EqualValues(t, metadata.MaxRootSteps+4, f.ok(m).Root().Version)
}

func TestPublisherIDNeverChanges(t *testing.T) {
	id := func(digit string) tufrepository.Object {
		return tufrepository.Object{"id": strings.Repeat(digit, 32)}
	}
	for name, c := range map[string]struct {
		second any
		want   error
	}{"kept": {id("a"), nil}, "changed": {id("b"), tuf.ErrInvalid}, "dropped": {nil, tuf.ErrInvalid}} {
		t.Run(name, func(t *testing.T) {
			repo := tufrepository.New(start)
			repo.Signed["root"]["carnet"] = id("a")
			repo.Publish("root")
			if repo.Signed["root"]["carnet"] = c.second; c.second == nil {
				delete(repo.Signed["root"], "carnet")
			}
			repo.Publish("root")
			_, err := follow(t, repo).refresh(mirrorOf("m", repo))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestCancelledUpdateIsNoVerdict(t *testing.T) {
	repo := tufrepository.New(start)
	f := follow(t, repo)
	f.opts.Sources = []tuf.Source{mirrorOf("m", repo)}
	c, err := tuf.NewClient(f.opts)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.Refresh(ctx), tuf.ErrUnreachable)
}
