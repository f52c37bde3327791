package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

func newKeyAdd(c *command) *cobra.Command {
	return &cobra.Command{
		Use:   "add NAME URI",
		Short: "Name a private key that stays where it is",
		Long: `Add keeps under NAME where a private key is, and its public key; the private key
stays there: on a token, in a key service, in a file on a stick, in a variable that
only CI sets. It signs like any other key of the keystore.

The public key is what binds NAME: when URI later leads to another key, that is
refused. A PIN is not stored: give pin-source=file:PATH in the URI, or CARNET_PIN.`,
		Example: "  carnet key add release pkcs11:token=carnet;object=release?module-path=/usr/lib/softhsm/libsofthsm2.so\n" +
			"  carnet key add online awskms:///alias/carnet-online\n  carnet key add root file:/media/stick/root.key",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := c.addKey(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return c.answerKey(k)
		},
	}
}

func (c *command) addKey(ctx context.Context, name, uri string) (tuf.StoredKey, error) {
	keys, err := c.keys()
	if err != nil {
		return tuf.StoredKey{}, err
	}
	if err := keys.Free(name); err != nil {
		return tuf.StoredKey{}, err
	}
	if uri, err = signers.Reference(uri); err != nil {
		return tuf.StoredKey{}, err
	}
	k, err := c.key(ctx, uri)
	if err != nil {
		return tuf.StoredKey{}, err
	}
	if !k.Private {
		return tuf.StoredKey{}, usagef("%s: only a public key is there: take it in with `carnet key import %s %s`", uri, name, uri)
	}
	return keys.AddReference(name, k.Key, uri)
}
