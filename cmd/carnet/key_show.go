package main

import "github.com/spf13/cobra"

func newKeyShow(c *command) *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show one key",
		Long:    "Show prints what can be told of a key without its passphrase.",
		Example: "  carnet key show alice",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			keys, err := c.keys()
			if err != nil {
				return err
			}
			k, err := keys.Get(args[0])
			if err != nil {
				return err
			}
			return c.answerKey(k)
		},
	}
}
