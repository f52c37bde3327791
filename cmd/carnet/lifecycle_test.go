package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/verify"
)

// step is a command of a publisher's life.
type step struct {
	command string
	// how a reference is seen after it; "" for as before
	tag, night verify.Reason
	vault      bool // run on the machine that has one root key and nothing else
}

// life is a publisher's life. $TAG is vouched for by releases, $NIGHT by a role
// that is added later; net-monitor:1.0 is vouched for all the time.
var life = []step{
	{command: "key generate two --no-passphrase"},
	{command: "key generate three --no-passphrase"},
	{command: "key generate late --no-passphrase"},
	{command: "refresh"},
	{command: "sign $TAG", tag: verify.OK},
	{command: "rotate releases --add two"},
	{command: "rotate releases --threshold 2"},
	{command: "rotate releases --add three --remove dev --threshold 1"},
	{command: "revoke artifact $TAG --reason broken", tag: verify.Revoked},
	{command: "revoke key three"},
	{command: "revoke artifact $TAG --undo", tag: verify.OK},
	{command: "refresh --role targets --role releases --role revocations"},
	{command: "delegate add nightly --path net-monitor --key late"},
	{command: "sign $NIGHT --role nightly", night: verify.OK},
	{command: "delegate add one --path other --key late"},
	{command: "delegate add other --path other --key three --agree one,other"},
	{command: "delegate agree other --none"},
	{command: "revoke role other --self"},
	{command: "delegate remove other"},
	// Every top-level role.
	{command: "rotate root --add two"},
	{command: "rotate root --remove wabbit-root"},
	{command: "refresh --role root"},
	{command: "rotate targets --add three --remove wabbit-targets"},
	{command: "rotate revocations --add three --remove wabbit-revocations"},
	{command: "writer add two"},
	{command: "writer remove wabbit-online"},
	{command: "rotate timestamp --add three"},
	{command: "rotate timestamp --remove three"},
	{command: "writer replace two three --dry-run"},
	{command: "writer replace two three"},
	// A root key that is elsewhere, and what needs it.
	{command: "rotate root --add file:$VAULT/vault.pub --threshold 2"},
	{command: "propose list"},
	{command: "approve", vault: true},
	{command: "refresh"},
	{command: "writer add wabbit-online"},
	{command: "approve", vault: true},
	{command: "refresh"},
	// What a stolen key vouched for.
	{command: "audit key late"},
	{command: "audit key late --since 0 --withdraw --reason stolen", night: verify.Revoked},
	{command: "rotate nightly --add two --remove late"},
	{command: "delegate remove nightly"},
	{command: "revoke artifact $TAG --reason again", tag: verify.Revoked},
	{command: "prune --keep 1 --pause 0s"},
	{command: "refresh"},
}

// Every command of a publisher's life is run while verifiers look on: they see
// what was before it, or what is after it, and nothing else.
func TestOnlookersSeeBeforeOrAfter(t *testing.T) {
	onPlaces(t, func(t *testing.T, s *stage, _ *fixtures.Registry) {
		s.repo.PushImage(t, "2.0", "two")
		s.repo.PushImage(t, "night", "night")
		tag, night := s.repo.Ref("2.0"), s.repo.Ref("night")
		vault := s.vault()
		of := strings.NewReplacer("$TAG", tag, "$NIGHT", night, "$VAULT", vault.home)
		now := map[string]verify.Reason{tag: verify.NotListed, night: verify.NotListed}
		o := s.watch(s.repo.Ref("1.0"), tag, night)
		o.expect(now)
		for _, step := range life {
			after := maps.Clone(now)
			for ref, reason := range map[string]verify.Reason{tag: step.tag, night: step.night} {
				if reason != "" {
					after[ref] = reason
				}
			}
			o.expect(now, after)
			m := s.machine
			if step.vault {
				m = vault
			}
			m.must(strings.Fields(of.Replace(step.command))...)
			o.expect(after)
			now = after
		}
		o.stop()
	})
}

// vault is a machine that pins the publisher and has one key, vault, which it
// hands out in a file.
func (s *stage) vault() *machine {
	m := newMachine(s.t)
	require.NoError(s.t, os.CopyFS(filepath.Join(m.home, "config", "publishers"), os.DirFS(filepath.Join(s.home, "config", "publishers"))))
	m.must("key", "generate", "vault", "--no-passphrase")
	require.NoError(s.t, os.WriteFile(filepath.Join(m.home, "vault.pub"), []byte(m.must("key", "export", "vault")), 0o600))
	return m
}
