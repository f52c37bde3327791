package main

import (
	"io"

	"github.com/spf13/cobra"
)

func newPolicyShow(c *command) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "Print the policy",
		Long:    "Show prints the policy file as it is.",
		Example: "  carnet policy show",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := c.policyFile(file)
			if err != nil {
				return err
			}
			raw, err := readInput(c, path)
			if err != nil {
				return err
			}
			return c.answer(map[string]string{"path": path, "policy": string(raw)}, func(w io.Writer) { _, _ = w.Write(raw) })
		},
	}
	policyFlag(cmd, &file)
	return cmd
}
