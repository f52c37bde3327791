package tuf

import (
	"context"
	"errors"

	"github.com/carnet-project/carnet/metadata"
)

// Signer signs with one private key.
type Signer interface {
	// Key returns the public key as metadata lists it.
	Key() metadata.Key
	// Sign returns the signature over message in the key's scheme.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// Keyring finds the signers that are at hand.
type Keyring interface {
	// Signer returns the signer for a public key, or an error that wraps
	// ErrNoKey. It may ask for a passphrase.
	Signer(ctx context.Context, key metadata.Key) (Signer, error)
	// Has reports, without asking for anything, whether Signer could succeed.
	Has(key metadata.Key) bool
}

// ErrNoKey says that no private key for a public key is at hand.
var ErrNoKey = errors.New("private key not at hand")
