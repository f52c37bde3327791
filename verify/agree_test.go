package verify_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

const two = `
version: 1
publishers:
  wabbit: {root: roots/wabbit.json, repositories: [HOST/trust/wabbit]}
  acme: {root: roots/acme.json, repositories: [HOST/trust/acme]}
rules:
`

// agreement is a world with wabbit and acme, and rules about one scope.
func agreement(t *testing.T, require string) (*world, *fixtures.Publisher) {
	w := newWorld(t)
	acme := w.publisher("acme")
	w.policy(two + "  - name: r\n    scope: HOST/**\n    require: " + strings.TrimSpace(require) + "\n")
	return w, acme
}

func (w *world) down(publisher string) *fixtures.Injected {
	return w.reg.Inject(fixtures.Fault{On: fixtures.Get("/trust/" + publisher), Then: fixtures.Status(http.StatusForbidden)})
}

func TestAllMustHold(t *testing.T) {
	w, acme := agreement(t, "[{publisher: wabbit}, {publisher: acme}]")
	a := w.signed("net-monitor", "1.0", "one")
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Denied, verify.OK, verify.NotListed)
	down := w.down("wabbit")
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Denied, verify.Unreachable, verify.NotListed)
	w.vouch(acme, tuf.Vouching{Role: "releases"}, a)
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Undecided, verify.Unreachable, verify.OK)
	down.Remove()
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Allowed, verify.OK, verify.OK)
}

func TestAnyOf(t *testing.T) {
	w, acme := agreement(t, "[{any: [{publisher: wabbit}, {publisher: acme}], threshold: 1}]")
	a := w.signed("net-monitor", "1.0", "one")
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Allowed, verify.OK, verify.NotListed)

	// Who cannot be asked may have withdrawn it, or may vouch.
	down := w.down("acme")
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Undecided, verify.OK, verify.Unreachable)
	w.push("net-monitor", "2.0", "two")
	w.requireReasons(w.verify("HOST/net-monitor:2.0"), verify.Undecided, verify.NotListed, verify.Unreachable)
	down.Remove()

	// A withdrawal by any publisher of the rule denies, whatever the threshold.
	w.withdraw(acme, a.Digest)
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Denied, verify.OK, verify.Revoked)
}

func TestThresholdOfAny(t *testing.T) {
	w, acme := agreement(t, "[{any: [{publisher: wabbit}, {publisher: acme}], threshold: 2}]")
	a := w.signed("net-monitor", "1.0", "one")
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Denied, verify.OK, verify.NotListed)
	down := w.down("wabbit")
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Denied, verify.Unreachable, verify.NotListed)
	down.Remove()
	w.vouch(acme, tuf.Vouching{Role: "releases"}, a)
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Allowed, verify.OK, verify.OK)
}

func TestDisagreement(t *testing.T) {
	w, acme := agreement(t, "[{any: [{publisher: wabbit}, {publisher: acme}], threshold: 1}]")
	w.signed("net-monitor", "1.0", "one")
	b := w.push("net-monitor", "1.0", "two")
	w.vouch(acme, tuf.Vouching{Role: "releases"}, b)
	// The location has one of the two.
	w.requireReasons(w.verify("HOST/net-monitor:1.0"), verify.Allowed, verify.DigestMismatch, verify.OK)
	// Without a location each suffices: there is no telling which is meant.
	w.opts.Resolve = true
	d := w.verify("HOST/net-monitor:1.0")
	w.requireReasons(d, verify.Denied, verify.Disagreement, verify.Disagreement)
	require.Empty(t, d.SignedDigest())
	// Where one must hold, the digest is its.
	w.policy(two + "  - {name: r, scope: HOST/**, require: [{publisher: acme}, {any: [{publisher: wabbit}, {publisher: acme}]}]}\n")
	d = w.verify("HOST/net-monitor:1.0")
	w.requireReasons(d, verify.Allowed, verify.OK, verify.Disagreement, verify.OK)
	require.Equal(t, b.Digest, d.SignedDigest())
}

const promoted = `[{publisher: acme}, {publisher: wabbit, origin-from: acme}]`

func originOf(t *testing.T, p *fixtures.Publisher, target string, root, timestamp int64) *metadata.Origin {
	t.Helper()
	f, err := metadata.Decode(metadata.RoleRoot, p.Root)
	require.NoError(t, err)
	return &metadata.Origin{Publisher: verify.PublisherID(f), Target: target, RootVersion: root, TimestampVersion: timestamp}
}

