package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/verify"
)

func newPolicyCheck(c *command) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Find the mistakes in the policy",
		Long:    "Check reads the policy and the roots that it names, and says what is wrong, line by line (exit code 2).",
		Example: "  carnet policy check\n  carnet policy check --policy prod.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := c.policyFile(file)
			if err != nil {
				return err
			}
			pins, err := c.pins()
			if err != nil {
				return err
			}
			if err := verify.CheckPolicy(path, pins); err != nil {
				return usage(err)
			}
			return c.answer(map[string]string{"policy": path, "result": "ok"}, func(w io.Writer) { fmt.Fprintf(w, "%s: ok\n", path) })
		},
	}
	policyFlag(cmd, &file)
	return cmd
}
