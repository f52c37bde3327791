package main

import "github.com/spf13/cobra"

func newTrustList(c *command) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the pinned publishers",
		Long:    "List prints each pinned publisher's name, the version and digest of the pinned root, and its trust repositories.",
		Example: "  carnet trust list",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			pins, err := c.pins()
			if err != nil {
				return err
			}
			list, err := pins.List()
			if err != nil {
				return err
			}
			return c.answerPins(list)
		},
	}
}
