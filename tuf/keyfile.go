package tuf

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/cryptoutils"

	"github.com/carnet-project/carnet/metadata"
)

// ErrPassphrase says that a passphrase does not open a private key. Damage to
// an encrypted file looks the same: that is what authenticated encryption is.
var ErrPassphrase = errors.New("wrong passphrase, or the file is damaged")

// pemEncrypted is PKCS#8 in the encryption of go-securesystemslib (scrypt and
// NaCl secretbox): the form that cosign and other sigstore tools write.
const pemEncrypted = string(cryptoutils.EncryptedSigstorePrivateKeyPEMType)

// EncodePrivateKey returns the key as PEM: PKCS#8, encrypted with a
// passphrase, or plain if passphrase is nil. An empty one is refused.
func EncodePrivateKey(k *SoftKey, passphrase []byte) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, err
	}
	if passphrase == nil {
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}
	if len(passphrase) == 0 {
		return nil, errors.New("an empty passphrase protects nothing: give one, or none at all")
	}
	box, err := encrypted.Encrypt(der, passphrase)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemEncrypted, Bytes: box}), nil
}

// DecodePrivateKey reads a private key from PEM: PKCS#8, SEC 1 and PKCS#1,
// plain or encrypted as sigstore (cosign included) and OpenSSL do, that is
// PBES2 with PBKDF2 or scrypt, and the older PEM encryption. Ask is called for
// the passphrase if one is needed; nil stands for "there is none". It fails
// with ErrPassphrase if the passphrase is wrong.
func DecodePrivateKey(raw []byte, ask func() ([]byte, error)) (*SoftKey, error) {
	var asked bool
	var askErr error
	if err := checkPBES2(raw); err != nil {
		return nil, err
	}
	private, err := unmarshal(raw, func(bool) ([]byte, error) {
		asked = true
		var pass []byte
		if pass, askErr = askFor(ask); askErr != nil {
			return nil, askErr
		}
		return append([]byte{}, pass...), nil // nil would mean "not encrypted"
	})
	switch {
	case askErr != nil:
		return nil, askErr
	case err != nil && asked:
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	case err != nil:
		return nil, fmt.Errorf("no private key in PEM: %w", err)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%w: a %T", ErrUnknownKey, private)
	}
	return SoftKeyFrom(signer)
}

// unmarshal reads PEM. Of an encrypted file that is damaged the parser takes
// lengths for granted, and panics.
func unmarshal(raw []byte, pass cryptoutils.PassFunc) (private crypto.PrivateKey, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the private key is damaged: %v", r)
		}
	}()
	return cryptoutils.UnmarshalPEMToPrivateKey(raw, pass)
}

func askFor(ask func() ([]byte, error)) ([]byte, error) {
	if ask == nil {
		return nil, fmt.Errorf("the private key is encrypted and there is no passphrase: %w", ErrPassphrase)
	}
	return ask()
}

// isEncrypted reports whether the PEM holds a key that needs a passphrase.
func isEncrypted(raw []byte) bool {
	b, _ := pem.Decode(raw)
	return b != nil && b.Type == pemEncrypted
}

// EncodePublicKey returns a public key as PEM (PKIX), which every tool reads.
func EncodePublicKey(k metadata.Key) ([]byte, error) {
	pub, err := material(k)
	if err != nil {
		return nil, err
	}
	return cryptoutils.MarshalPublicKeyToPEM(pub)
}

// DecodePublicKey reads a public key from PEM or from TUF's JSON. It fails
// with ErrUnknownKey for a key that Carnet could not verify with.
func DecodePublicKey(raw []byte) (metadata.Key, error) {
	if b, _ := pem.Decode(raw); b != nil {
		pub, err := cryptoutils.UnmarshalPEMToPublicKey(raw)
		if err != nil {
			return metadata.Key{}, fmt.Errorf("%w: %w", ErrUnknownKey, err)
		}
		return NewKey(pub)
	}
	k, err := metadata.ParseKey(raw)
	if err != nil {
		return metadata.Key{}, fmt.Errorf("no public key, in PEM or TUF's JSON: %w", err)
	}
	if holdsPrivate(raw) { // unknown members are kept, and would be published
		return metadata.Key{}, fmt.Errorf("%w: a private key where only a public one may stand", ErrUnknownKey)
	}
	_, _, err = publicKey(k)
	return k, err
}

// holdsPrivate reports whether TUF's JSON of a key has a private part.
func holdsPrivate(raw []byte) bool {
	var k struct {
		Keyval map[string]json.RawMessage `json:"keyval"`
	}
	err := json.Unmarshal(raw, &k)
	_, ok := k.Keyval["private"]
	return err != nil || ok
}
