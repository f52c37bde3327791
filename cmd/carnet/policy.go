package main

import (
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

func newPolicy(c *command) *cobra.Command {
	return group("policy", "Say what must vouch for what", `The policy is the file policy.yaml in the configuration folder. For each
repository the rule with the longest matching scope says which publishers must
vouch for what is there, and how fresh their word must be.`, groupVerifier,
		newPolicyInit(c), newPolicyShow(c), newPolicyCheck(c), newPolicyExplain(c))
}

// policyFlag adds --policy.
func policyFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "policy", "", "policy `file` in place of policy.yaml in the configuration folder")
}

// policyPath returns the policy file that a verb is about.
func (c *command) policyPath(file string) (string, error) {
	if file != "" {
		return file, nil
	}
	return c.config("policy.yaml")
}

// policyFile is policyPath for a file that must be there.
func (c *command) policyFile(file string) (string, error) {
	path, err := c.policyPath(file)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", usagef("there is no policy at %s: write one with `carnet policy init`, or let one publisher decide with --publisher", path)
	}
	return path, nil
}
