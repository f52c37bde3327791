package main

import (
	"errors"

	"github.com/spf13/cobra"
)

var errNotSettled = errors.New("published, and not settled when the time was over: no timestamp by a refresher's key descends from it yet")

func newRevoke(c *command) *cobra.Command {
	return group("revoke", "Take back what was vouched for, or the trust in a key",
		"Revoke withdraws a single artifact, takes a key away from its roles, or lets a role\ngive itself up. All take effect with the next look of a verifier, and at the latest\nafter its max-age.", groupPublisher,
		newRevokeArtifact(c), newRevokeKey(c), newRevokeRole(c))
}
