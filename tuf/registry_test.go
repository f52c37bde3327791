package tuf_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// registries are the two kinds that every publication must work on.
var registries = map[string]func(testing.TB, ...fixtures.Option) *fixtures.Registry{
	"Distribution": fixtures.Distribution,
	"Registry11":   fixtures.Registry11,
}

func onEach(t *testing.T, f func(t *testing.T, reg *fixtures.Registry, p *fixtures.Publisher)) {
	for name, start := range registries {
		t.Run(name, func(t *testing.T) { f(t, start(t), nil) })
	}
}

func publisherOn(t testing.TB, reg *fixtures.Registry) *fixtures.Publisher {
	p := fixtures.NewPublisher(t, reg.Host+"/trust", registrystore.Options{})
	p.Delegate("releases", "**", "dev")
	return p
}

func TestConcurrentWritersOnRegistries(t *testing.T) {
	onEach(t, func(t *testing.T, reg *fixtures.Registry, _ *fixtures.Publisher) {
		concurrently(t, publisherOn(t, reg), 16)
	})
}

// signRequests are the requests of a publication that nobody disturbs. Upload
// sessions have names of the registry's choice.
var signRequests = []string{
	"GET manifests/latest",
	"POST blobs/uploads/", "PUT blobs/uploads/", // role file
	"POST blobs/uploads/", "PUT blobs/uploads/", // snapshot
	"GET blobs/", // role file, read back
	"PUT manifests/draft.",
	"GET tags/list",
	"POST blobs/uploads/", "PUT blobs/uploads/", // timestamp
	"PUT manifests/state.",
	"PUT manifests/latest",
	"GET tags/list",
}

func requireRequests(t *testing.T, want, got []string) {
	t.Helper()
	count := func(list []string) map[string]int {
		out := map[string]int{}
		for _, r := range list {
			for _, w := range want {
				if strings.HasPrefix(strings.Replace(r, "/v2/trust/", "", 1), w) && (w != "GET blobs/" || !strings.Contains(r, "uploads")) {
					out[w]++
					break
				}
			}
		}
		return out
	}
	require.Len(t, got, len(want), "%s", strings.Join(got, "\n"))
	require.Equal(t, count(want), count(got), "%s", strings.Join(got, "\n"))
}

func TestSignTakesTheSameRequestsForAnyNumberOfReferences(t *testing.T) {
	onEach(t, func(t *testing.T, reg *fixtures.Registry, _ *fixtures.Publisher) {
		p := publisherOn(t, reg)
		_, err := p.Publish(signsMany(0, 1))
		require.NoError(t, err)
		for _, n := range []int{1, 1000} {
			reg.Reset()
			_, err := p.Publish(signsMany(n, n))
			require.NoError(t, err)
			requireRequests(t, signRequests, reg.Requests())
		}
		// The file of the role is now too large to be inlined: a writer
		// without a cache reads it.
		reg.Reset()
		_, err = p.Publish(signsMany(5000, 1))
		require.NoError(t, err)
		requireRequests(t, append([]string{"GET blobs/"}, signRequests...), reg.Requests())
	})
}

// A writer's cache holds what it wrote: the file of a role that is too large
// to be inlined is not read again to be edited.
func TestWriterReadsItsOwnFilesFromTheCache(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	cache := registrystore.OpenCache(t.TempDir())
	publish := func(from, n int) {
		regs, err := registrystore.New(p.Registry, cache)
		require.NoError(t, err)
		trust, err := regs.OpenTrust(p.Trust)
		require.NoError(t, err)
		opts := p.Options()
		opts.Journal, opts.Sources = trust.Journal(), []tuf.Source{trust}
		_, err = tuf.NewRepository(opts).Publish(t.Context(), nil, signsMany(from, n))
		require.NoError(t, err)
	}
	publish(0, 1000)
	reg.Reset()
	publish(1000, 1)
	requireRequests(t, signRequests, reg.Requests())
}

