package verify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// agree lets wabbit's roles dev and security, and none alone, vouch for
// net-monitor.
func (w *world) agree() {
	w.Helper()
	for _, role := range []string{"dev", "security"} {
		w.wabbit.Key(role)
	}
	_, err := w.wabbit.Publish(func(ctx context.Context, d *tuf.Draft) error {
		for _, role := range []string{"dev", "security"} {
			if err := w.draftRole(ctx, d, "targets", role, "net-monitor"); err != nil {
				return err
			}
		}
		return d.SetAgreement(ctx, "security", &metadata.Agreement{Roles: []string{"dev", "security"}, Min: 2})
	})
	require.NoError(w, err)
}

func (w *world) vouchBy(a tuf.Artifact, roles ...string) {
	w.Helper()
	for _, role := range roles {
		w.vouch(w.wabbit, tuf.Vouching{Role: role}, a)
	}
}

func TestRolesDisagree(t *testing.T) {
	w := newWorld(t)
	w.agree()
	a := w.push("net-monitor", "1.0", "one")
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.NotListed)
	w.vouchBy(a, "dev")
	for _, ref := range []string{"HOST/net-monitor:1.0", "HOST/net-monitor@" + a.Digest.String(), "HOST/net-monitor:1.0@" + a.Digest.String()} {
		d := w.requireReason(ref, verify.Denied, verify.Disagreement)
		require.Contains(t, d.Results[0].Message, ": targets demands that 2 of dev, security list the same: dev lists "+a.Digest.String()+", security does not list it")
		require.Empty(t, d.SignedDigest())
		require.Nil(t, d.Results[0].Chain)
	}
	w.vouchBy(a, "security")
	d := w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	require.Equal(t, "vouched for by dev, in agreement with security, 0 s ago", d.Results[0].Message)
	require.Equal(t, []string{"root", "targets", "dev"}, d.Results[0].Chain)
	w.requireReason("HOST/net-monitor@"+a.Digest.String(), verify.Allowed, verify.OK)

	// One of them moves the tag, as a thief of its key may: nothing passes under
	// it, and what both list passes by digest.
	evil := w.push("net-monitor", "1.0", "evil")
	w.vouchBy(evil, "dev")
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Disagreement)
	w.requireReason("HOST/net-monitor@"+evil.Digest.String(), verify.Denied, verify.Disagreement)
	w.requireReason("HOST/net-monitor@"+a.Digest.String(), verify.Allowed, verify.OK)
	w.opts.Resolve = true
	d = w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Disagreement)
	require.Empty(t, d.SignedDigest(), "nothing to resolve to")
	w.opts.Resolve = false

	// What is withdrawn is said to be withdrawn, whoever agrees.
	w.withdraw(w.wabbit, evil.Digest)
	w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Revoked)

	// Beside the names of the agreement one role is enough.
	other := w.push("tool", "1.0", "tool")
	w.vouchBy(other, "releases")
	w.requireReason("HOST/tool:1.0", verify.Allowed, verify.OK)
	// The role that may vouch for everything may not do it here alone.
	third := w.push("net-monitor", "3.0", "three")
	w.vouchBy(third, "releases")
	w.requireReason("HOST/net-monitor:3.0", verify.Denied, verify.Disagreement)
}

// The tag's entry may be agreed on and the digest's not: both have to be.
func TestTagAndDigestNeedAgreement(t *testing.T) {
	w := newWorld(t)
	w.agree()
	a := w.push("net-monitor", "1.0", "one")
	entry := metadata.NewTarget(a.Size, a.Digest)
	for _, role := range []string{"dev", "security"} {
		w.set(w.wabbit, role, "net-monitor:1.0", entry)
	}
	w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
	w.set(w.wabbit, "security", "net-monitor@"+a.Digest.String(), entry)
	d := w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Disagreement)
	require.Contains(t, d.Results[0].Message, "do not agree on net-monitor@"+a.Digest.String()+": ")
	w.set(w.wabbit, "dev", "net-monitor@"+a.Digest.String(), metadata.NewTarget(a.Size+1, a.Digest))
	d = w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Disagreement)
	require.Contains(t, d.Results[0].Message, fmt.Sprintf("security lists %s with %d bytes and not %d", a.Digest, a.Size, a.Size+1))
}

// A mischievous name of a role does nothing to a terminal.
func TestDisagreementIsPrintable(t *testing.T) {
	w := newWorld(t)
	w.wabbit.Key("x\x1b[31m\n")
	w.wabbit.Key("y")
	_, err := w.wabbit.Publish(func(ctx context.Context, d *tuf.Draft) error {
		if err := w.draftRole(ctx, d, "targets", "y", "net-monitor"); err != nil {
			return err
		}
		if err := w.draftRole(ctx, d, "targets", "x\x1b[31m\n", "net-monitor"); err != nil {
			return err
		}
		return d.SetAgreement(ctx, "y", &metadata.Agreement{Roles: []string{"y", "x\x1b[31m\n"}, Min: 2})
	})
	require.NoError(t, err)
	w.vouchBy(w.push("net-monitor", "1.0", "one"), "y")
	d := w.requireReason("HOST/net-monitor:1.0", verify.Denied, verify.Disagreement)
	require.NotContains(t, d.Text(), "\x1b")
	raw, err := json.Marshal(d)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "\x1b")
}

// Who must agree is fetched ahead like all that may vouch: one round for whoever
// knows the publisher, two for others, also if the files are not inlined.
func TestBudgetOfAgreement(t *testing.T) {
	w := newWorld(t)
	w.agree()
	a := w.push("net-monitor", "1.0", "one")
	bulk := []tuf.Artifact{a}
	for i := range 200 {
		bulk = append(bulk, tuf.Artifact{Name: "net-monitor", Tag: fmt.Sprintf("t%d", i), Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
	}
	for _, role := range []string{"dev", "security"} {
		w.vouch(w.wabbit, tuf.Vouching{Role: role}, bulk...)
	}
	rounds := fixtures.CountRounds(t, w.reg)
	measure := func(wantRounds, wantRequests int, state string) {
		t.Helper()
		rounds.Reset()
		w.reg.Reset()
		w.requireReason("HOST/net-monitor:1.0", verify.Allowed, verify.OK)
		require.Equal(t, wantRounds, rounds.Count(), "%s: %v", state, w.reg.Requests())
		require.Len(t, w.reg.Requests(), wantRequests, "%s: %v", state, w.reg.Requests())
	}
	measure(2, 4, "cold: the state, the tag; the two large roles")
	measure(1, 2, "warm: the state, the tag")
}
