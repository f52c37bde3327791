package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

func newKeyImport(c *command) *cobra.Command {
	var noPassphrase bool
	cmd := &cobra.Command{
		Use:   "import NAME KEY",
		Short: "Take in a key of another tool or person",
		Long: `Import copies a key, file:PATH, env:NAME or "-" for standard input, into the
keystore under NAME. It takes
  private keys in PEM: PKCS#8, SEC 1 or PKCS#1, plain or encrypted as OpenSSL does,
    and those of cosign (cosign.key)
  securesystemslib's: JSON, its encrypted form for Python (…@@@@…), its encrypted
    form for Go, which go-tuf used before 2.0 too
  public keys in PEM or TUF's JSON: that of a colleague, to delegate to
A private key that was encrypted is encrypted again with the same passphrase. A key
that stays where it is, on a token say, is named with carnet key add.`,
		Example: "  carnet key import release file:cosign.key\n  carnet key import bob file:bob.pub",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			raw, err := c.keyMaterial(args[1])
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
	var used []byte
	public, k, err := signers.Decode(raw, func() ([]byte, error) {
		var err error
		used, err = c.passphraseOf(ctx, "Passphrase of the key: ")
		return used, err
	})
	if err != nil {
		return tuf.StoredKey{}, usage(err)
	}
	if k == nil {
		return keys.AddPublic(name, public)
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

// keyMaterial reads a key that can be copied.
func (c *command) keyMaterial(arg string) ([]byte, error) {
	switch {
	case arg == "-":
		return readInput(c, arg)
	case !signers.IsURI(arg):
		return nil, usagef("%q: want file:PATH, env:NAME, or - for standard input", arg)
	}
	raw, err := c.opener().Read(arg)
	if errors.Is(err, signers.ErrNotCopied) {
		return nil, fmt.Errorf("%w: name it with `carnet key add`", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", arg, err)
	}
	return raw, nil
}
