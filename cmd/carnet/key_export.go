package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
)

func newKeyExport(c *command) *cobra.Command {
	var private bool
	cmd := &cobra.Command{
		Use:   "export NAME",
		Short: "Print a key for other tools and people",
		Long: `Export prints the public key: in PEM, or with -o json as TUF lists it. With
--private it prints the private key as it is stored, encrypted if it is.`,
		Example: "  carnet key export alice > alice.pub\n  carnet key export alice --private > alice.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if private && c.flags.output == "json" {
				return usagef("--private prints PEM: leave -o json out")
			}
			keys, err := c.keys()
			if err != nil {
				return err
			}
			return c.exportKey(keys, args[0], private)
		},
	}
	cmd.Flags().BoolVar(&private, "private", false, "print the private key as it is stored")
	return cmd
}

func (c *command) exportKey(keys *tuf.Keystore, name string, private bool) error {
	k, err := keys.Get(name)
	if err != nil {
		return err
	}
	out, err := tuf.EncodePublicKey(k.Key)
	if private {
		out, err = keys.PrivatePEM(name)
	}
	if err != nil {
		return err
	}
	return c.answer(json.RawMessage(k.Key.JSON()), func(w io.Writer) { fmt.Fprintf(w, "%s", out) })
}
