package signers

import (
	"bytes"
	"crypto"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// ErrMaterial says that a file or variable holds no key in a form that is
// known.
var ErrMaterial = errors.New("no key")

// form is how a key is written down.
type form int

const (
	formUnknown form = iota
	formPEM
	formJSON
	formPython // of securesystemslib for Python, encrypted
)

func formOf(raw []byte) form {
	if b, _ := pem.Decode(raw); b != nil {
		return formPEM
	}
	switch trimmed := bytes.TrimSpace(raw); {
	case bytes.HasPrefix(trimmed, []byte("{")):
		return formJSON
	case bytes.Contains(trimmed, []byte(pythonSeparator)):
		return formPython
	}
	return formUnknown
}

// Decode reads a key as other tools write it: in PEM, public or private, all
// that [tuf.DecodePrivateKey] knows; in TUF's JSON, public, or private as
// securesystemslib for Python and go-tuf before 2.0 wrote it; in the encrypted
// forms of securesystemslib for Python and Go. Ask is called for the
// passphrase if one is needed; nil stands for "there is none". The private key
// is nil if only a public one is there. It fails with ErrMaterial, or with
// tuf.ErrPassphrase.
func Decode(raw []byte, ask func() ([]byte, error)) (metadata.Key, *tuf.SoftKey, error) {
	switch formOf(raw) {
	case formPEM:
		return decodePEM(raw, ask)
	case formJSON:
		return decodeJSON(bytes.TrimSpace(raw), ask)
	case formPython:
		return private(decodePython(bytes.TrimSpace(raw), ask))
	}
	return metadata.Key{}, nil, fmt.Errorf("%w: want PEM, TUF's JSON, or an encrypted key of securesystemslib", ErrMaterial)
}

func decodePEM(raw []byte, ask func() ([]byte, error)) (metadata.Key, *tuf.SoftKey, error) {
	if b, _ := pem.Decode(raw); strings.HasSuffix(b.Type, "PRIVATE KEY") {
		return private(tuf.DecodePrivateKey(raw, ask))
	}
	k, err := tuf.DecodePublicKey(raw)
	return k, nil, err
}

func private(k *tuf.SoftKey, err error) (metadata.Key, *tuf.SoftKey, error) {
	if err != nil {
		return metadata.Key{}, nil, err
	}
	return k.Key(), k, nil
}

func softKey(parsed any) (*tuf.SoftKey, error) {
	signer, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a %T", tuf.ErrUnknownKey, parsed)
	}
	return tuf.SoftKeyFrom(signer)
}
