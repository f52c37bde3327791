package promotion_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// gap is a crossing with an air gap between: files go over it, and the machine
// beyond knows the publisher's root and nothing else.
type gap struct {
	*crossing
	dir    string // files
	states *verify.States
	cache  *registrystore.Cache
	mu     sync.Mutex
	notes  []string // guarded by mu
}

func newGap(t *testing.T, from, to string) *gap {
	return &gap{
		crossing: newCrossing(t, from, to), dir: t.TempDir(),
		states: verify.OpenStates(filepath.Join(t.TempDir(), "state")), cache: registrystore.OpenCache(t.TempDir()),
	}
}

func (g *gap) path(name string) string { return filepath.Join(g.dir, name) }

// trustSource is the publisher's repository.
func (g *gap) trustSource() promotion.TrustSource {
	repo, err := registrystore.ParseRepository(g.wabbit.Trust, "")
	require.NoError(g, err)
	pin, err := g.pins.Get("wabbit")
	require.NoError(g, err)
	return promotion.TrustSource{Repository: repo, Publisher: pin, Store: tuf.MemoryStore{}}
}

func (g *gap) open(name string) *registrystore.Archive {
	a, err := registrystore.OpenArchive(g.path(name))
	require.NoError(g, err)
	g.Cleanup(func() { _ = a.Close() })
	return a
}

// save saves tags, and trust, since earlier files.
func (g *gap) save(name string, tags []string, since ...string) (*promotion.Saved, error) {
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(g, err)
	s := promotion.Saver{From: regs, Now: g.wabbit.Now, Note: g.note}
	for _, file := range since {
		s.Since = append(s.Since, g.open(file))
	}
	var refs []registrystore.Reference
	for _, tag := range tags {
		refs = append(refs, g.ref(g.from, tag))
	}
	return s.Save(g.Context(), g.path(name), refs, []promotion.TrustSource{g.trustSource()})
}

func (g *gap) saved(name string, tags []string, since ...string) *promotion.Saved {
	out, err := g.save(name, tags, since...)
	require.NoError(g, err)
	return out
}

func (g *gap) note(s string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.notes = append(g.notes, s)
}

// destination is what files are loaded to.
func (g *gap) destination() string {
	if g.to.reg != nil {
		return g.to.reg.Host
	}
	return "oci:" + filepath.Dir(g.to.dir)
}

func (g *gap) loader(file *registrystore.Archive) *promotion.Loader {
	regs, err := registrystore.New(registrystore.Options{}, g.cache)
	require.NoError(g, err)
	place, err := registrystore.ParsePlace(g.destination(), "")
	require.NoError(g, err)
	pins, err := g.pins.List()
	require.NoError(g, err)
	return &promotion.Loader{File: file, To: regs, Place: place, Pins: pins, States: g.states, Policy: g.policy(), Now: g.wabbit.Now, Note: g.note}
}

func (g *gap) load(name string) (*promotion.Loaded, error) {
	return g.loader(g.open(name)).Load(g.Context())
}

func (g *gap) loaded(name string) *promotion.Loaded {
	out, err := g.load(name)
	require.NoError(g, err)
	require.True(g, out.Done)
	return out
}

// decide asks a verifier beyond the gap: one that remembers, or one that asks
// the loaded trust repository alone.
func (g *gap) decide(suffix string, remembers bool) verify.Decision {
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(g, err)
	opts := verify.Options{Registries: regs, Now: g.wabbit.Now, Policy: g.policy().WithRepositories(func(verify.Pin) []string { return []string{g.destination() + "/trust"} })}
	if remembers {
		opts.States = g.states
	}
	v, err := verify.New(opts)
	require.NoError(g, err)
	found, err := v.Verify(g.Context(), g.ref(g.to, suffix))
	require.NoError(g, err)
	return found[0]
}

func (g *gap) requireAllowed(suffix string) {
	g.Helper()
	for _, remembers := range []bool{false, true} {
		d := g.decide(suffix, remembers)
		require.True(g, d.Allowed(), d.Text())
	}
}

