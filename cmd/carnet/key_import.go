package main

import (
	"context"
	"encoding/pem"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
)

func newKeyImport(c *command) *cobra.Command {
	var noPassphrase bool
	cmd := &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Take in a key of another tool or person",
		Long: `Import keeps the key in FILE ("-" for standard input) under NAME. FILE holds a
private key in PEM (PKCS#8, SEC 1 or PKCS#1; plain, or encrypted as cosign and
OpenSSL do), or a public key in PEM or TUF's JSON: that of a colleague, to
delegate to. A private key that was encrypted is encrypted again with the same
passphrase.`,
		Example: "  carnet key import release cosign.key\n  carnet key import bob bob.pub",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := readInput(c, args[1])
			if err != nil {
				return err
			}
			k, err := c.importKey(cmd.Context(), args[0], raw, noPassphrase)
			if err != nil {
				return err
			}
			return c.answerKey(k)
		},
	}
	cmd.Flags().BoolVar(&noPassphrase, "no-passphrase", false, "leave the private key unencrypted")
	return cmd
}

func (c *command) importKey(ctx context.Context, name string, raw []byte, noPassphrase bool) (tuf.StoredKey, error) {
	keys, err := c.keys()
	if err != nil {
		return tuf.StoredKey{}, err
	}
	if !holdsPrivateKey(raw) {
		k, err := tuf.DecodePublicKey(raw)
		if err != nil {
			return tuf.StoredKey{}, usage(err)
		}
		return keys.AddPublic(name, k)
	}
	var used []byte
	k, err := tuf.DecodePrivateKey(raw, func() ([]byte, error) {
		var err error
		used, err = c.importPassphrase(ctx)
		return used, err
	})
	if err != nil {
		return tuf.StoredKey{}, usage(err)
	}
	switch {
	case noPassphrase:
		used = nil
	case len(used) == 0:
		if used, err = c.passphraseUnless(ctx, false, keys, name); err != nil {
			return tuf.StoredKey{}, err
		}
	}
	return keys.Add(name, k, used)
}

func (c *command) importPassphrase(ctx context.Context) ([]byte, error) {
	if p, ok := os.LookupEnv(passphraseEnv); ok {
		return []byte(p), nil
	}
	return c.prompt(ctx, "Passphrase of the file: ")
}

func holdsPrivateKey(raw []byte) bool {
	b, _ := pem.Decode(raw)
	return b != nil && strings.HasSuffix(b.Type, "PRIVATE KEY")
}
