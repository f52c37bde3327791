package main

import (
	"context"
	"crypto/rand"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
)

func newKeyGenerate(c *command) *cobra.Command {
	var keyType string
	var noPassphrase bool
	cmd := &cobra.Command{
		Use:     "generate NAME",
		Short:   "Make a key",
		Long:    "Generate makes a key and keeps it under NAME. A name that is taken is refused.",
		Example: "  carnet key generate alice\n  carnet key generate ci --type ecdsa-p256 --no-passphrase",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.generateKey(cmd.Context(), args[0], keyType, noPassphrase)
			if err != nil {
				return err
			}
			return c.answerKey(k)
		},
	}
	cmd.Flags().Var(oneOf(&keyType, tuf.KeyEd25519, tuf.KeyECDSAP256, tuf.KeyRSA3072), "type", "kind of key")
	cmd.Flags().BoolVar(&noPassphrase, "no-passphrase", false, "leave the private key unencrypted")
	return cmd
}

// generateKey makes a key; it asks for a passphrase unless there is to be none.
func (c *command) generateKey(ctx context.Context, name, keyType string, noPassphrase bool) (tuf.StoredKey, error) {
	keys, err := c.keys()
	if err != nil {
		return tuf.StoredKey{}, err
	}
	passphrase, err := c.passphraseUnless(ctx, noPassphrase, keys, name)
	if err != nil {
		return tuf.StoredKey{}, err
	}
	return keys.Generate(rand.Reader, name, keyType, passphrase)
}

// passphraseUnless returns a new passphrase, or nil if there is to be none.
// It asks only if the name is free.
func (c *command) passphraseUnless(ctx context.Context, none bool, keys *tuf.Keystore, name string) ([]byte, error) {
	if err := keys.Free(name); err != nil || none {
		return nil, err
	}
	return c.newPassphrase(ctx, "key "+name)
}
