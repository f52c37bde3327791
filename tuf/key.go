package tuf

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/signature"

	"github.com/carnet-project/carnet/metadata"
)

var (
	// ErrUnknownKey says that a key is of a type or scheme that Carnet does
	// not have, or is malformed: it verifies nothing.
	ErrUnknownKey = errors.New("unusable key")
	// ErrSignature says that a signature does not verify.
	ErrSignature = errors.New("signature does not verify")
)

// The schemes of TUF 4.2.1 that Carnet has, by which keys are made and used.
const (
	schemeEd25519 = "ed25519"
	schemeP256    = "ecdsa-sha2-nistp256"
	schemeP384    = "ecdsa-sha2-nistp384"
	schemeRSAPSS  = "rsassa-pss-sha256"
)

// RSA keys outside of these sizes, in bits, are refused: smaller ones are
// weak, larger ones are a way to burn a verifier's time.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// publicKey returns the key that k describes, and the hash of its scheme.
func publicKey(k metadata.Key) (crypto.PublicKey, crypto.Hash, error) {
	pub, err := material(k)
	if err != nil {
		return nil, 0, err
	}
	switch p := pub.(type) {
	case ed25519.PublicKey:
		if k.Type == "ed25519" && k.Scheme == schemeEd25519 {
			return p, crypto.Hash(0), nil
		}
	case *ecdsa.PublicKey:
		isEC := k.Type == "ecdsa" || k.Type == k.Scheme // some write the scheme as type
		if isEC && p.Curve == elliptic.P256() && k.Scheme == schemeP256 {
			return p, crypto.SHA256, nil
		}
		if isEC && p.Curve == elliptic.P384() && k.Scheme == schemeP384 {
			return p, crypto.SHA384, nil
		}
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, 0, fmt.Errorf("%w: RSA of %d bits where %d to %d are allowed", ErrUnknownKey, bits, minRSABits, maxRSABits)
		}
		if k.Type == "rsa" && k.Scheme == schemeRSAPSS {
			return p, crypto.SHA256, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: type %.40q with scheme %.40q", ErrUnknownKey, k.Type, k.Scheme)
}

// SchemeHash returns the hash that the key's scheme signs over; 0 for Ed25519,
// which takes the message itself, and for keys that are unusable.
func SchemeHash(k metadata.Key) crypto.Hash {
	_, hash, err := publicKey(k)
	if err != nil {
		return 0
	}
	return hash
}

// material reads keyval.public: raw Ed25519 in hexadecimal, else PEM.
func material(k metadata.Key) (crypto.PublicKey, error) {
	if k.Type == "ed25519" {
		if raw, err := hex.DecodeString(k.Public); err == nil && len(raw) == ed25519.PublicKeySize {
			return ed25519.PublicKey(raw), nil
		}
	}
	block, _ := pem.Decode([]byte(k.Public))
	if block == nil {
		return nil, fmt.Errorf("%w: type %.40q: public part is no PEM", ErrUnknownKey, k.Type)
	}
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	return pub, nil
}

// VerifySignature checks one signature over message in the key's scheme. It
// fails with ErrUnknownKey if the key is unusable, else with ErrSignature.
func VerifySignature(k metadata.Key, message, sig []byte) error {
	pub, hash, err := publicKey(k)
	if err != nil {
		return err
	}
	v, err := verifier(pub, hash)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	if err := v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message)); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}

func verifier(pub crypto.PublicKey, hash crypto.Hash) (signature.Verifier, error) {
	switch p := pub.(type) {
	case ed25519.PublicKey:
		return signature.LoadED25519Verifier(p)
	case *ecdsa.PublicKey:
		return signature.LoadECDSAVerifier(p, hash)
	case *rsa.PublicKey:
		// PSS with whatever salt length: TUF clients write different ones.
		return signature.LoadRSAPSSVerifier(p, hash, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto})
	}
	return nil, fmt.Errorf("a %T", pub)
}

// KeyIdentity names a key by its material, whatever ID, scheme or encoding it
// is listed with: the SHA-256 of its PKIX form in hexadecimal. Two entries
// with one identity are one key.
func KeyIdentity(k metadata.Key) (string, error) {
	pub, err := material(k)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:]), nil
}

// NewKey describes a public key as Carnet lists it.
func NewKey(pub crypto.PublicKey) (metadata.Key, error) {
	if p, ok := pub.(ed25519.PublicKey); ok {
		return metadata.Key{Type: "ed25519", Scheme: schemeEd25519, Public: hex.EncodeToString(p)}, nil
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return metadata.Key{}, fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	k := metadata.Key{Public: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
	switch p := pub.(type) {
	case *rsa.PublicKey:
		k.Type, k.Scheme = "rsa", schemeRSAPSS
	case *ecdsa.PublicKey:
		k.Type, k.Scheme = "ecdsa", schemeP256
		if p.Curve == elliptic.P384() {
			k.Scheme = schemeP384
		}
	}
	_, _, err = publicKey(k)
	return k, err
}
