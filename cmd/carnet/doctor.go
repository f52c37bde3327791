package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/registrystore"
)

func newDoctor(c *command) *cobra.Command {
	return &cobra.Command{
		Use:     "doctor REPO",
		Short:   "Find out what a registry can do, and what Carnet does about it",
		GroupID: groupPublisher,
		Long: `Doctor tries out what the registry of REPO can do, and says for each finding what
Carnet does about it. It writes small probes into REPO and takes them away again
where the registry lets it; without the right to write it tries what can be read.
Give it a repository for the purpose, or the trust repository.`,
		Example: "  carnet doctor registry.example/trust",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := registrystore.ParseRepository(args[0], c.flags.layoutRoot)
			if err != nil {
				return err
			}
			regs, err := c.registry()
			if err != nil {
				return err
			}
			findings, err := regs.Doctor(cmd.Context(), repo)
			if err != nil {
				return err
			}
			return c.answer(findings, func(w io.Writer) { findingsText(w, findings) })
		},
	}
}

func findingsText(w io.Writer, findings []registrystore.Finding) {
	for _, f := range findings {
		fmt.Fprintf(w, "%-25s %s\n", f.Name, printable(f.Result))
		for _, line := range []string{f.Detail, f.Carnet} {
			if line != "" {
				fmt.Fprintf(w, "  %s\n", printable(line))
			}
		}
	}
}
