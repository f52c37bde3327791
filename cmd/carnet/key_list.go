package main

import "github.com/spf13/cobra"

func newKeyList(c *command) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the keys at hand",
		Long:    "List prints each key's name, scheme, whether its private part is here, and its TUF key ID.",
		Example: "  carnet key list",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			keys, err := c.keys()
			if err != nil {
				return err
			}
			list, damaged := keys.List()
			if err := c.answerKeys(list); err != nil {
				return err
			}
			return damaged
		},
	}
}
