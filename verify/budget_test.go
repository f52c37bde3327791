package verify_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

func TestBudgetByTag(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	rounds := fixtures.CountRounds(t, w.reg)
	measure := func(want ...string) {
		t.Helper()
		w.reg.Reset()
		w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
		require.Equal(t, want, w.reg.SortedRequests())
	}
	latest, tag := "GET /v2/trust/wabbit/manifests/latest", "HEAD /v2/net-monitor/manifests/1.0"
	rounds.Reset()
	measure(latest, tag) // cold: the files are in the state, and root is pinned
	require.Equal(t, 1, rounds.Count())

	rounds.Reset()
	measure(latest, tag)
	require.Equal(t, 1, rounds.Count(), "warm")
}

func TestBudgetColdOfLargeFiles(t *testing.T) {
	w := newWorld(t)
	// A chain of three delegated roles, the last with a file too large to be
	// inlined, and more roles beside it.
	w.delegate("releases", "team", "**")
	w.delegate("team", "app", "**")
	for i := range 20 {
		w.delegate("targets", fmt.Sprintf("other-%d", i), fmt.Sprintf("other-%d", i))
	}
	many := bulk()
	many = append(many, w.push("net-monitor", "1.0", "one"))
	w.vouch(w.wabbit, tuf.Vouching{Role: "app"}, many...)
	rounds := fixtures.CountRounds(t, w.reg)
	w.reg.Reset()
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, []string{"root", "targets", "releases", "team", "app"}, d.Results[0].Chain)
	require.Equal(t, 2, rounds.Count(), w.reg.Requests())
	require.Len(t, w.reg.Requests(), 3, "the state, the tag, the large role")
	rounds.Reset()
	w.reg.Reset()
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, 1, rounds.Count())
	require.Len(t, w.reg.Requests(), 2)
}

// A repository without a usable latest, as where tags cannot be moved, costs two
// rounds more: the list of tags, and the highest state of it.
func TestBudgetWithoutLatest(t *testing.T) {
	for name, options := range map[string][]fixtures.Option{
		"missing": nil, "never moved": {fixtures.WithImmutableTags(http.StatusConflict)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reg = fixtures.Registry11(t, options...)
			w.wabbit = w.publisher("wabbit")
			w.policy(wabbitOnly)
			w.signed("net-monitor", "1.0", "one")
			if options == nil {
				w.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), Then: fixtures.Status(http.StatusNotFound)})
			}
			rounds := fixtures.CountRounds(t, w.reg)
			for _, state := range []string{"cold", "warm"} {
				rounds.Reset()
				w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
				require.LessOrEqual(t, rounds.Count(), 3, "%s: %s", state, w.reg.Requests())
			}
		})
	}
}

// bulk is so much that the role that vouches for it is not inlined.
func bulk() []tuf.Artifact {
	var many []tuf.Artifact
	for i := range 200 {
		content := fmt.Sprint(i)
		many = append(many, tuf.Artifact{Name: "bulk", Tag: "t" + content, Digest: fixtures.Target(content).Hashes.Digest(), Size: 1})
	}
	return many
}

// delegate adds a role below another.
func (w *world) delegate(parent, role, name string) {
	w.Helper()
	patterns, err := metadata.Patterns(name)
	require.NoError(w, err)
	k := w.wabbit.Key(role).Key()
	d := metadata.Delegation{Name: role, Paths: patterns, RoleKeys: metadata.RoleKeys{KeyIDs: []string{k.ID()}, Threshold: 1}}
	_, err = w.wabbit.Publish(func(ctx context.Context, draft *tuf.Draft) error {
		return draft.Delegate(ctx, parent, d, metadata.Keys{k.ID(): k})
	})
	require.NoError(w, err)
}

func TestBudgetManyReferences(t *testing.T) {
	w := newWorld(t)
	var refs []registrystore.Reference
	for i := range 5 {
		w.signed("net-monitor", fmt.Sprintf("1.%d", i), fmt.Sprint(i))
		refs = append(refs, w.ref(fmt.Sprintf("HOST/net-monitor:1.%d", i)))
	}
	rounds := fixtures.CountRounds(t, w.reg)
	for range 2 {
		w.reg.Reset()
		rounds.Reset()
		out, err := w.verifier().Verify(t.Context(), refs...)
		require.NoError(t, err)
		require.Equal(t, 0, verify.ExitCode(out))
		require.Len(t, w.reg.Requests(), 6)
		require.Equal(t, 1, rounds.Count())
	}
}