// requireAllowedOffline verifies with no network, on the machine that loaded.
func (g *gap) requireAllowedOffline(d digest.Digest) {
	g.Helper()
	regs, err := registrystore.New(registrystore.Options{Transport: noNetwork{g.T}}, g.cache)
	require.NoError(g, err)
	v, err := verify.New(verify.Options{Registries: regs, Policy: g.policy(), States: g.states, Now: g.wabbit.Now, Offline: true})
	require.NoError(g, err)
	found, err := v.Verify(g.Context(), g.ref(g.to, "@"+d.String()))
	require.NoError(g, err)
	require.True(g, found[0].Allowed(), found[0].Text())
	require.Equal(g, verify.FromCache, found[0].Results[0].Source)
}

// requireGraph checks that all of a shipment is there and found.
func (g *gap) requireGraph(tag string, x shipment) {
	g.Helper()
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(g, err)
	tree, err := verify.ReadTree(g.Context(), regs, g.ref(g.to, tag))
	require.NoError(g, err)
	for _, d := range []digest.Digest{x.index.Digest, x.images[0].Digest, x.images[1].Digest, x.sbom.Digest, x.scan.Digest, x.note.Digest} {
		require.Contains(g, tree.Text(), d.String())
	}
}

func TestArchiveBetweenAnyTwoPlaces(t *testing.T) {
	for from := range places {
		for to := range places {
			t.Run(from+" to "+to, func(t *testing.T) {
				g := newGap(t, from, to)
				x := g.push("1.0")
				out := g.saved("full.tar", []string{":1.0"})
				require.Equal(t, []int{1, 3, 1}, []int{out.Artifacts, out.Referrers, len(out.Trust)})
				done := g.loaded("full.tar")
				require.Equal(t, 3, done.Referrers)
				g.requireAllowedOffline(x.index.Digest)
				g.requireAllowed(":1.0")
				g.requireGraph(":1.0", x)
				require.Zero(t, g.loaded("full.tar").Sent, "again there is nothing to send")

				// What is in it decides the bytes, not when it was made.
				g.wabbit.Sleep(time.Minute)
				g.saved("again.tar", []string{":1.0"})
				one, err := os.ReadFile(g.path("full.tar"))
				require.NoError(t, err)
				two, err := os.ReadFile(g.path("again.tar"))
				require.NoError(t, err)
				require.Equal(t, digest.FromBytes(one), digest.FromBytes(two))
			})
		}
	}
}

func (g *gap) moreReferrer(x shipment) digest.Digest {
	d := g.from.raw(g).PushReferrer(g, x.images[1], "application/vnd.example.late", "late")
	_, err := g.wabbit.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Digest: d.Digest, Size: d.Size})
	require.NoError(g, err)
	return d.Digest
}

// A full file and two with what is new: each is small, builds on those before,
// and is refused where they were not loaded, with nothing written.
func TestArchivesSince(t *testing.T) {
	for _, to := range []string{"1.0", "layout"} {
		t.Run(to, func(t *testing.T) {
			g := newGap(t, "1.1", to)
			x := g.push("1.0")
			full := g.saved("full.tar", []string{":1.0"})
			late := g.moreReferrer(x)
			one := g.saved("one.tar", []string{":1.0"}, "full.tar")
			require.Equal(t, []int{0, 1, 1, 1}, []int{one.Artifacts, one.Unchanged, one.Referrers, len(one.Trust)})
			y := g.push("1.1")
			two := g.saved("two.tar", []string{":1.0", ":1.1"}, "full.tar", "one.tar")
			require.Equal(t, []int{1, 1, 3, 1}, []int{two.Artifacts, two.Unchanged, two.Referrers, len(two.Trust)})
			require.Less(t, one.Blobs, full.Blobs/2)
			for _, d := range []digest.Digest{x.index.Digest, x.sbom.Digest, late} {
				require.False(t, g.open("two.tar").Has(d), "what the files before have is left out")
			}

			for _, file := range []string{"one.tar", "two.tar"} {
				_, err := g.load(file)
				require.ErrorIs(t, err, promotion.ErrIncomplete)
				require.ErrorContains(t, err, "source: ")
				require.ErrorContains(t, err, file)
				require.Equal(t, verify.Undecided, g.decide(":1.0", true).Verdict)
			}
			g.loaded("full.tar")
			g.loaded("one.tar")
			g.loaded("two.tar")
			g.requireAllowed(":1.0")
			g.requireAllowed(":1.1")
			g.requireGraph(":1.0", x)
			g.requireGraph(":1.1", y)
			regs, err := registrystore.New(registrystore.Options{}, nil)
			require.NoError(t, err)
			tree, err := verify.ReadTree(t.Context(), regs, g.ref(g.to, ":1.0"))
			require.NoError(t, err)
			require.Contains(t, tree.Text(), late.String())

			none := g.saved("none.tar", []string{":1.0", ":1.1"}, "full.tar", "one.tar", "two.tar")
			require.Equal(t, []int{0, 0, 0, 3, 0}, []int{none.Artifacts, none.Referrers, len(none.Trust), none.Unchanged, none.Blobs})
			g.loaded("none.tar")
		})
	}
}

