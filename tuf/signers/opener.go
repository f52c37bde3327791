package signers

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// PINEnv names the environment variable that holds the PIN of tokens.
const PINEnv = "CARNET_PIN"

// ErrNotCopied says that a private key cannot leave the place where it is.
var ErrNotCopied = errors.New("the private key cannot be copied from there")

// ErrPIN says that a token does not take a PIN.
var ErrPIN = errors.New("wrong PIN")

// maxMaterial bounds what is read of a file or an environment variable, in
// bytes.
const maxMaterial = 64 << 10

// Opener looks keys up by URI. Its fields must not change once it is used; it
// is safe for concurrent use if they are.
type Opener struct {
	// Getenv returns an environment variable, as os.LookupEnv does.
	Getenv func(name string) (string, bool)
	// Passphrase returns that of the key at uri. Nil stands for "there is none".
	Passphrase func(ctx context.Context, uri string) ([]byte, error)
	// PIN returns that of a token. Nil stands for "there is none".
	PIN func(ctx context.Context, token string) ([]byte, error)
	// Stderr takes what plugins say to people. Nil drops it.
	Stderr io.Writer
}

// Found is what a URI names.
type Found struct {
	Key    metadata.Key
	Signer tuf.Signer // nil if only the public key is there
}

// Look returns what a URI names. What is not there, a file, a variable, a
// program, a token, an object, fails with tuf.ErrNoKey, what cannot be a URI
// with ErrURI, a wrong passphrase with tuf.ErrPassphrase, a wrong PIN with ErrPIN.
func (o *Opener) Look(ctx context.Context, uri string) (Found, error) {
	scheme, _, err := split(uri)
	if err != nil {
		return Found{}, err
	}
	var f Found
	switch scheme {
	case schemeFile, schemeEnv:
		f, err = o.lookMaterial(ctx, uri)
	case schemePKCS11:
		f, err = o.lookPKCS11(ctx, uri)
	default:
		f, err = o.lookPlugin(ctx, uri)
	}
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", withoutSecrets(uri), err)
	}
	return f, nil
}

// Open is Look for who wants to sign: a public key alone fails with
// tuf.ErrNoKey.
func (o *Opener) Open(ctx context.Context, uri string) (tuf.Signer, error) {
	f, err := o.Look(ctx, uri)
	if err == nil && f.Signer == nil {
		err = fmt.Errorf("%s: %w: only a public key is there", withoutSecrets(uri), tuf.ErrNoKey)
	}
	return f.Signer, err
}

func (o *Opener) lookMaterial(ctx context.Context, uri string) (Found, error) {
	raw, err := o.Read(uri)
	if err != nil {
		return Found{}, err
	}
	var ask func() ([]byte, error)
	if o.Passphrase != nil {
		ask = func() ([]byte, error) { return o.Passphrase(ctx, uri) }
	}
	public, private, err := Decode(raw, ask)
	if private == nil {
		return Found{Key: public}, err
	}
	return Found{Key: public, Signer: private}, err
}

// Read returns what a file: or env: URI holds, for [Decode]. Keys of other
// kinds do not leave their place: ErrNotCopied.
func (o *Opener) Read(uri string) ([]byte, error) {
	scheme, rest, err := split(uri)
	switch {
	case err != nil:
		return nil, err
	case scheme == schemeFile:
		return readFile(rest)
	case scheme == schemeEnv:
		return o.readEnv(rest)
	}
	return nil, ErrNotCopied
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is no such file", tuf.ErrNoKey)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxMaterial+1))
	if err == nil && len(raw) > maxMaterial {
		err = fmt.Errorf("%w: more than %d bytes", ErrMaterial, maxMaterial)
	}
	return raw, err
}

func (o *Opener) readEnv(name string) ([]byte, error) {
	value, ok := o.Getenv(name)
	switch {
	case !ok || strings.TrimSpace(value) == "":
		return nil, fmt.Errorf("%w: the environment variable is not set, or empty", tuf.ErrNoKey)
	case len(value) > maxMaterial:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrMaterial, maxMaterial)
	}
	if raw := []byte(value); formOf(raw) != formUnknown {
		return raw, nil
	}
	raw, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(value), ""))
	if err != nil { // which would quote the secret
		return nil, fmt.Errorf("%w: neither a key nor the base64 of one", ErrMaterial)
	}
	return raw, nil
}
