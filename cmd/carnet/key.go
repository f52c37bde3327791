package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func newKey(c *command) *cobra.Command {
	return group("key", "Make and keep keys", `Keys are kept in the configuration folder, each under a name: the public part
readable, the private part encrypted with a passphrase (scrypt and NaCl secretbox,
as cosign writes it). The passphrase is asked for on the terminal, or taken from
CARNET_PASSPHRASE.`, groupPublisher,
		newKeyGenerate(c), newKeyList(c), newKeyShow(c), newKeyImport(c), newKeyExport(c))
}

// keyView is a key as it is shown.
type keyView struct {
	Name      string `json:"name"`
	KeyID     string `json:"keyid"`
	Type      string `json:"type"`
	Scheme    string `json:"scheme"`
	Private   bool   `json:"private"`
	Encrypted bool   `json:"encrypted"`
}

func viewKey(k tuf.StoredKey) keyView {
	return keyView{Name: k.Name, KeyID: k.Key.ID(), Type: k.Key.Type, Scheme: k.Key.Scheme, Private: k.Private, Encrypted: k.Encrypted}
}

// kept says in a word what of the key is here.
func (k keyView) kept() string {
	switch {
	case !k.Private:
		return "public only"
	case k.Encrypted:
		return "encrypted"
	}
	return "not encrypted"
}

func (c *command) answerKey(k tuf.StoredKey) error {
	v := viewKey(k)
	return c.answer(v, func(w io.Writer) {
		fmt.Fprintf(w, "name    %s\nkeyid   %s\ntype    %s\nscheme  %s\nprivate %s\n", v.Name, v.KeyID, v.Type, v.Scheme, v.kept())
	})
}

func (c *command) answerKeys(list []tuf.StoredKey) error {
	views := make([]keyView, len(list))
	for i, k := range list {
		views[i] = viewKey(k)
	}
	return c.answer(views, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, v := range views {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.Name, v.Scheme, v.kept(), v.KeyID)
		}
		_ = t.Flush() // to memory
	})
}

// publicKey returns the public key that an argument names: a key of the
// keystore, else a file with a public key in PEM or TUF's JSON. What looks
// like a path is one.
func (c *command) publicKey(arg string) (metadata.Key, error) {
	if strings.ContainsAny(arg, `/\`) {
		return c.publicKeyFile(arg)
	}
	keys, err := c.keys()
	if err != nil {
		return metadata.Key{}, err
	}
	k, err := keys.Get(arg)
	if errors.Is(err, tuf.ErrUnknownName) && isFile(arg) {
		return c.publicKeyFile(arg)
	}
	return k.Key, err
}

func (c *command) publicKeyFile(path string) (metadata.Key, error) {
	raw, err := readInput(c, path)
	if err != nil {
		return metadata.Key{}, err
	}
	k, err := tuf.DecodePublicKey(raw)
	if err != nil {
		err = usagef("%s: %w", path, err)
	}
	return k, err
}

// maxInput bounds the small files that a person names, in bytes.
const maxInput = 1 << 20

// readInput reads a file that a person named, or standard input for "-".
func readInput(c *command, path string) ([]byte, error) {
	in := c.stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usage(err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(raw) > maxInput {
		err = usagef("%s: more than %d bytes", path, maxInput)
	}
	return raw, err
}
