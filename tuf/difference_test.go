package tuf_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// publisherWithEverything has files in which every member that Carnet writes
// stands somewhere.
func publisherWithEverything(t *testing.T) *fixtures.Publisher {
	p := fixtures.NewLayoutPublisher(t)
	p.Delegate("releases", "net-monitor", "dev", "ann")
	p.Delegate("team", "team/**", "ann")
	p.Delegate("both", "team/both", "bob")
	p.Delegate("check", "team/both", "eve")
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		return d.SetAgreement(ctx, "both", &metadata.Agreement{Roles: []string{"both", "check"}, Min: 2})
	})
	require.NoError(t, err)
	child := tuf.Artifact{Name: "net-monitor", Digest: digest.FromString("child"), Size: 5}
	index := tuf.Artifact{Name: "net-monitor", Tag: "1.0", Digest: digest.FromString("index"), Size: 5, MediaType: "application/vnd.oci.image.index.v1+json", ArtifactType: "application/x", Manifests: []tuf.Artifact{child}}
	_, err = p.Vouch(tuf.Vouching{
		Role: "releases", Claims: map[string]string{"stage": "prod", "empty": ""},
		Origin: &metadata.Origin{Publisher: "0123456789abcdef0123456789abcdef", Target: "other:1.0", RootVersion: 1, TimestampVersion: 8},
	}, index)
	require.NoError(t, err)
	_, err = p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		n := &metadata.Notice{Digest: digest.FromString("bad"), Reason: "leaks", Advisory: "CVE-2026-1", ReplacedBy: "net-monitor:1.1", By: "ann", At: fixtures.Epoch}
		_, e, err := d.Withdrawals(ctx)
		require.NoError(t, err)
		return errors.Join(
			d.SetTarget(ctx, e, metadata.WithdrawnPath(n.Digest), n.Entry()),
			d.SetTarget(ctx, e, "net-monitor:0.9", n.Entry()))
	})
	require.NoError(t, err)
	return p
}

func fileOf(t *testing.T, state *tuf.State, role string) []byte {
	pub := state.Publication()
	f := pub.Targets
	if role != metadata.RoleTargets {
		var ok bool
		f, ok = pub.Role(role)
		require.True(t, ok)
	}
	require.NotEmpty(t, f.Data)
	return f.Data
}

func words(t *testing.T, list []*tuf.Difference, name func(metadata.Key) string) string {
	t.Helper()
	var b bytes.Buffer
	for _, d := range list {
		require.NoError(t, d.Text(&b, name))
	}
	return b.String()
}

