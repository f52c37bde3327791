package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

func newPolicyExplain(c *command) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "explain REF",
		Short:   "Say which rule decides about a reference, and what it demands",
		Long:    "Explain says which rule of the policy decides about REF, why that one, and what it demands. Nobody is asked.",
		Example: "  carnet policy explain registry.example/prod/net-monitor:1.0",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			ref, err := registrystore.ParseReference(args[0], c.flags.layoutRoot)
			if err != nil {
				return err
			}
			policy, err := c.policy(file)
			if err != nil {
				return err
			}
			text := policy.Explain(ref)
			return c.answer(map[string]string{"reference": ref.String(), "explanation": text}, func(w io.Writer) { _, _ = io.WriteString(w, text) })
		},
	}
	policyFlag(cmd, &file)
	return cmd
}

// policy reads the policy file that a verb is about.
func (c *command) policy(file string) (*verify.Policy, error) {
	path, err := c.policyFile(file)
	if err != nil {
		return nil, err
	}
	pins, err := c.pins()
	if err != nil {
		return nil, err
	}
	c.detail("policy %s", path)
	p, err := verify.LoadPolicy(path, pins)
	return p, usage(err)
}
