package main

import "github.com/spf13/cobra"

func newKeyShow(c *command) *cobra.Command {
	return &cobra.Command{
		Use:     "show KEY",
		Short:   "Show one key",
		Long:    "Show prints what can be told of a key, and where its private part is. It asks for\nnothing for a key of the keystore.",
		Example: "  carnet key show alice\n  carnet key show file:bob.pub",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.key(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return c.answerKey(k)
		},
	}
}
