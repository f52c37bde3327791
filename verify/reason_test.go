package verify_test

import (
	"context"
	"encoding/json"
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

func TestOK(t *testing.T) {
	w := newWorld(t)
	a := w.push("net-monitor", "1.0", "one")
	w.vouch(w.wabbit, tuf.Vouching{Role: "releases", Claims: map[string]string{"stage": "prod"}}, a)
	w.wabbit.Sleep(41 * time.Second)
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, a.Digest, d.Digest)
	require.Equal(t, a.Digest, d.SignedDigest())
	require.Equal(t, "vouched for by releases, 41 s ago", d.Results[0].Message)

	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.Equal(t, `{"reference":"`+w.reg.Host+`/net-monitor:1.0","digest":"`+a.Digest.String()+`","allowed":true,"policy":"all",`+
		`"results":[{"publisher":"wabbit","satisfied":true,"reason":"ok","message":"vouched for by releases, 41 s ago",`+
		`"signedDigest":"`+a.Digest.String()+`","rootVersion":1,"timestampVersion":3,"issued":"2026-11-24T12:00:00Z","age":41,"expires":"2026-11-25T12:00:00Z",`+
		`"source":"registry","chain":["root","targets","releases"],"target":"net-monitor:1.0","claims":{"stage":"prod"},"origin":null,"revocation":null}]}`, string(raw))
	require.Equal(t, 0, verify.ExitCode([]verify.Decision{d}))
	require.Contains(t, d.Text(), "net-monitor:1.0: allowed by rule \"all\"\n")

	w.requireReason("HOST/net-monitor@"+a.Digest.String(), verify.Allowed, verify.OK)
	w.requireReason("HOST/net-monitor:1.0@"+a.Digest.String(), verify.Allowed, verify.OK)
}

func TestNotListed(t *testing.T) {
	w := newWorld(t)
	a := w.signed("net-monitor", "1.0", "one")
	w.push("net-monitor", "2.0", "two")
	w.requireReason("HOST/net-monitor:2.0", verify.Denied, verify.NotListed)
	// The signed image under another name, by tag and by digest.
	w.push("other", "1.0", "one")
	w.requireReason("HOST/other:1.0", verify.Denied, verify.NotListed)
	w.requireReason("HOST/other@"+a.Digest.String(), verify.Denied, verify.NotListed)
}

func TestRole(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.policy(wabbitOnly + "  - {name: prod, scope: HOST/net-monitor, require: [{publisher: wabbit, role: production}]}\n")
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.NotListed)
	w.policy(wabbitOnly + "  - {name: prod, scope: HOST/net-monitor, require: [{publisher: wabbit, role: releases}]}\n")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
}

func TestTagMovedBack(t *testing.T) {
	w := newWorld(t)
	old := w.signed("net-monitor", "1.0", "vulnerable")
	w.signed("net-monitor", "1.0", "fixed")
	w.push("net-monitor", "1.0", "vulnerable") // by an attacker with push access
	d := w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.DigestMismatch)
	require.Equal(t, old.Digest, d.Digest)
	require.NotEqual(t, old.Digest, d.Results[0].SignedDigest)
}

func TestTagAndDigestDisagree(t *testing.T) {
	w := newWorld(t)
	old := w.signed("net-monitor", "1.0", "one")
	now := w.signed("net-monitor", "1.0", "two")
	d := w.requireReason("HOST/net-monitor:1.0@"+old.Digest.String(), verify.Denied, verify.DigestMismatch)
	require.Equal(t, now.Digest, d.Digest)
	// So it is where nothing is signed: the question is wrong.
	w.push("unsigned", "1.0", "one")
	w.requireReason("HOST/unsigned:1.0@"+now.Digest.String(), verify.Denied, verify.DigestMismatch)
	// The location goes along with the reference, the signed tag does not.
	w.push("net-monitor", "1.0", "one")
	w.requireReason("HOST/net-monitor:1.0@"+old.Digest.String(), verify.Denied, verify.DigestMismatch)
}

func TestResolve(t *testing.T) {
	w := newWorld(t)
	w.push("net-monitor", "1.0", "old")
	a := w.push("net-monitor", "", "new")
	a.Tag = "1.0"
	w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, a) // the tag has not moved yet
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.DigestMismatch)
	w.opts.Resolve = true
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, a.Digest, d.SignedDigest())
	require.NotEqual(t, a.Digest, d.Digest)
	require.Contains(t, d.Text(), "use "+a.Digest.String(), "not what is at the tag, which is said too")
	w.requireReason("HOST/net-monitor:1.0@"+a.Digest.String(), verify.Allowed, verify.OK)
	other := w.push("net-monitor", "", "other")
	w.requireReason("HOST/net-monitor:1.0@"+other.Digest.String(), verify.Denied, verify.DigestMismatch)
	w.reg.Inject(fixtures.Fault{On: fixtures.Head("/net-monitor/"), Then: fixtures.Status(http.StatusNotFound)})
	d = w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Empty(t, d.Digest)
	w.withdraw(w.wabbit, a.Digest)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
}