// Of artifacts a file leaves out what the one before brought, also where the
// trust that vouches for them is known already: that is found out before
// anything is written.
func TestArchiveWithoutItsBase(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	g.push("1.1")
	g.saved("trust.tar", nil)
	g.loaded("trust.tar")
	g.saved("one.tar", []string{":1.1"}, "full.tar", "trust.tar")
	g.to.reg.Reset()
	_, err := g.load("one.tar")
	require.ErrorIs(t, err, promotion.ErrIncomplete)
	g.requireNothingWritten()

	// In another repository nothing of it is known.
	other := &place{reg: g.from.reg}
	desc := g.from.reg.Repository(t, "other").PushIndex
	index, _ := desc(t, "1.0", "1.0")
	ref, err := registrystore.ParseReference(other.reg.Host+"/other:1.0", "")
	require.NoError(t, err)
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(t, err)
	s := promotion.Saver{From: regs, Now: g.wabbit.Now, Since: []*registrystore.Archive{g.open("full.tar")}}
	out, err := s.Save(t.Context(), g.path("other.tar"), []registrystore.Reference{ref}, nil)
	require.NoError(t, err)
	require.Greater(t, out.Blobs, 6, "the index, both images, and their blobs")
	require.True(t, g.open("other.tar").Has(index.Digest))
}

// Tags of Carnet's own, and of lists of referrers, stand for no artifact.
func TestArchiveTakesNoTagsOfItsOwn(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	own := "sha256-" + digest.FromString("x").Encoded()
	g.from.raw(t).PushImage(t, own, "own")
	_, err := g.save("full.tar", []string{":" + own})
	require.ErrorContains(t, err, "stands for no artifact")

	plan := registrystore.NewArchivePlan()
	empty := `{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}`
	first := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(empty), Size: int64(len(empty))}
	m, err := registrystore.DecodeManifest([]byte(empty))
	require.NoError(t, err)
	require.NoError(t, plan.Name("registry.example/net-monitor", own, "", m))
	_, err = plan.Save(t.Context(), g.path("full.tar"), nil)
	require.NoError(t, err)
	_, err = g.load("full.tar")
	require.ErrorIs(t, err, registrystore.ErrCorrupt)
	require.ErrorContains(t, err, "stands for no artifact")

	plan = registrystore.NewArchivePlan()
	require.NoError(t, plan.Name("registry.example/net-monitor", "a", "", m))
	require.NoError(t, plan.Name("registry.example/net-monitor", "b", "0123456789ab", m))
	_, err = plan.Save(t.Context(), g.path("full.tar"), nil)
	require.NoError(t, err)
	_, err = g.load("full.tar")
	require.ErrorContains(t, err, "several publishers")

	plan = registrystore.NewArchivePlan()
	require.NoError(t, plan.Name("registry.example/net-monitor", "a", "", m))
	require.NoError(t, plan.Name("oci:net-monitor", "b", "", m))
	_, err = plan.Save(t.Context(), g.path("full.tar"), nil)
	require.NoError(t, err)
	_, err = g.load("full.tar")
	require.ErrorIs(t, err, promotion.ErrSameName)

	// A chain of referrers that does not end.
	plan = registrystore.NewArchivePlan()
	for range 70 {
		subject := m.Digest
		m, err = registrystore.DecodeManifest([]byte(`{"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[],"subject":{"digest":"` + subject.String() + `"}}`))
		require.NoError(t, err)
		require.NoError(t, plan.Name("registry.example/net-monitor", "", "", m))
	}
	require.NoError(t, g.to.raw(t).Target.Push(t.Context(), first, strings.NewReader(empty)))
	_, err = plan.Save(t.Context(), g.path("full.tar"), nil)
	require.NoError(t, err)
	_, err = g.load("full.tar")
	require.ErrorContains(t, err, "more than 64 referrers in a chain")

	// A folder of layouts has files of its own.
	to := newGap(t, "1.1", "layout")
	plan = registrystore.NewArchivePlan()
	require.NoError(t, plan.Name("registry.example/net-monitor/blobs/sha256", "a", "", m))
	_, err = plan.Save(t.Context(), to.path("full.tar"), nil)
	require.NoError(t, err)
	_, err = to.load("full.tar")
	require.ErrorContains(t, err, "like a file of image layouts")
}