// A failed or cut off publication leaves the old state or the new one, and
// running it again finishes it: for every write, whether it took effect or
// not.
func TestEveryWriteMayFail(t *testing.T) {
	faults := map[string]fixtures.Action{
		"cut off before it took effect": fixtures.DropBefore,
		"cut off after it took effect":  fixtures.DropAfter,
		"refused":                       fixtures.Status(http.StatusForbidden),
	}
	for name, action := range faults {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			p := publisherOn(t, reg)
			for n := 1; ; n++ {
				path, content := fmt.Sprintf("app:%d", n), fmt.Sprint(n)
				fault := reg.Inject(fixtures.Fault{On: fixtures.Writes, Nth: n, Then: action})
				_, err := p.Sign("releases", path, content)
				hit := fault.Hits() > 0
				fault.Remove()
				f, lerr := p.Client().Lookup(t.Context(), path)
				require.NoError(t, lerr, "write %d", n)
				if err == nil {
					require.True(t, f.Listed, "write %d: acknowledged and not there", n)
				}
				_, err = p.Sign("releases", path, content)
				require.NoError(t, err, "write %d: running it again", n)
				requireListed(t, p, path, content)
				if !hit {
					require.Greater(t, n, 8)
					return
				}
			}
		})
	}
}

func TestLostAnswerOfTheCommitIsSettled(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/state."), First: 1, Then: fixtures.DropAfter})
	res, err := p.Sign("releases", "app:1", "x")
	require.NoError(t, err, "the state is there: that is an acknowledgement")
	require.True(t, res.Changed)
	requireListed(t, p, "app:1", "x")
}

func TestUnknownOutcomeSaysSo(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/state."), First: 1, Then: fixtures.DropAfter})
	reg.Inject(fixtures.Fault{On: fixtures.Head("/manifests/state."), Then: fixtures.Status(http.StatusForbidden)})
	_, err := p.Sign("releases", "app:1", "x")
	require.ErrorIs(t, err, tuf.ErrOutcomeUnknown)
}

func TestRepositoryThatForbidsMovingTags(t *testing.T) {
	for _, status := range []int{http.StatusConflict, http.StatusBadRequest} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			p := publisherOn(t, fixtures.Distribution(t, fixtures.WithImmutableTags(status)))
			_, err := p.Sign("releases", "app:1", "x")
			require.NoError(t, err)
			_, err = p.Sign("releases", "app:2", "y")
			require.NoError(t, err)
			requireListed(t, p, "app:1", "x")
			requireListed(t, p, "app:2", "y")
			concurrently(t, p, 4)
		})
	}
}

func TestStaleLatestIsNoTrap(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	// latest stays where it is: its every move is lost.
	fault := reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/latest"), Then: fixtures.Status(http.StatusForbidden)})
	for i := range 3 {
		_, err := p.Sign("releases", fmt.Sprintf("app:%d", i), "x")
		require.NoError(t, err)
	}
	fault.Remove()
	_, err := p.Sign("releases", "app:3", "x")
	require.NoError(t, err)
	for i := range 4 {
		requireListed(t, p, fmt.Sprintf("app:%d", i), "x")
	}
}

func TestPruneKeepsWhatReadersAndWritersNeed(t *testing.T) {
	p := publisherOn(t, fixtures.Distribution(t))
	for i := range 5 {
		_, err := p.Sign("releases", fmt.Sprintf("app:%d", i), "x")
		require.NoError(t, err)
	}
	prune := func() []string {
		tags, err := tuf.NewRepository(p.Options()).Prune(t.Context(), tuf.Pruning{Keep: 2, Pause: time.Hour})
		require.NoError(t, err)
		return tags
	}
	require.Empty(t, prune(), "all are young")
	p.Sleep(2 * time.Hour)
	require.Len(t, prune(), 7-2+7, "of 7 states 2 stay, of 7 drafts none")
	require.Empty(t, prune())
	requireListed(t, p, "app:4", "x")
	_, err := p.Sign("releases", "app:5", "x")
	require.NoError(t, err)
	requireListed(t, p, "app:0", "x")
}