func TestRevoked(t *testing.T) {
	w := newWorld(t)
	a := w.signed("net-monitor", "1.0", "one")
	w.signed("net-monitor", "1.1", "two")
	w.withdraw(w.wabbit, a.Digest)
	d := w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
	require.Equal(t, "CVE-2026-1", d.Results[0].Revocation.Advisory)
	require.NotContains(t, d.Text(), "\x1b", "what a terminal acts on")
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"revocation":{"reason":"leaks\u001b[31m secrets","advisory":"CVE-2026-1","replacedBy":"net-monitor:1.1","by":"security","at":"2026-11-24T12:00:00Z"}`)
	w.requireReason("HOST/net-monitor@"+a.Digest.String(), verify.Denied, verify.Revoked)
	w.requireReason("HOST/net-monitor:1.1", verify.Allowed, verify.OK)
	// Under a name and a tag that nobody ever signed.
	w.push("other", "9", "one")
	w.requireReason("HOST/other:9", verify.Denied, verify.Revoked)
}

func TestWithdrawalRoleNeverVouches(t *testing.T) {
	w := newWorld(t)
	a := w.push("net-monitor", "1.0", "one")
	w.set(w.wabbit, tuf.RoleWithdrawals, "net-monitor:1.0", metadata.Target{Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())})
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.NotListed)
	// A withdrawn tag that was signed anew passes, its old digest does not.
	w.vouch(w.wabbit, tuf.Vouching{Role: "releases"}, a)
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
}

func TestExpiredAndStaleness(t *testing.T) {
	w := newWorld(t)
	a := w.signed("net-monitor", "1.0", "one")
	bad := w.signed("net-monitor", "0.9", "bad")
	w.withdraw(w.wabbit, bad.Digest)
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	w.wabbit.Sleep(day)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Expired)
	w.requireReason("HOST/net-monitor@"+a.Digest.String(), verify.Denied, verify.Expired)
	w.requireReason("HOST/net-monitor:0.9", verify.Denied, verify.Revoked)

	// One update serves two requirements, each by its own bound.
	w.policy(wabbitOnly +
		"  - {name: courier, scope: HOST/net-monitor, require: [{publisher: wabbit, max-staleness: 48h}]}\n" +
		"  - {name: hurried, scope: HOST/hurried, require: [{publisher: wabbit, max-staleness: 1h}]}\n")
	w.push("hurried", "1.0", "one")
	w.wabbit.Sleep(2 * time.Hour)
	out, err := w.verifier().Verify(t.Context(), w.ref("HOST/net-monitor:1.0"), w.ref("HOST/hurried:1.0"))
	require.NoError(t, err)
	w.requireReasons(out[0], verify.Allowed, verify.OK)
	w.requireReasons(out[1], verify.Denied, verify.Expired)

	w.wabbit.Sleep(2 * day)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Expired)
	w.refresh(w.wabbit)
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
}

func TestStale(t *testing.T) {
	w := newWorld(t)
	a := w.signed("net-monitor", "1.0", "one")
	w.policy(wabbitOnly + "  - {name: young, scope: HOST/net-monitor, require: [{publisher: wabbit, max-age: 1h}]}\n")
	w.wabbit.Sleep(time.Hour)
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	w.wabbit.Sleep(time.Second)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Stale)
	w.requireReason("HOST/net-monitor@"+a.Digest.String(), verify.Denied, verify.Stale)
	w.opts.MaxAge = 2 * time.Hour
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	w.opts.MaxAge = time.Minute
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Stale)
}

func TestRollback(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	old, err := w.wabbit.Source().Latest(t.Context())
	require.NoError(t, err)
	w.signed("net-monitor", "1.1", "two")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	// The repository goes back, and hides the newer states.
	require.NoError(t, w.wabbit.Source().Advance(t.Context(), old))
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/trust/wabbit/tags/list"), Then: fixtures.Serve([]byte(`{"name":"trust/wabbit","tags":["latest"]}`))})
	d := w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Rollback)
	require.NotEmpty(t, d.Notes)
	// Somebody without a memory cannot tell; a floor can.
	w.dir, w.cache = filepath.Join(w.dir, "fresh"), filepath.Join(w.dir, "fresh-cache")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	w.opts.Floors = map[string]verify.Floor{"wabbit": {Root: 1, Timestamp: 4}}
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.BelowFloor)
}

func TestMirrorBehindIsNoAttack(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.policy(`
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: [HOST/mirror, HOST/trust/wabbit]}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: wabbit}]}
`)
	mirror(w, "mirror")
	w.signed("net-monitor", "1.1", "two")
	w.requireReason("HOST/net-monitor:1.1", verify.Allowed, verify.OK)
	d := w.requireReason("HOST/net-monitor:1.1", verify.Allowed, verify.OK)
	require.Len(t, d.Notes, 1, "the mirror that is behind is told")

	// One of two repositories is down.
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/v2/mirror/"), Then: fixtures.Status(http.StatusForbidden)})
	d = w.requireReason("HOST/net-monitor:1.1", verify.Allowed, verify.OK)
	require.Len(t, d.Notes, 1)
}

// mirror copies wabbit's newest state to another repository.
func mirror(w *world, name string) {
	w.Helper()
	src := w.wabbit.Source()
	p, err := src.Latest(w.Context())
	require.NoError(w, err)
	for _, f := range []*[]tuf.File{&p.Roots, &p.Roles} {
		for i := range *f {
			(*f)[i].Data, err = src.Fetch(w.Context(), (*f)[i])
			require.NoError(w, err)
		}
	}
	regs, err := registrystore.New(registrystore.Options{}, nil)
	require.NoError(w, err)
	dst, err := regs.OpenTrust(w.reg.Host + "/" + name)
	require.NoError(w, err)
	_, err = dst.Commit(w.Context(), p)
	require.NoError(w, err)
	require.NoError(w, dst.Advance(w.Context(), p))
}

func TestThreshold(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	other := w.publisher("other")
	// wabbit's root, and another publisher's metadata.
	w.policy(`
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: [HOST/trust/other]}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: wabbit}]}
`)
	require.NotEqual(t, w.wabbit.Root, other.Root)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Threshold)
}

func TestInvalidMetadata(t *testing.T) {
	w := newWorld(t)
	a := w.push("net-monitor", "1.0", "one")
	entry := metadata.Target{Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())}
	wrong := entry
	wrong.Length++
	w.set(w.wabbit, "releases", "net-monitor:1.0", wrong)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.InvalidMetadata)

	w.set(w.wabbit, "releases", "net-monitor:1.0", entry)
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)

	// The digest's entry contradicts the tag's.
	w.set(w.wabbit, "releases", "net-monitor@"+a.Digest.String(), wrong)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.InvalidMetadata)
	other := metadata.Target{Length: a.Size, Hashes: fixtures.Target("other").Hashes}
	w.set(w.wabbit, "releases", "net-monitor@"+a.Digest.String(), other)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.InvalidMetadata)
	w.requireReason("HOST/net-monitor@"+a.Digest.String(), verify.Denied, verify.InvalidMetadata)
}

func TestNewerStatementIsInvalid(t *testing.T) {
	w := newWorld(t)
	a := w.push("net-monitor", "1.0", "one")
	custom, err := metadata.Parse([]byte(`{"carnet":{"critical":["quorum"],"quorum":"2"}}`))
	require.NoError(t, err)
	w.set(w.wabbit, "releases", "net-monitor:1.0", metadata.Target{Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded()), Custom: custom})
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.InvalidMetadata)
}

func TestClaimMismatch(t *testing.T) {
	w := newWorld(t)
	w.policy(wabbitOnly + "  - {name: prod, scope: HOST/net-monitor, require: [{publisher: wabbit, claims: {stage: prod, tested: \"yes\"}}]}\n")
	a := w.push("net-monitor", "1.0", "one")
	for _, c := range []struct {
		claims map[string]string
		want   verify.Reason
	}{
		{nil, verify.ClaimMismatch},
		{map[string]string{"stage": "prod"}, verify.ClaimMismatch},
		{map[string]string{"stage": "prod", "tested": "no"}, verify.ClaimMismatch},
		{map[string]string{"stage": "prod", "tested": "yes", "more": "1"}, verify.OK},
	} {
		w.vouch(w.wabbit, tuf.Vouching{Role: "releases", Claims: c.claims}, a)
		require.Equal(t, c.want, w.verify("HOST/net-monitor:1.0").Results[0].Reason)
	}
}

func TestUnknownPublisher(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	pins := verify.OpenPins(filepath.Join(w.dir, "pins"))
	alone := func() {
		p, err := verify.PublisherPolicy(pins, "wabbit")
		require.NoError(t, err)
		w.opts.Policy = p
	}
	alone()
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.UnknownPublisher)
	require.NoError(t, pins.Add(verify.Pin{Name: "wabbit", Root: w.wabbit.Root, Repositories: []string{w.reg.Host + "/trust/wabbit"}}))
	alone()
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
}

func TestNoPolicy(t *testing.T) {
	w := newWorld(t)
	d := w.requireReason("elsewhere.example/net-monitor:1.0", verify.Denied, verify.NoPolicy)
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"digest":null,"allowed":false,"policy":null,"results":[{"publisher":null,"satisfied":false,"reason":"no-policy"`)
}

