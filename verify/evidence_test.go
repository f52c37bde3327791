package verify_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

func (w *world) id(p *fixtures.Publisher) string {
	w.Helper()
	id, err := verify.Pin{Root: p.Root}.ID()
	require.NoError(w, err)
	return id
}

// mirror copies the publisher's newest state to another repository.
func (w *world) mirror(to string) {
	w.Helper()
	_, err := oras.Copy(w.Context(), w.reg.Repository(w, "trust/wabbit").Target, "latest", w.reg.Repository(w, to).Target, "latest", oras.DefaultCopyOptions)
	require.NoError(w, err)
}

// cutOff takes the publisher's own repository away.
func (w *world) cutOff(then fixtures.Action) *fixtures.Injected {
	return w.reg.Inject(fixtures.Fault{On: func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/trust/wabbit/") }, Then: then})
}

// stripped are places whose first part is no part of the name, with a mirror.
const stripped = `
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: [HOST/trust/wabbit, HOST/mirror/MIRROR]}
rules:
  - {name: none, scope: HOST/none/**, strip: none/, require: [{publisher: wabbit}]}
  - {name: old, scope: HOST/old/**, strip: old/, require: [{publisher: wabbit}]}
  - {name: new, scope: HOST/new/**, strip: new/, require: [{publisher: wabbit}]}
`

func (w *world) mirrored(age string) { w.policy(strings.ReplaceAll(stripped, "MIRROR", age)) }

// aged is a world in which a publisher was seen twice: before and after it
// vouched for 2.0 and withdrew 3.0. For both times there is a mirror, a folder
// of what a verifier remembers, and a place to which all three images were
// copied with the evidence of that time; "none" is the place without.
type aged struct {
	*world
	memory string // where the folders are
	cut    *fixtures.Injected
}

// evidence is had before the publisher's repository is cut off.
func (w *aged) evidence(paths ...string) *tuf.Publication {
	w.Helper()
	w.cut.Remove()
	defer func() { w.cut = w.cutOff(fixtures.Status(http.StatusForbidden)) }()
	return w.wabbit.Evidence(paths...)
}

func ages(t *testing.T) *aged {
	w := &aged{newWorld(t), t.TempDir(), nil}
	images := map[string]ocispec.Descriptor{}
	for _, tag := range []string{"1.0", "2.0", "3.0"} {
		for _, place := range []string{"none", "old", "new"} {
			images[tag] = w.reg.Repository(t, place+"/net-monitor").PushImage(t, tag, tag)
		}
	}
	vouch := func(tags ...string) {
		for _, tag := range tags {
			w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, tuf.Artifact{Name: "net-monitor", Tag: tag, Digest: images[tag].Digest, Size: images[tag].Size})
		}
	}
	record := func(age string) {
		w.mirror("mirror/" + age)
		for tag := range images {
			w.attachFiles("HOST/"+age+"/net-monitor:"+tag, w.id(w.wabbit), w.wabbit.Evidence("net-monitor:"+tag, metadata.DigestPath("net-monitor", images[tag].Digest)))
		}
		w.dir, w.cache = filepath.Join(t.TempDir(), age), filepath.Join(t.TempDir(), age)
		w.root("wabbit", w.wabbit.Root)
		w.mirrored(age)
		w.requireReason("HOST/none/net-monitor:1.0", verify.Allowed, verify.OK)
		require.NoError(t, os.CopyFS(filepath.Join(w.memory, age), os.DirFS(w.dir)))
		require.NoError(t, os.CopyFS(filepath.Join(w.memory, age+".cache"), os.DirFS(w.cache)))
	}
	vouch("1.0", "3.0")
	record("old")
	vouch("2.0")
	w.withdraw(w.wabbit, images["3.0"].Digest)
	record("new")
	w.cut = w.cutOff(fixtures.Status(http.StatusForbidden))
	return w
}

// recall makes the verifier one that saw the publisher at that time.
func (w *aged) recall(age string) {
	w.Helper()
	w.dir, w.cache = filepath.Join(w.TempDir(), "config"), filepath.Join(w.TempDir(), "cache")
	if age == "none" {
		w.root("wabbit", w.wabbit.Root)
		return
	}
	require.NoError(w, os.CopyFS(w.dir, os.DirFS(filepath.Join(w.memory, age))))
	require.NoError(w, os.CopyFS(w.cache, os.DirFS(filepath.Join(w.memory, age+".cache"))))
}

// outcome says what must come of an image, by the ages of what there is.
func outcome(tag, mirror, attached, memory string) (verify.Verdict, verify.Reason) {
	is := func(age string, in ...string) bool {
		for _, s := range in {
			if s == age {
				return true
			}
		}
		return false
	}
	switch {
	case tag == "3.0" && (is("new", memory, mirror) || mirror == "none" && attached == "new"):
		return verify.Denied, verify.Revoked // whoever knows binds all
	case mirror == "none" && attached == "none":
		return verify.Undecided, verify.Unreachable
	case mirror == "old" && attached == "none" && memory == "new":
		return verify.Denied, verify.Rollback
	case tag == "2.0" && !is("new", mirror, attached, memory):
		return verify.Denied, verify.NotListed
	}
	return verify.Allowed, verify.OK
}

// Any mix of a mirror, of evidence and of what is remembered: the newest
// counts, a withdrawal known from one binds the others, and evidence is not
// asked for where a repository vouches.
func TestEvidenceOfAllAges(t *testing.T) {
	w := ages(t)
	for _, tag := range []string{"1.0", "2.0", "3.0"} {
		for _, mirror := range []string{"none", "old", "new"} {
			for _, attached := range []string{"none", "old", "new"} {
				for _, memory := range []string{"none", "old", "new"} {
					t.Run(fmt.Sprintf("%s mirror %s attached %s memory %s", tag, mirror, attached, memory), func(t *testing.T) {
						here := *w.world
						here.T = t
						w := &aged{&here, w.memory, w.cut}
						w.recall(memory)
						w.mirrored(mirror)
						verdict, reason := outcome(tag, mirror, attached, memory)
						for range 2 { // what was learned changes nothing
							w.requireReason("HOST/"+attached+"/net-monitor:"+tag, verdict, reason)
						}
					})
				}
			}
		}
	}
}

// Whoever may push can lay the newest honest evidence beside what nobody
// vouches for. It is read, and not remembered: the mirror that is behind it
// still serves.
func TestEvidenceThatTellsNothingIsNotRemembered(t *testing.T) {
	w := ages(t)
	w.recall("old")
	w.reg.Repository(t, "none/junk").PushImage(t, "1.0", "junk")
	w.attachFiles("HOST/none/junk:1.0", w.id(w.wabbit), w.evidence("junk:1.0"))
	for _, mirror := range []string{"none", "old"} {
		w.mirrored(mirror)
		w.requireReason("HOST/none/junk:1.0", verify.Denied, verify.NotListed)
	}
	d := w.requireReason("HOST/none/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromRegistry, d.Results[0].Source)
	// Together with others it takes nothing from them either, also where it
	// lacks what they need.
	p := w.evidence("junk:1.0")
	p.Roles = slices.DeleteFunc(p.Roles, func(f tuf.File) bool { return f.Role == "releases" })
	w.attachFiles("HOST/none/junk:1.0", w.id(w.wabbit), p)
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/none/junk/blobs/"), Then: fixtures.Status(http.StatusNotFound)})
	out, err := w.verifier().Verify(t.Context(), w.ref("HOST/none/net-monitor:1.0"), w.ref("HOST/none/junk:1.0"))
	require.NoError(t, err)
	w.requireReasons(out[0], verify.Allowed, verify.OK)
	w.requireReasons(out[1], verify.Denied, verify.NotListed)
}

// Half of the evidence proves nothing: it neither helps nor is remembered.
func TestTornEvidenceIsNotRemembered(t *testing.T) {
	garbage := []byte("other bytes")
	for name, tear := range map[string]func(*tuf.Publication){
		"no roles": func(p *tuf.Publication) {
			for i, f := range p.Roles {
				p.Roles[i] = tuf.NewFile(f.Role, f.Version, garbage)
			}
		},
		"no snapshot": func(p *tuf.Publication) { p.Snapshot = tuf.NewFile(metadata.RoleSnapshot, p.Snapshot.Version, garbage) },
	} {
		t.Run(name, func(t *testing.T) {
			w := ages(t)
			w.recall("old")
			w.mirrored("none")
			p := w.evidence("net-monitor:2.0")
			tear(p)
			w.attachFiles("HOST/none/net-monitor:2.0", w.id(w.wabbit), p)
			// The lax registry would give files of other repositories by their digests.
			w.reg.Inject(fixtures.Fault{On: fixtures.Get("/none/net-monitor/blobs/"), Then: fixtures.Status(http.StatusNotFound)})
			w.requireReason("HOST/none/net-monitor:2.0", verify.Undecided, verify.Unreachable)
			w.mirrored("old")
			w.requireReason("HOST/none/net-monitor:1.0", verify.Allowed, verify.OK)
		})
	}
}

// A mirror that is behind what an artifact brought along rolls nothing back:
// it never showed it. Once it did, to be behind it is a rollback.
func TestRepositoryBehindWhatWasAttached(t *testing.T) {
	w := ages(t)
	w.recall("old")
	w.mirrored("old")
	d := w.requireReason("HOST/new/net-monitor:2.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromAttachment, d.Results[0].Source)
	d = w.requireReason("HOST/none/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromAttachment, d.Results[0].Source)
	require.Contains(t, strings.Join(d.Notes, "\n"), "behind what was attached")
	w.requireReason("HOST/none/net-monitor:3.0", verify.Denied, verify.Revoked)
	w.mirrored("new")
	d = w.requireReason("HOST/none/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, verify.FromRegistry, d.Results[0].Source)
	w.mirrored("old")
	w.requireReason("HOST/none/net-monitor:1.0", verify.Denied, verify.Rollback)
}

// However the publisher's own registry fails, what came along suffices.
func TestOriginalRegistryUnreachable(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	for name, then := range map[string]fixtures.Action{
		"closed port": nil, "silent": fixtures.Stall, "failing": fixtures.Status(http.StatusInternalServerError),
		"unauthorised": fixtures.Status(http.StatusUnauthorized), "forbidden": fixtures.Status(http.StatusForbidden),
		"gone": fixtures.Status(http.StatusNotFound), "broken off": fixtures.DropBefore, "another page": fixtures.Serve([]byte("<html>log in here</html>")),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.signed("net-monitor", "1.0", "one")
			w.attach("HOST/net-monitor:1.0")
			w.dir, w.cache = t.TempDir(), t.TempDir()
			w.root("wabbit", w.wabbit.Root)
			w.policy(wabbitOnly)
			if then == nil {
				w.policy(strings.Replace(wabbitOnly, "HOST/trust", closed.Addr().String()+"/trust", 1))
			} else {
				w.cutOff(then)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
			defer cancel()
			out, err := w.verifier().Verify(ctx, w.ref("HOST/net-monitor:1.0"))
			require.NoError(t, err)
			w.requireReasons(out[0], verify.Allowed, verify.OK)
			require.Equal(t, verify.FromAttachment, out[0].Results[0].Source)
			require.NotEmpty(t, out[0].Notes)
		})
	}
}

// The manifests of an index are asked for by digest: each has evidence of its own.
func TestPlatformByAttachment(t *testing.T) {
	onBoth(t, func(w *world) {
		index, children := w.reg.Repository(w, "net-monitor").PushIndex(w, "1.0", "one")
		a := tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: index.Digest, Size: index.Size}
		for _, c := range children {
			a.Manifests = append(a.Manifests, tuf.Artifact{Name: a.Name, Digest: c.Digest, Size: c.Size})
		}
		w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, a)
		child := "net-monitor@" + children[1].Digest.String()
		files := w.wabbit.Evidence("net-monitor:1.0", child)
		w.attachFiles("HOST/net-monitor:1.0", w.id(w.wabbit), files)
		w.alone()
		w.requireReason("HOST/"+child, verify.Undecided, verify.Unreachable)
		regs, err := registrystore.New(registrystore.Options{}, nil)
		require.NoError(w, err)
		repo, err := regs.Artifacts(w.ref("HOST/net-monitor:1.0").Repository)
		require.NoError(w, err)
		_, _, err = repo.Attach(w.Context(), children[1], w.id(w.wabbit), files)
		require.NoError(w, err)
		w.requireReason("HOST/"+child, verify.Allowed, verify.OK)
		out, err := w.verifier().VerifyRecursive(w.Context(), w.ref("HOST/net-monitor:1.0"))
		require.NoError(w, err)
		require.Equal(w, 0, verify.ExitCode(out))
	})
}

const originFrom = `
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: [HOST/trust/wabbit, HOST/mirror/wabbit]}
  acme: {root: roots/acme.json, repositories: [HOST/trust/acme]}
  thief: {root: roots/thief.json, repositories: [HOST/trust/thief]}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: wabbit, origin-from: acme}]}
`

// What acme recorded leads to wabbit's word, by what is attached alone. Nobody
// else's record does, and what acme saw of wabbit is a floor.
func TestOriginByAttachment(t *testing.T) {
	w := newWorld(t)
	acme, thief := w.publisher("acme"), w.publisher("thief")
	a := w.signed("net-monitor", "1.0", "one")
	w.mirror("mirror/wabbit")
	old := w.wabbit.Evidence("net-monitor:1.0")
	w.refresh(w.wabbit)
	newer := w.wabbit.Evidence("net-monitor:1.0")
	seen := w.wabbit.Client()
	origin := &metadata.Origin{Publisher: w.id(w.wabbit), Target: "net-monitor:1.0", RootVersion: 1, TimestampVersion: seen.Timestamp().Version}
	copied := w.push("prod/app", "1.0-x", "one")
	require.Equal(t, a.Digest, copied.Digest)
	w.vouch(thief, tuf.Vouching{Role: "releases", Origin: origin}, copied)
	w.root("acme", acme.Root)
	w.root("thief", thief.Root)
	w.policy(originFrom)
	path := "prod/app:1.0-x"
	d := w.requireReason("HOST/"+path, verify.Denied, verify.NotListed)
	require.Contains(t, d.Results[0].Message, "acme")
	w.vouch(acme, tuf.Vouching{Role: "releases", Origin: origin}, copied)
	w.requireReason("HOST/"+path, verify.Allowed, verify.OK)

	forget := func() {
		w.dir, w.cache = t.TempDir(), t.TempDir()
		for name, p := range map[string]*fixtures.Publisher{"wabbit": w.wabbit, "acme": acme, "thief": thief} {
			w.root(name, p.Root)
		}
		w.policy(originFrom)
	}
	w.cutOff(fixtures.Status(http.StatusForbidden))
	forget() // only the mirror is left, from before acme looked
	w.requireReason("HOST/"+path, verify.Denied, verify.BelowFloor)
	w.attachFiles("HOST/"+path, w.id(w.wabbit), old)
	w.requireReason("HOST/"+path, verify.Denied, verify.BelowFloor)
	w.attachFiles("HOST/"+path, w.id(w.wabbit), newer)
	d = w.requireReason("HOST/"+path, verify.Allowed, verify.OK)
	require.Equal(t, "net-monitor:1.0", d.Results[0].Target)

	// Neither publisher can be asked, nor the mirror.
	w.attachFiles("HOST/"+path, w.id(acme), acme.Evidence(path))
	w.reg.Inject(fixtures.Fault{On: func(r *http.Request) bool {
		return strings.Contains(r.URL.Path, "/trust/") || strings.Contains(r.URL.Path, "/mirror/")
	}, Then: fixtures.Status(http.StatusForbidden)})
	forget()
	d = w.requireReason("HOST/"+path, verify.Allowed, verify.OK)
	require.Equal(t, verify.FromAttachment, d.Results[0].Source)
}

// Who holds an old key, or the publisher's own old files, gets nothing for them
// from a verifier that remembers or was told a floor, and from others until
// they expire or grow older than max-age.
func TestReplayedEvidence(t *testing.T) {
	w := newWorld(t)
	bad := w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	before := w.wabbit.Client().Timestamp().Version
	w.withdraw(w.wabbit, bad.Digest)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
	seen := w.dir
	w.alone()
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK) // promised no more than that
	w.opts.Floors = map[string]verify.Floor{"wabbit": {Root: 1, Timestamp: before + 1}}
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.BelowFloor)
	w.opts.Floors = nil
	w.dir = seen
	w.policy(wabbitOnly)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
	w.dir = t.TempDir()
	w.root("wabbit", w.wabbit.Root)
	w.policy(wabbitOnly)
	w.wabbit.Sleep(2 * time.Hour)
	w.opts.MaxAge = time.Hour
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Stale)
	w.opts.MaxAge = 0
	w.wabbit.Sleep(2 * day)
	require.False(t, w.verify("HOST/net-monitor:1.0").Allowed())
}