func TestOriginFrom(t *testing.T) {
	w, acme := agreement(t, promoted)
	a := w.signed("net-monitor", "1.0", "one")
	b := w.push("prod/net-monitor", "1.0", "one")
	promote := func(o *metadata.Origin) verify.Decision {
		w.vouch(acme, tuf.Vouching{Role: "releases", Origin: o}, b)
		return w.verify("HOST/prod/net-monitor:1.0")
	}
	w.requireReasons(w.verify("HOST/prod/net-monitor:1.0"), verify.Denied, verify.NotListed, verify.NotListed)
	w.requireReasons(promote(nil), verify.Denied, verify.OK, verify.NotListed)
	d := promote(originOf(t, w.wabbit, "net-monitor:1.0", 1, 3))
	w.requireReasons(d, verify.Allowed, verify.OK, verify.OK)
	require.Equal(t, "prod/net-monitor:1.0", d.Results[0].Target)
	require.Equal(t, "net-monitor:1.0", d.Results[1].Target)
	require.Equal(t, "net-monitor:1.0", d.Results[0].Origin.Target)
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"origin":{"publisher":"`+d.Results[0].Origin.Publisher+`","target":"net-monitor:1.0","rootVersion":1,"timestampVersion":3},"revocation":null`)
	require.Regexp(t, "^[0-9a-f]{32}$", d.Results[0].Origin.Publisher)

	other := originOf(t, acme, "net-monitor:1.0", 1, 3)
	w.requireReasons(promote(other), verify.Denied, verify.OK, verify.NotListed)
	w.requireReasons(promote(originOf(t, w.wabbit, "net-monitor", 1, 3)), verify.Denied, verify.OK, verify.InvalidMetadata)
	w.requireReasons(promote(originOf(t, w.wabbit, "net-monitor:1.0", 1, 4)), verify.Denied, verify.OK, verify.BelowFloor)
	w.requireReasons(promote(originOf(t, w.wabbit, "net-monitor:1.0", 2, 1)), verify.Denied, verify.OK, verify.BelowFloor)
	w.requireReasons(promote(originOf(t, w.wabbit, "elsewhere:1.0", 1, 3)), verify.Denied, verify.OK, verify.NotListed)

	// The tag moved on upstream; its digest is vouched for still.
	w.signed("net-monitor", "1.0", "two")
	d = promote(originOf(t, w.wabbit, "net-monitor:1.0", 1, 3))
	w.requireReasons(d, verify.Allowed, verify.OK, verify.OK)
	require.Equal(t, "net-monitor@"+a.Digest.String(), d.Results[1].Target)
	// By digest the same holds.
	w.requireReasons(w.verify("HOST/prod/net-monitor@"+b.Digest.String()), verify.Allowed, verify.OK, verify.OK)

	down := w.down("acme")
	w.requireReasons(w.verify("HOST/prod/net-monitor:1.0"), verify.Undecided, verify.Unreachable, verify.Unreachable)
	down.Remove()
	w.withdraw(w.wabbit, a.Digest)
	w.requireReasons(w.verify("HOST/prod/net-monitor:1.0"), verify.Denied, verify.OK, verify.Revoked)
}

func TestOriginOfSomebodyWhoIsNotRequired(t *testing.T) {
	w, acme := agreement(t, "[{publisher: wabbit, origin-from: acme}]")
	w.signed("net-monitor", "1.0", "one")
	b := w.push("prod/net-monitor", "1.0", "one")
	w.vouch(acme, tuf.Vouching{Role: "releases", Origin: originOf(t, w.wabbit, "net-monitor:1.0", 1, 3)}, b)
	w.requireReasons(w.verify("HOST/prod/net-monitor:1.0"), verify.Allowed, verify.OK)
	w.withdraw(acme, b.Digest)
	w.requireReasons(w.verify("HOST/prod/net-monitor:1.0"), verify.Denied, verify.Revoked)
}

func TestStrip(t *testing.T) {
	w := newWorld(t)
	w.signed("net-monitor", "1.0", "one")
	w.push("mirror/wabbit/net-monitor", "1.0", "one")
	w.requireReason("HOST/mirror/wabbit/net-monitor:1.0", verify.Denied, verify.NotListed)
	w.policy(wabbitOnly + "  - {name: mirrored, scope: HOST/mirror/wabbit/**, strip: mirror/wabbit/, require: [{publisher: wabbit}]}\n")
	d := w.requireReason("HOST/mirror/wabbit/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, "net-monitor:1.0", d.Results[0].Target)
	// The scope includes a name that the strip leaves nothing of.
	w.push("mirror/wabbit", "1.0", "one")
	w.requireReason("HOST/mirror/wabbit:1.0", verify.Denied, verify.NotListed)
}