func TestPruneSaysThatTagsStay(t *testing.T) {
	reg := fixtures.Registry11(t)
	p := publisherOn(t, reg)
	p.Sleep(48 * time.Hour)
	// This registry deletes a manifest and keeps its tags.
	for _, tag := range []string{"/manifests/state.", "/manifests/draft."} {
		reg.Inject(fixtures.Fault{On: fixtures.On("DELETE", tag), Then: fixtures.Status(400)})
	}
	_, err := tuf.NewRepository(p.Options()).Prune(t.Context(), tuf.Pruning{Keep: 1, Pause: time.Hour})
	require.ErrorIs(t, err, registrystore.ErrReadOnly)
}

func TestHistory(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "**", "dev")
	_, err := p.Sign("releases", "app:1", "x")
	require.NoError(t, err)
	_, err = p.Publish(func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil })
	require.NoError(t, err)
	list, err := tuf.NewRepository(p.Options()).History(t.Context(), 3)
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.Empty(t, list[0].Roles, "a refresh")
	require.Len(t, list[1].Roles, 1)
	require.Equal(t, "releases", list[1].Roles[0].Role)
	require.Equal(t, "  + app:1\n", brief(t, list[1].Roles[0]))
	require.EqualValues(t, 2, list[2].Timestamp)
	require.Equal(t, fixtures.Epoch, list[2].Issued)
	require.False(t, list[2].Unknown, "its parent is kept, though not asked for")
}

func brief(t *testing.T, d *tuf.Difference) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, d.Brief(&b, nil))
	return b.String()
}

// Who looks back sees whose keys changed, root's included.
func TestHistoryOfKeys(t *testing.T) {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "app", "dev")
	second, ann := p.Key("second").Key(), p.Key("ann").Key()
	root := p.Key("root").Key()
	for _, change := range []func(context.Context, *tuf.Draft) error{
		func(ctx context.Context, d *tuf.Draft) error {
			return d.SetKeys(ctx, "root", metadata.Keys{root.ID(): root, second.ID(): second}, 2)
		},
		func(ctx context.Context, d *tuf.Draft) error {
			return d.SetKeys(ctx, "releases", metadata.Keys{ann.ID(): ann}, 1)
		},
	} {
		_, err := p.Publish(change)
		require.NoError(t, err)
	}
	list, err := tuf.NewRepository(p.Options()).History(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, list, 4)
	words := func(c tuf.Change) (out []string) {
		require.NoError(t, c.Err)
		for _, d := range c.Roles {
			out = append(out, d.Role+"\n"+brief(t, d))
		}
		return out
	}
	require.Equal(t, []string{
		"releases\n",
		"targets\n  the role releases: key " + p.Key("dev").Key().ID() + " (ed25519) removed\n  the role releases: key " + ann.ID() + " (ed25519) added\n",
	}, words(list[0]))
	require.Equal(t, []string{
		"root\n  the role root: key " + second.ID() + " (ed25519) added\n  the role root: threshold 1 → 2: so many of its 2 keys must sign\n",
	}, words(list[1]))
	require.Equal(t, "root", list[3].Roles[0].Role, "the first publication tells of the first root")
	require.True(t, list[3].Roles[0].New)
}

func TestRefreshStoresAgainWhatTheRegistryLost(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := publisherOn(t, reg)
	_, err := p.Sign("releases", "app:1", "x")
	require.NoError(t, err)
	// The registry loses the role's file, which is inlined in the manifest.
	source := p.Source()
	require.NoError(t, source.Open(t.Context()))
	file, ok := source.Publication().Role("releases")
	require.True(t, ok)
	blob := reg.URL + "/v2/trust/blobs/" + file.Digest.String()
	remove, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, blob, nil)
	require.NoError(t, err)
	status := func(req *http.Request) int {
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, http.StatusAccepted, status(remove))
	get, err := http.NewRequestWithContext(t.Context(), http.MethodGet, blob, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, status(get))

	_, err = p.Publish(func(_ context.Context, d *tuf.Draft) error { d.Force(); return nil })
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status(get))
}