// A registry that shows one list to some and another to others cannot make
// answers contradict each other for one verifier: what it saw stays.
func TestListsThatDifferFromRequestToRequest(t *testing.T) {
	w := newWorld(t)
	bad := w.signed("net-monitor", "1.0", "one")
	w.attach("HOST/net-monitor:1.0")
	w.withdraw(w.wabbit, bad.Digest)
	w.attachFiles("HOST/net-monitor:1.0", w.id(w.wabbit), w.wabbit.Evidence("net-monitor:1.0"))
	w.alone()
	hidden := w.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: fixtures.Status(http.StatusNotFound)})
	_ = w.verify("HOST/net-monitor:1.0") // whichever the list names
	hidden.Remove()
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/trust."), Then: fixtures.Status(http.StatusNotFound)})
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
}

// Evidence is not asked for where it could change nothing.
func TestWhereNoEvidenceIsAskedFor(t *testing.T) {
	w := newWorld(t)
	bad, good := w.signed("net-monitor", "1.0", "one"), w.signed("net-monitor", "2.0", "two")
	w.attach("HOST/net-monitor:1.0")
	w.withdraw(w.wabbit, bad.Digest)
	w.reg.Reset()
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
	w.requireReason("HOST/net-monitor:2.0@"+bad.Digest.String(), verify.Denied, verify.DigestMismatch)
	w.reg.Inject(fixtures.Fault{On: fixtures.Head("/net-monitor/manifests/2.0"), Then: fixtures.Status(http.StatusForbidden)})
	w.requireReason("HOST/net-monitor:2.0@"+good.Digest.String(), verify.Undecided, verify.Unreachable)
	require.Zero(t, w.asked("/manifests/trust."), "%v", w.reg.Requests())
}