// A tag that came back to where it was in the first file is new.
func TestArchivesSinceOfATagThatCameBack(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	x := g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	y := g.push("1.1")
	raw := g.from.raw(t)
	require.NoError(t, raw.Target.Tag(t.Context(), y.index, "moving"))
	_, err := g.wabbit.Vouch(tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: "moving", Digest: y.index.Digest, Size: y.index.Size})
	require.NoError(t, err)
	g.saved("one.tar", []string{":moving"}, "full.tar")
	require.NoError(t, raw.Target.Tag(t.Context(), x.index, "moving"))
	g.saved("two.tar", []string{":moving"}, "full.tar", "one.tar")
	require.NoError(t, raw.Target.Tag(t.Context(), y.index, "moving"))
	require.Equal(t, 1, g.saved("three.tar", []string{":moving"}, "full.tar", "one.tar", "two.tar").Artifacts)
}

// A file with trust alone withdraws what was loaded before, and what it
// withdraws is not loaded again from the old file.
func TestArchiveWithdraws(t *testing.T) {
	g := newGap(t, "1.0", "1.1")
	x := g.push("1.0")
	full := g.saved("full.tar", []string{":1.0"})
	g.loaded("full.tar")
	g.requireAllowed(":1.0")
	g.withdraw(x.index.Digest)
	src := g.trustSource()
	src.Since = &verify.Floor{Root: full.Trust[0].Root, Timestamp: full.Trust[0].Timestamp}
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(t, err)
	s := promotion.Saver{From: regs, Now: g.wabbit.Now}
	delta, err := s.Save(t.Context(), g.path("trust.tar"), nil, []promotion.TrustSource{src})
	require.NoError(t, err)
	require.Less(t, delta.Bytes, full.Bytes)
	g.loaded("trust.tar")
	for _, remembers := range []bool{false, true} {
		require.Equal(t, verify.Revoked, g.decide(":1.0", remembers).Results[0].Reason)
	}
	out, err := g.load("full.tar")
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
	require.Equal(t, verify.Revoked, out.Artifacts[0].Decision.Results[0].Reason)

	src.Since = &verify.Floor{Root: 1, Timestamp: 77}
	_, err = s.Save(t.Context(), g.path("trust.tar"), nil, []promotion.TrustSource{src})
	require.ErrorIs(t, err, promotion.ErrNoState)
}

// One referrer is withdrawn: it is left out, with what refers to it. One of an
// index's images is: nothing is loaded.
func TestArchiveLeavesOutWhatIsWithdrawn(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	x := g.push("1.0")
	g.withdraw(x.sbom.Digest)
	g.saved("full.tar", []string{":1.0"})
	done := g.loaded("full.tar")
	require.Equal(t, 1, done.Referrers, "the note alone")
	require.Contains(t, strings.Join(g.notes, "\n"), x.sbom.Digest.String()+" is left out: wabbit withdrew "+x.sbom.Digest.String()+": leaks secrets")
	_, err := g.to.raw(t).Target.Resolve(t.Context(), x.scan.Digest.String())
	require.Error(t, err)

	h := newGap(t, "1.1", "1.1")
	x = h.push("1.0")
	h.withdraw(x.images[0].Digest)
	h.saved("full.tar", []string{":1.0"})
	_, err = h.load("full.tar")
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
	h.requireNothingWritten()
}