// A preview says what a release manager wants to know before it is published,
// and publishes nothing.
func TestPreviewInWords(t *testing.T) {
	p := publisherWithEverything(t)
	ann, bob := p.Key("ann").Key(), p.Key("bob").Key()
	name := func(k metadata.Key) string {
		for _, who := range []string{"ann", "bob", "dev"} {
			if k.ID() == p.Key(who).Key().ID() {
				return who
			}
		}
		return ""
	}
	short := func(k metadata.Key) string { return k.ID()[:12] }
	before := stateOf(t, p)
	list, err := tuf.NewRepository(p.Options()).Preview(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		edge, err := d.Edge(ctx, "releases")
		require.NoError(t, err)
		two := fixtures.Target("two")
		return errors.Join(
			d.SetKeys(ctx, "releases", metadata.Keys{ann.ID(): ann, bob.ID(): bob}, 2),
			d.SetTarget(ctx, edge, "net-monitor:2.0", two.WithStatement(metadata.Statement{Claims: map[string]string{"stage": "prod"}})),
			d.SetTarget(ctx, edge, "net-monitor:1.0", two),
			d.DropTarget(ctx, edge, "net-monitor@sha256:"+digest.FromString("child").Encoded()),
			d.Undelegate(ctx, "team"),
			d.Delegate(ctx, metadata.RoleTargets, metadata.Delegation{
				Name: "qa", RoleKeys: metadata.RoleKeys{KeyIDs: []string{bob.ID()}, Threshold: 1}, Paths: []string{"net-monitor:*-rc"}, Terminating: true,
			}, metadata.Keys{bob.ID(): bob}))
	})
	require.NoError(t, err)
	require.Equal(t, before, stateOf(t, p), "nothing is published")
	require.Equal(t, `targets: version 6 → 7
  valid till 2027-11-24T12:00:00Z
  the role releases: key dev (ed25519, `+short(p.Key("dev").Key())+`) removed
  the role releases: key bob (ed25519, `+short(bob)+`) added
  the role releases: threshold 1 → 2: so many of its 2 keys must sign
  the role qa: trusted from now on, searched in place 5
  the role qa: key bob (ed25519, `+short(bob)+`) added
  the role qa: 1 of its 1 keys must sign
  the role qa: trusted with the paths net-monitor:*-rc
  the role qa: no role after it is asked for its paths (terminating)
  the role team: trusted no longer
  the role team: key ann (ed25519, `+short(ann)+`) removed
  the role team: no longer trusted with the paths team:*
  the role team: no longer trusted with the paths team@*
  the role team: no longer trusted with the paths team/*
  the role team: no longer trusted with the paths team/*/*
  the role team: no longer trusted with the paths team/*/*/*
  the role team: no longer trusted with the paths team/*/*/*/*
  the role team: no longer trusted with the paths team/*/*/*/*/*
  the role team: no longer trusted with the paths team/*/*/*/*/*/*
  the role team: no longer trusted with the paths team/*/*/*/*/*/*/*
qa: version 1, of a new role
  valid till 2027-11-24T12:00:00Z
releases: version 2 → 3
  valid till 2027-11-24T12:00:00Z
  vouches for net-monitor:1.0 = sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3, before otherwise:
    hash sha256, before: 1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6
    hash sha256, after:  3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3
    length, before: 5
    length, after:  3
    no longer media type: application/vnd.oci.image.index.v1+json
    no longer artifact type: application/x
    no longer signed at: 2026-11-24T12:00:00Z
    no longer claim empty: ""
    no longer claim stage: "prod"
    no longer origin: publisher: 0123456789abcdef0123456789abcdef
    no longer origin: target: other:1.0
    no longer origin: root version: 1
    no longer origin: timestamp version: 8
  vouches for net-monitor:2.0 = sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3
    length: 3
    claim stage: "prod"
  no longer vouches for net-monitor@sha256:ddc9e669194254cef019a29d3619a2c16592e5d52e1a81e98b01bd52319149a3 = sha256:ddc9e669194254cef019a29d3619a2c16592e5d52e1a81e98b01bd52319149a3
`, words(t, list, name))
}

func stateOf(t *testing.T, p *fixtures.Publisher) string {
	state, err := tuf.NewRepository(p.Options()).Load(t.Context())
	require.NoError(t, err)
	return state.Publication().Identity()
}

func TestPreviewOfWithdrawals(t *testing.T) {
	p := publisherWithEverything(t)
	good, bad := digest.FromString("good"), digest.FromString("bad")
	list, err := tuf.NewRepository(p.Options()).Preview(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		_, e, err := d.Withdrawals(ctx)
		require.NoError(t, err)
		n := &metadata.Notice{Digest: good, Reason: "oops \u202eesrever", By: "bob", At: fixtures.Epoch}
		return errors.Join(
			d.DropTarget(ctx, e, metadata.WithdrawnPath(bad)),
			d.SetTarget(ctx, e, "net-monitor:0.9", n.Entry()),
			d.SetTarget(ctx, e, "net-monitor:1.0", n.Entry()),
			d.SetTarget(ctx, e, metadata.WithdrawnPath(good), n.Entry()))
	})
	require.NoError(t, err)
	require.Equal(t, `revocations: version 2 → 3, which withdraws
  valid till 2027-11-24T12:00:00Z
  withdraws `+good.String()+`
    withdrawn: `+good.String()+`
    reason: "oops \u202eesrever"
    by: "bob"
    withdrawn at: 2026-11-24T12:00:00Z
  denies net-monitor:0.9, since `+good.String()+` is withdrawn, before otherwise:
    withdrawn, before: `+bad.String()+`
    withdrawn, after:  `+good.String()+`
    reason, before: "leaks"
    reason, after:  "oops \u202eesrever"
    by, before: "ann"
    by, after:  "bob"
    no longer advisory: CVE-2026-1
    no longer replaced by: net-monitor:1.1
  denies net-monitor:1.0, since `+good.String()+` is withdrawn
  no longer withdraws `+bad.String()+`: reason "leaks"
`, words(t, list, nil))
}

