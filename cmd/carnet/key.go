package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/tuf"
)

func newKey(c *command) *cobra.Command {
	return group("key", "Make and keep keys", `Keys are kept in the configuration folder, each under a name: the public part
readable, the private part encrypted with a passphrase (scrypt and NaCl secretbox,
as cosign writes it), or the URI of the place where it is. The passphrase is asked
for on the terminal, or taken from CARNET_PASSPHRASE; the PIN of a token likewise,
or from CARNET_PIN.

`+keyForms, groupPublisher,
		newKeyGenerate(c), newKeyList(c), newKeyShow(c), newKeyImport(c), newKeyAdd(c), newKeyExport(c))
}

// keyView is a key as it is shown.
type keyView struct {
	Name      string  `json:"name"`
	KeyID     string  `json:"keyid"`
	Type      string  `json:"type"`
	Scheme    string  `json:"scheme"`
	Private   bool    `json:"private"`
	Encrypted bool    `json:"encrypted"`
	Location  *string `json:"location"` // of the private key: "keystore" or a URI
}

func viewKey(k tuf.StoredKey) keyView {
	v := keyView{Name: k.Name, KeyID: k.Key.ID(), Type: k.Key.Type, Scheme: k.Key.Scheme, Private: k.Private, Encrypted: k.Encrypted}
	if !k.Private {
		return v
	}
	place := "keystore"
	if k.URI != "" {
		place = k.URI
	}
	v.Location = &place
	return v
}

func (k keyView) elsewhere() bool { return k.Private && *k.Location != "keystore" }

// kept says in a word what of the key is here.
func (k keyView) kept() string {
	switch {
	case !k.Private:
		return "public only"
	case k.elsewhere():
		return "elsewhere"
	case k.Encrypted:
		return "encrypted"
	}
	return "not encrypted"
}

func (c *command) answerKey(k tuf.StoredKey) error {
	v := viewKey(k)
	return c.answer(v, func(w io.Writer) {
		if v.Name != "" {
			fmt.Fprintf(w, "name    %s\n", v.Name)
		}
		fmt.Fprintf(w, "keyid   %s\ntype    %s\nscheme  %s\nprivate %s\n", v.KeyID, v.Type, v.Scheme, v.kept())
		if v.Location != nil {
			fmt.Fprintf(w, "place   %s\n", *v.Location)
		}
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
			place := ""
			if v.elsewhere() {
				place = "\t" + *v.Location
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s%s\n", v.Name, v.Scheme, v.kept(), v.KeyID, place)
		}
		_ = t.Flush() // to memory
	})
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