func (g *gap) requireNothingWritten() {
	g.Helper()
	for _, r := range g.to.reg.Log() {
		require.Contains(g, []string{http.MethodGet, http.MethodHead}, r.Method, "%s", r)
	}
}

// An older file after a newer one takes nothing back: neither the trust at the
// destination, nor what this machine remembers, nor what is withdrawn.
func TestOlderArchive(t *testing.T) {
	g := newGap(t, "1.1", "1.0")
	g.push("1.0")
	g.saved("old.tar", []string{":1.0"})
	g.push("1.1")
	g.saved("new.tar", []string{":1.0", ":1.1"})
	g.loaded("new.tar")
	was := g.decide(":1.1", false).Results[0].TimestampVersion

	done := g.loaded("old.tar")
	require.True(t, done.Trust[0].Older)
	require.Contains(t, strings.Join(g.notes, "\n"), "this machine has seen a newer state of wabbit")
	require.Equal(t, was, g.decide(":1.1", false).Results[0].TimestampVersion)
	g.requireAllowed(":1.1")

	// Somebody who remembers nothing: the destination has the newer one.
	g.states, g.cache = verify.OpenStates(filepath.Join(t.TempDir(), "other")), nil
	done = g.loaded("old.tar")
	require.True(t, done.Trust[0].Synced.Behind)
	require.Equal(t, was, g.decide(":1.1", false).Results[0].TimestampVersion)

	// And the withdrawal there counts against the old file.
	x := g.push("1.2")
	g.saved("third.tar", []string{":1.2"})
	g.withdraw(x.index.Digest)
	g.saved("withdrawn.tar", nil)
	g.loaded("withdrawn.tar")
	g.states = verify.OpenStates(filepath.Join(t.TempDir(), "third"))
	_, err := g.load("third.tar")
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
}

// What may not be loaded is not, and neither is what may: nothing is written.
func TestLoadIsAllOrNothing(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	g.push("1.0")
	g.from.raw(t).PushImage(t, "unsigned", "unsigned")
	g.saved("full.tar", []string{":1.0", ":unsigned"})
	out, err := g.load("full.tar")
	require.ErrorIs(t, err, promotion.ErrNotTrusted)
	require.Len(t, out.Artifacts, 2)
	g.requireNothingWritten()

	// Nobody is remembered who was only heard of in a file that was refused.
	st, err := g.states.Load(g.wabbit.Root, nil)
	require.NoError(t, err)
	_, err = st.Get(metadata.RoleTimestamp)
	require.ErrorIs(t, err, os.ErrNotExist)

	// A tag that is taken.
	g.saved("full.tar", []string{":1.0"})
	taken := g.to.raw(t).PushImage(t, "1.0", "other")
	g.to.reg.Reset()
	_, err = g.load("full.tar")
	require.ErrorIs(t, err, registrystore.ErrTagTaken)
	g.requireNothingWritten()
	l := g.loader(g.open("full.tar"))
	l.DryRun = true
	l.Move = true
	done, err := l.Load(t.Context())
	require.NoError(t, err)
	require.False(t, done.Done)
	g.requireNothingWritten()
	l = g.loader(g.open("full.tar"))
	l.Move = true
	_, err = l.Load(t.Context())
	require.NoError(t, err)
	g.requireAllowed(":1.0")
	desc, err := g.to.raw(t).Target.Resolve(t.Context(), "1.0")
	require.NoError(t, err)
	require.NotEqual(t, taken.Digest, desc.Digest)

	// A publisher whom nobody pinned here.
	l = g.loader(g.open("full.tar"))
	l.Pins = nil
	_, err = l.Load(t.Context())
	require.ErrorIs(t, err, promotion.ErrNotPinned)
	require.ErrorContains(t, err, "run: carnet trust add NAME "+g.to.reg.Host+"/trust --root-digest sha256:... --archive ")
}