// Two requirements that ask one publisher ask for its evidence once.
func TestEvidenceIsAskedForOnce(t *testing.T) {
	w := newWorld(t)
	acme := w.publisher("acme")
	w.root("acme", acme.Root)
	w.signed("net-monitor", "1.0", "one")
	w.policy(`
version: 1
publishers:
  wabbit: {root: roots/wabbit.json}
  acme: {root: roots/acme.json}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: acme}, {publisher: wabbit, origin-from: acme}]}
`)
	w.reg.Reset()
	w.verify("HOST/net-monitor:1.0")
	require.Equal(t, 2, w.asked("/manifests/trust."), "%v", w.reg.Requests())
}

// A mirror that is behind still gives the files that did not change.
func TestMirrorThatIsBehindGivesFiles(t *testing.T) {
	w := newWorld(t)
	w.reg = fixtures.Distribution(t) // keeps blobs by repository
	w.wabbit = fixtures.NewPublisher(t, w.reg.Host+"/trust/wabbit", registrystore.Options{})
	w.wabbit.Delegate("other", "other", "other-dev")
	w.wabbit.Delegate("releases", "net-monitor", "wabbit-dev")
	w.root("wabbit", w.wabbit.Root)
	w.policy(strings.Replace(wabbitOnly, "HOST/trust/wabbit", "HOST/mirror/wabbit", 1))
	w.vouch(w.wabbit, tuf.Vouching{Role: "other"}, w.push("other", "1.0", "other"))
	w.mirror("mirror/wabbit")
	a := w.push("net-monitor", "1.0", "one")
	w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, a)
	w.attachFiles("HOST/net-monitor:1.0", w.id(w.wabbit), w.wabbit.Evidence("net-monitor:1.0", metadata.DigestPath("net-monitor", a.Digest)))
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	w.cache = t.TempDir()
	w.requireReason("HOST/other:1.0", verify.Allowed, verify.OK)
	// The same where evidence is read again.
	w.cache = t.TempDir()
	out, err := w.verifier().Verify(t.Context(), w.ref("HOST/net-monitor:1.0"), w.ref("HOST/other:1.0"))
	require.NoError(t, err)
	w.requireReasons(out[0], verify.Allowed, verify.OK)
	w.requireReasons(out[1], verify.Allowed, verify.OK)
}

