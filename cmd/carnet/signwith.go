package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

// signWithFlag adds --key to a publishing verb: keys that sign in this run
// beside those of the keystore.
func signWithFlag(cmd *cobra.Command, c *command) {
	cmd.Flags().StringArrayVar(&c.signWith, "key", nil, "`key` to sign with in this run beside those of the keystore, like env:NAME; may be repeated")
}

// bringKeys puts the keys of --key at hand.
func (c *command) bringKeys(ctx context.Context) error {
	for _, arg := range c.signWith {
		k, err := c.key(ctx, arg)
		if err != nil {
			return err
		}
		if !k.Private {
			return fmt.Errorf("--key %s: %w: only the public key is there", arg, tuf.ErrNoKey)
		}
	}
	return nil
}

// opener looks up keys that are named by URI.
func (c *command) opener() *signers.Opener {
	var talk io.Writer
	if !c.flags.quiet {
		talk = c.stderr
	}
	return &signers.Opener{
		Getenv: os.LookupEnv,
		Passphrase: func(ctx context.Context, uri string) ([]byte, error) {
			return c.passphraseOf(ctx, "Passphrase of "+uri+": ")
		},
		PIN:    func(ctx context.Context, token string) ([]byte, error) { return c.pin(ctx, token) },
		Stderr: talk,
	}
}