// What is attached to an artifact is evidence in a file too.
func TestArchiveByAttachmentAlone(t *testing.T) {
	c := newCrossing(t, "1.1", "1.0")
	x := c.push("1.0")
	_, err := c.promoter().Promote(t.Context(), c.ref(c.from, ":1.0"), c.ref(c.to, ":1.0"))
	require.NoError(t, err)
	g := newGap(t, "1.1", "1.1")
	g.crossing.from, g.wabbit, g.pins, g.crossing.trust = c.to, c.wabbit, c.pins, c.trust
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(t, err)
	s := promotion.Saver{From: regs, Now: g.wabbit.Now, Note: g.note}
	_, err = s.Save(t.Context(), g.path("full.tar"), []registrystore.Reference{g.ref(g.from, ":1.0")}, nil)
	require.NoError(t, err)
	require.Empty(t, g.notes)
	done := g.loaded("full.tar")
	require.Equal(t, verify.FromAttachment, done.Artifacts[0].Decision.Results[0].Source)
	g.requireGraph(":1.0", x)

	// Without any evidence nothing is decided.
	h := newGap(t, "1.1", "1.1")
	h.push("1.0")
	s.Note = h.note
	_, err = s.Save(t.Context(), h.path("full.tar"), []registrystore.Reference{h.ref(h.from, ":1.0")}, nil)
	require.NoError(t, err)
	require.Contains(t, strings.Join(h.notes, "\n"), "nothing in the file vouches for what it holds")
	_, err = h.load("full.tar")
	require.ErrorIs(t, err, promotion.ErrUndecided)
	h.requireNothingWritten()
}

// noNetwork fails the test when a socket would be opened.
type noNetwork struct{ t *testing.T }

func (n noNetwork) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("a request to %s", r.URL)
	return nil, errors.New("no network")
}

// Beyond the gap nothing is asked of anybody, by load or by verify; the policy
// decides how late a file may arrive.
func TestLateArchiveWithoutNetwork(t *testing.T) {
	g := newGap(t, "1.1", "layout")
	g.push("1.0")
	g.saved("full.tar", []string{":1.0"})
	g.wabbit.Sleep(72 * time.Hour)
	regs, err := registrystore.New(registrystore.Options{Transport: noNetwork{t}}, g.cache)
	require.NoError(t, err)
	l := g.loader(g.open("full.tar"))
	l.To = regs
	_, err = l.Load(t.Context())
	require.ErrorIs(t, err, promotion.ErrNotTrusted)

	late := g.policy()
	late.Rules[0].Require[0].MaxStaleness = 7 * 24 * time.Hour
	l.Policy = late
	_, err = l.Load(t.Context())
	require.NoError(t, err)
	for policy, want := range map[*verify.Policy]verify.Verdict{g.policy(): verify.Denied, late: verify.Allowed} {
		v, err := verify.New(verify.Options{Registries: regs, Policy: policy, States: g.states, Now: g.wabbit.Now, Offline: true})
		require.NoError(t, err)
		found, err := v.Verify(t.Context(), g.ref(g.to, ":1.0"))
		require.NoError(t, err)
		require.Equal(t, want, found[0].Verdict, found[0].Text())
		require.Equal(t, 72*time.Hour, found[0].Results[0].Age.Round(time.Hour))
		require.Equal(t, fixtures.Epoch, found[0].Results[0].Issued)
	}
}

// Files of two repositories that would become one are refused on both sides.
func TestTwoRepositoriesThatBecomeOne(t *testing.T) {
	g := newGap(t, "1.1", "1.1")
	g.push("1.0")
	other := places["1.1"](t)
	other.raw(t).PushImage(t, "2.0", "other")
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(t, err)
	s := promotion.Saver{From: regs, Now: g.wabbit.Now}
	_, err = s.Save(context.Background(), g.path("full.tar"), []registrystore.Reference{g.ref(g.from, ":1.0"), g.ref(other, ":2.0")}, nil)
	require.ErrorIs(t, err, promotion.ErrSameName)
}