func TestNoRequestInsideMaxAge(t *testing.T) {
	w := newWorld(t)
	w.policy(wabbitOnly + "  - {name: young, scope: HOST/net-monitor, require: [{publisher: wabbit, max-age: 1h}]}\n")
	a := w.signed("net-monitor", "1.0", "one")
	ref := "HOST/net-monitor@" + a.Digest.String()
	w.requireReason(ref, verify.Allowed, verify.OK)
	w.reg.Reset()
	w.wabbit.Sleep(time.Hour)
	before := snapshot(t, w.dir, w.cache)
	d := w.requireReason(ref, verify.Allowed, verify.OK)
	require.Empty(t, w.reg.Requests())
	require.Equal(t, verify.FromCache, d.Results[0].Source)
	require.Equal(t, before, snapshot(t, w.dir, w.cache), "nothing is written when nothing changed")

	// A tag is asked about, and so is what vouches for it.
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Len(t, w.reg.Requests(), 2)

	// A "no" from memory is asked about.
	b := w.signed("net-monitor", "1.1", "two")
	w.reg.Reset()
	d = w.requireReason("HOST/net-monitor@"+b.Digest.String(), verify.Allowed, verify.OK)
	require.Len(t, w.reg.Requests(), 1)
	require.Equal(t, verify.FromRegistry, d.Results[0].Source)

	// A lost cache costs a request and nothing else.
	require.NoError(t, os.RemoveAll(w.cache))
	w.reg.Reset()
	w.requireReason(ref, verify.Allowed, verify.OK)
	require.Len(t, w.reg.Requests(), 1)

	// Too old for memory.
	w.wabbit.Sleep(time.Hour + time.Second)
	w.refresh(w.wabbit)
	w.reg.Reset()
	w.requireReason(ref, verify.Allowed, verify.OK)
	require.Len(t, w.reg.Requests(), 1)
	// Without max-age the registry is always asked.
	w.policy(wabbitOnly)
	w.reg.Reset()
	w.requireReason(ref, verify.Allowed, verify.OK)
	require.Len(t, w.reg.Requests(), 1)
}

func TestOffline(t *testing.T) {
	w := newWorld(t)
	a := w.signed("net-monitor", "1.0", "one")
	ref := "HOST/net-monitor@" + a.Digest.String()
	w.opts.Offline = true
	w.reg.Reset()
	w.requireReason(ref, verify.Undecided, verify.Unreachable)
	w.opts.Offline = false
	w.requireReason(ref, verify.Allowed, verify.OK)

	w.opts.Offline = true
	w.reg.Reset()
	d := w.requireReason(ref, verify.Allowed, verify.OK)
	require.Equal(t, verify.FromCache, d.Results[0].Source)
	w.requireReason("HOST/net-monitor:1.0", verify.Undecided, verify.Unreachable)
	w.opts.Resolve = true
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	w.wabbit.Sleep(day)
	w.requireReason(ref, verify.Denied, verify.Expired)
	require.Empty(t, w.reg.Requests())
}

func TestOfflineOnLayouts(t *testing.T) {
	w := newWorld(t)
	w.wabbit = fixtures.NewLayoutPublisher(t)
	w.wabbit.Delegate("releases", "**", "dev")
	w.root("wabbit", w.wabbit.Root)
	w.policy(`
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: ["` + w.wabbit.Trust + `", HOST/trust/wabbit]}
rules:
  - {name: all, scope: "oci:**", require: [{publisher: wabbit}]}
`)
	dir := filepath.Join(t.TempDir(), "net-monitor")
	desc := fixtures.Layout(t, dir).PushImage(t, "1.0", "one")
	w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: desc.Digest, Size: desc.Size})
	w.opts.Offline = true
	w.reg.Reset()
	d := w.requireReason("oci:"+dir+":1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromRegistry, d.Results[0].Source)
	require.NoError(t, os.RemoveAll(w.wabbit.Trust[len("oci:"):]))
	d = w.requireReason("oci:"+dir+":1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromCache, d.Results[0].Source)
	require.Empty(t, w.reg.Requests())
}

// snapshot lists files with their times: what was written shows.
func snapshot(t *testing.T, dirs ...string) map[string]string {
	out := map[string]string{}
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			out[path] = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
			return err
		}))
	}
	return out
}
