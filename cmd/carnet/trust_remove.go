package main

import "github.com/spf13/cobra"

func newTrustRemove(c *command) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Trust a publisher no longer",
		Long: `Remove takes a pin away. What was seen of the publisher stays remembered: pinned
again, it cannot be rolled back.`,
		Example: "  carnet trust remove wabbit",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			pins, err := c.pins()
			if err != nil {
				return err
			}
			if err := pins.Remove(args[0]); err != nil {
				return err
			}
			c.say("%s is no longer pinned", args[0])
			return nil
		},
	}
}