func TestPreviewOfARoot(t *testing.T) {
	p := publisherWithEverything(t)
	root, second, online, writer := p.Key("root").Key(), p.Key("second").Key(), p.Key("online").Key(), p.Key("writer").Key()
	name := func(k metadata.Key) string {
		return map[string]string{root.ID(): "root", second.ID(): "second", online.ID(): "online", writer.ID(): "writer"}[k.ID()]
	}
	of := func(who string, k metadata.Key) string { return "key " + who + " (ed25519, " + k.ID()[:12] + ")" }
	list, err := tuf.NewRepository(p.Options()).Preview(t.Context(), nil, func(ctx context.Context, d *tuf.Draft) error {
		d.EditRoot().Carnet.Name = "Rabbit"
		d.EditRoot().Carnet.Expiry = map[string]time.Duration{"root": 48 * time.Hour}
		return errors.Join(
			d.SetKeys(ctx, metadata.RoleRoot, metadata.Keys{root.ID(): root, second.ID(): second}, 2),
			d.SetWriters(ctx, metadata.Keys{online.ID(): online, writer.ID(): writer}, []string{online.ID(), writer.ID()}),
			d.SetKeys(ctx, metadata.RoleTargets, metadata.Keys{second.ID(): second}, 1))
	})
	require.NoError(t, err)
	targets := p.Key("targets").Key()
	require.Equal(t, `root: version 1 → 2
  valid till 2026-11-26T12:00:00Z, before till 2027-11-24T12:00:00Z
  the publisher's name, before: "Wabbit Networks"
  the publisher's name, after:  "Rabbit"
  new files of root live for 48h0m0s, before 8760h0m0s (the default)
  refreshers: `+of("writer", writer)+` added
  the role root: `+of("second", second)+` added
  the role root: threshold 1 → 2: so many of its 2 keys must sign
  the role targets: key `+targets.ID()+` (ed25519) removed
  the role targets: `+of("second", second)+` added
  the role snapshot: `+of("writer", writer)+` added
  the role snapshot: threshold stays 1: so many of its 2 keys must sign, before of 1
  the role timestamp: `+of("writer", writer)+` added
  the role timestamp: threshold stays 1: so many of its 2 keys must sign, before of 1
targets: version 6 → 7
  valid till 2027-11-24T12:00:00Z
  nothing else changes
`, words(t, list, name))

	list, err = tuf.NewRepository(p.Options()).Preview(t.Context(), nil, func(_ context.Context, d *tuf.Draft) error {
		d.EditRoot()
		return nil
	})
	require.NoError(t, err)
	require.Empty(t, list, "a root that says the same is not signed")
}

// What a preview says is what is published: held for a change of each kind.
func TestPreviewIsWhatIsPublished(t *testing.T) {
	p := publisherWithEverything(t)
	key := p.Key("new").Key()
	for name, change := range map[string]func(context.Context, *tuf.Draft) error{
		"root": func(ctx context.Context, d *tuf.Draft) error {
			return d.SetKeys(ctx, metadata.RoleTargets, metadata.Keys{key.ID(): key}, 1)
		},
		"role": func(ctx context.Context, d *tuf.Draft) error {
			return d.SetKeys(ctx, "releases", metadata.Keys{key.ID(): key}, 1)
		},
		"renewed":  func(ctx context.Context, d *tuf.Draft) error { return d.Renew(ctx, metadata.RoleRoot) },
		"given up": func(ctx context.Context, d *tuf.Draft) error { return d.GiveUp(ctx, "team") },
	} {
		before, err := tuf.NewRepository(p.Options()).Load(t.Context())
		require.NoError(t, err, name)
		said, err := tuf.NewRepository(p.Options()).Preview(t.Context(), nil, change)
		require.NoError(t, err, name)
		require.NotEmpty(t, said, name)
		_, err = p.Publish(change)
		require.NoError(t, err, name)
		after, err := tuf.NewRepository(p.Options()).Load(t.Context())
		require.NoError(t, err, name)
		for _, d := range said {
			done, err := tuf.Compare(delegations.Edge{Role: d.Role}, versionOf(t, before, d.Role), versionOf(t, after, d.Role))
			require.NoError(t, err, name)
			require.Equal(t, words(t, []*tuf.Difference{done}, nil), words(t, []*tuf.Difference{d}, nil), name)
		}
	}
}

func versionOf(t *testing.T, state *tuf.State, role string) *metadata.File {
	if role == metadata.RoleRoot {
		return state.Root()
	}
	return decodedFile(t, role, fileOf(t, state, role))
}
