package tuf

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"io"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/carnet-project/carnet/metadata"
)

// The types of keys that can be generated.
const (
	KeyEd25519   = "ed25519"
	KeyECDSAP256 = "ecdsa-p256"
	KeyRSA3072   = "rsa-3072"
)

// SoftKey is a private key in memory. It implements [Signer].
type SoftKey struct {
	private crypto.Signer
	public  metadata.Key
}

// NewSoftKey generates a key of one of the types above from rand.
func NewSoftKey(rand io.Reader, keyType string) (*SoftKey, error) {
	private, err := generate(rand, keyType)
	if err != nil {
		return nil, err
	}
	return SoftKeyFrom(private)
}

func generate(rand io.Reader, keyType string) (crypto.Signer, error) {
	switch keyType {
	case KeyEd25519:
		_, private, err := ed25519.GenerateKey(rand)
		return private, err
	case KeyECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand)
	case KeyRSA3072:
		return rsa.GenerateKey(rand, 3072)
	}
	return nil, fmt.Errorf("key type %q: want %s, %s or %s", keyType, KeyEd25519, KeyECDSAP256, KeyRSA3072)
}

// SoftKeyFrom wraps a private key; it fails for kinds that TUF metadata
// cannot name.
func SoftKeyFrom(private crypto.Signer) (*SoftKey, error) {
	public, err := NewKey(private.Public())
	if err != nil {
		return nil, err
	}
	return &SoftKey{private: private, public: public}, nil
}

// Key returns the public key.
func (k *SoftKey) Key() metadata.Key { return k.public }

// Sign signs message in the key's scheme.
func (k *SoftKey) Sign(_ context.Context, message []byte) ([]byte, error) {
	s, err := k.signer()
	if err != nil {
		return nil, err
	}
	return s.SignMessage(bytes.NewReader(message))
}

func (k *SoftKey) signer() (signature.Signer, error) {
	switch p := k.private.(type) {
	case ed25519.PrivateKey:
		return signature.LoadED25519Signer(p)
	case *ecdsa.PrivateKey:
		hash := crypto.SHA256
		if k.public.Scheme == schemeP384 {
			hash = crypto.SHA384
		}
		return signature.LoadECDSASigner(p, hash)
	case *rsa.PrivateKey:
		return signature.LoadRSAPSSSigner(p, crypto.SHA256, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	}
	return nil, fmt.Errorf("%w: a %T", ErrUnknownKey, k.private)
}

// Keys is a Keyring of keys in memory.
type Keys []Signer

// Signer returns the signer whose key has the same material.
func (ks Keys) Signer(_ context.Context, key metadata.Key) (Signer, error) {
	want, err := KeyIdentity(key)
	if err != nil {
		return nil, err
	}
	for _, s := range ks {
		if id, err := KeyIdentity(s.Key()); err == nil && id == want {
			return s, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoKey, key.ID())
}

// Has reports whether Signer would succeed.
func (ks Keys) Has(key metadata.Key) bool {
	_, err := ks.Signer(context.Background(), key)
	return err == nil
}