func TestUnreachableIsNoVerdict(t *testing.T) {
	w := newWorld(t)
	a := w.signed("net-monitor", "1.0", "one")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	down := w.reg.Inject(fixtures.Fault{On: fixtures.Get("/trust/"), Then: fixtures.Status(http.StatusForbidden)})
	d := w.requireReason("HOST/net-monitor:1.0", verify.Undecided, verify.Unreachable)
	require.False(t, d.Allowed())
	require.Equal(t, 3, verify.ExitCode([]verify.Decision{d}))
	down.Remove()

	// The location cannot be asked, and everything else holds.
	down = w.reg.Inject(fixtures.Fault{On: fixtures.Head("/net-monitor/"), Then: fixtures.Status(http.StatusForbidden)})
	w.requireReason("HOST/net-monitor:1.0", verify.Undecided, verify.Unreachable)
	w.requireReason("HOST/net-monitor:2.0", verify.Denied, verify.NotListed)
	down.Remove()

	// What was seen to be withdrawn stays withdrawn when nobody answers.
	w.withdraw(w.wabbit, a.Digest)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
	w.reg.Inject(fixtures.Fault{On: fixtures.Get("/trust/"), Then: fixtures.Status(http.StatusForbidden)})
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)
}

func TestGarbageAndOversizedLatest(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	for _, body := range [][]byte{[]byte("garbage"), make([]byte, metadata.MaxManifest+1), []byte(`{"schemaVersion":2,"layers":[]}`)} {
		bad := w.reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), Then: fixtures.Serve(body)})
		// The listed states help.
		w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
		hidden := w.reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Then: fixtures.Serve([]byte(`{"name":"trust/wabbit","tags":[]}`))})
		w.requireReason("HOST/net-monitor:1.0", verify.Undecided, verify.Unreachable)
		bad.Remove()
		hidden.Remove()
	}
}

