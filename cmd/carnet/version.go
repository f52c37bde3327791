package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set when the binary is linked.
var version = "development"

func newVersion(c *command) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "Version prints which carnet this is.",
		Example: "  carnet version -o json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
			return c.answer(v, func(w io.Writer) {
				fmt.Fprintf(w, "carnet %s %s %s\n", v["version"], v["go"], v["platform"])
			})
		},
	}
}