// What is withdrawn in one evidence is remembered against all older one.
func TestWithdrawalInEvidenceIsRemembered(t *testing.T) {
	w := ages(t)
	w.recall("none")
	w.mirrored("none")
	w.requireReason("HOST/old/net-monitor:3.0", verify.Allowed, verify.OK)
	w.requireReason("HOST/new/net-monitor:3.0", verify.Denied, verify.Revoked)
	w.requireReason("HOST/old/net-monitor:3.0", verify.Denied, verify.Revoked)
	w.mirrored("old")
	w.requireReason("HOST/none/net-monitor:3.0", verify.Denied, verify.Revoked)
}

// A repository that shows newer metadata, though expired, refutes older
// evidence that is not.
func TestEvidenceOlderThanAnExpiredRepository(t *testing.T) {
	w := newWorld(t)
	l := newRoot(t, "")
	a := w.push("net-monitor", "1.0", "one")
	entries := map[string]metadata.Target{"net-monitor:1.0": {Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())}}
	w.root("foreign", l.root)
	w.policy(foreignOnly)
	id, err := verify.Pin{Root: l.root}.ID()
	require.NoError(t, err)
	old := l.publishUntil(w, fixtures.Epoch.Add(30*day), 1, l.key, [][]byte{l.root}, entries)
	w.attachFiles("HOST/net-monitor:1.0", id, old)
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	l.publishUntil(w, fixtures.Epoch.Add(day), 2, l.key, [][]byte{l.root}, map[string]metadata.Target{})
	w.wabbit.Sleep(2 * day)
	w.dir, w.cache = t.TempDir(), t.TempDir()
	w.root("foreign", l.root)
	w.policy(foreignOnly)
	d := w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Expired)
	require.Contains(t, strings.Join(d.Notes, "\n"), "what is attached does not help")
}