func TestAt(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.opts.At = w.wabbit.Now().Add(2 * day)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Expired)
	w.opts.At = w.wabbit.Now().Add(-2 * day)
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Zero(t, *d.Results[0].Age)
	_, err := os.Stat(filepath.Join(w.dir, "state"))
	require.ErrorIs(t, err, os.ErrNotExist, "a question of what if is not remembered")
}

func TestLevels(t *testing.T) {
	w := newWorld(t)
	w.push("net-monitor", "1.0", "one")
	w.policy(wabbitOnly +
		"  - {name: watched, scope: HOST/net-monitor, level: warn, require: [{publisher: wabbit}]}\n" +
		"  - {name: free, scope: HOST/free, level: skip}\n" +
		"  - {name: closed, scope: HOST/closed/**, require: []}\n")
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.NotListed)
	w.reg.Reset()
	d := w.verify("HOST/free:1")
	require.True(t, d.Allowed())
	require.Empty(t, d.Results)
	w.requireReason("HOST/closed:1", verify.Denied, verify.NotListed)
	require.Empty(t, w.reg.Requests(), "nobody is asked")
}

func TestExitCode(t *testing.T) {
	allowed, denied, undecided := verify.Decision{Verdict: verify.Allowed}, verify.Decision{Verdict: verify.Denied}, verify.Decision{}
	require.Equal(t, 0, verify.ExitCode(nil))
	require.Equal(t, 0, verify.ExitCode([]verify.Decision{allowed}))
	require.Equal(t, 3, verify.ExitCode([]verify.Decision{allowed, undecided}))
	require.Equal(t, 1, verify.ExitCode([]verify.Decision{undecided, denied, allowed}))
}

func TestReferenceWithoutTagOrDigest(t *testing.T) {
	w := newWorld(t)
	_, err := w.verifier().Verify(context.Background(), registrystore.Reference{Repository: registrystore.Repository{Host: "a.example", Name: "b"}})
	require.ErrorIs(t, err, registrystore.ErrReference)
}
