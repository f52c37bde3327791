package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

func newKeyExport(c *command) *cobra.Command {
	var private bool
	cmd := &cobra.Command{
		Use:   "export KEY",
		Short: "Print a key for other tools and people",
		Long: `Export prints the public key: in PEM, or with -o json as TUF lists it. With
--private it prints the private key of the keystore as it is stored, encrypted if
it is.`,
		Example: "  carnet key export alice > alice.pub\n  carnet key export env:RELEASE_KEY -o json > release.json\n  carnet key export alice --private > alice.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if private && c.flags.output == "json" {
				return usagef("--private prints PEM: leave -o json out")
			}
			return c.exportKey(cmd.Context(), args[0], private)
		},
	}
	cmd.Flags().BoolVar(&private, "private", false, "print the private key as it is stored")
	return cmd
}

func (c *command) exportKey(ctx context.Context, arg string, private bool) error {
	if private {
		return c.exportPrivate(arg)
	}
	k, err := c.publicKey(ctx, arg)
	if err != nil {
		return err
	}
	out, err := tuf.EncodePublicKey(k)
	if err != nil {
		return err
	}
	return c.answer(json.RawMessage(k.JSON()), func(w io.Writer) { fmt.Fprintf(w, "%s", out) })
}

func (c *command) exportPrivate(name string) error {
	if signers.IsURI(name) {
		return usagef("--private %s: want a key of the keystore by its name", name)
	}
	keys, err := c.keys()
	if err != nil {
		return err
	}
	out, err := keys.PrivatePEM(name)
	if err != nil {
		return err
	}
	return c.answer(nil, func(w io.Writer) { fmt.Fprintf(w, "%s", out) })
}
