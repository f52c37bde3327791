package main

import (
	"strings"
	"testing"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/verify"
)

// step is a command of a publisher's life and how the changing reference is
// seen after it; "" for as before.
type step struct {
	command string
	after   verify.Reason
}

// life is a publisher's life from its second role to its last rotation. $TAG
// is the reference that changes, $TEAM one that a role of its own vouches for.
var life = []step{
	{command: "key generate two --no-passphrase"},
	{command: "key generate three --no-passphrase"},
	{command: "refresh"},
	{command: "sign $TAG", after: verify.OK},
	{command: "rotate releases --add two"},
	{command: "rotate releases --threshold 2"},
	{command: "rotate releases --add three --remove dev --threshold 1"},
	{command: "revoke artifact $TAG --reason broken", after: verify.Revoked},
	{command: "revoke key three"},
	{command: "revoke artifact $TAG --undo", after: verify.OK},
	{command: "refresh --role targets --role releases --role revocations"},
	{command: "key generate team --no-passphrase"},
	{command: "delegate add team --path net-monitor --key team --terminating"},
	{command: "delegate remove team"},
	{command: "rotate root --add two"},
	{command: "rotate root --remove wabbit-root"},
	{command: "refresh --role root"},
	{command: "rotate targets --add three --remove wabbit-targets"},
	{command: "rotate revocations --add three --remove wabbit-revocations"},
	{command: "rotate timestamp --add two"},
	{command: "rotate timestamp --remove wabbit-online"},
	{command: "rotate snapshot --add three --remove wabbit-online"},
	{command: "revoke artifact $TAG --reason again", after: verify.Revoked},
	{command: "prune --keep 1 --pause 0s"},
	{command: "refresh"},
}

// Every command of a publisher's life is run while verifiers look on: they see
// what was before it, or what is after it, and nothing else.
func TestOnlookersSeeBeforeOrAfter(t *testing.T) {
	onPlaces(t, func(t *testing.T, s *stage, _ *fixtures.Registry) {
		s.repo.PushImage(t, "2.0", "two")
		tag := s.repo.Ref("2.0")
		before := verify.NotListed
		o := s.watch(s.repo.Ref("1.0"), tag)
		o.expect(map[string][]verify.Reason{tag: {before}})
		for _, step := range life {
			after := before
			if step.after != "" {
				after = step.after
			}
			o.expect(map[string][]verify.Reason{tag: {before, after}})
			s.must(strings.Fields(strings.ReplaceAll(step.command, "$TAG", tag))...)
			o.expect(map[string][]verify.Reason{tag: {after}})
			before = after
		}
		o.stop()
	})
}
