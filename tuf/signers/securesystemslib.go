package signers

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// sslibKey is a key in JSON as securesystemslib writes it.
type sslibKey struct {
	Type   string `json:"keytype"`
	Scheme string `json:"scheme"`
	Value  struct {
		Public  string  `json:"public"`
		Private *string `json:"private"` // hexadecimal for ed25519, else PEM
	} `json:"keyval"`
}

// envelope is JSON that may be a key, or an encrypted one: the form of
// go-securesystemslib's package encrypted, also as go-tuf before 2.0 kept it.
type envelope struct {
	KDF       json.RawMessage `json:"kdf"`
	Encrypted *bool           `json:"encrypted"`
	Data      json.RawMessage `json:"data"`
	sslibKey
}

func decodeJSON(raw []byte, ask func() ([]byte, error)) (metadata.Key, *tuf.SoftKey, error) {
	var e envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return metadata.Key{}, nil, fmt.Errorf("%w: this JSON is none", ErrMaterial)
	}
	switch {
	case e.KDF != nil:
		return private(decodeBox(raw, ask))
	case e.Encrypted != nil && *e.Encrypted:
		return private(decodeBox(e.Data, ask))
	case e.Encrypted != nil:
		return private(decodePlain(e.Data))
	case e.Value.Private != nil && *e.Value.Private != "":
		return private(e.sslibKey.decode())
	case e.Value.Private != nil: // an empty one, which older tools wrote
		k, err := tuf.DecodePublicKey(e.publicJSON())
		return k, nil, err
	}
	k, err := tuf.DecodePublicKey(raw)
	return k, nil, err
}

// publicJSON is the key without its private part.
func (k *sslibKey) publicJSON() []byte {
	public := metadata.Key{Type: k.Type, Scheme: k.Scheme, Public: k.Value.Public}
	return public.JSON()
}

// decodeBox opens what go-securesystemslib encrypted (scrypt and NaCl
// secretbox), whose parameters that package bounds.
func decodeBox(raw []byte, ask func() ([]byte, error)) (*tuf.SoftKey, error) {
	pass, err := passphrase(ask)
	if err != nil {
		return nil, err
	}
	plain, err := encrypted.Decrypt(raw, pass)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", tuf.ErrPassphrase, err)
	}
	return decodePlain(plain)
}

func passphrase(ask func() ([]byte, error)) ([]byte, error) {
	if ask == nil {
		return nil, fmt.Errorf("the private key is encrypted and there is no passphrase: %w", tuf.ErrPassphrase)
	}
	return ask()
}

// decodePlain reads what was encrypted: PKCS#8, a key in JSON, or a list of
// one, as go-tuf kept the keys of a role.
func decodePlain(plain []byte) (*tuf.SoftKey, error) {
	plain = bytes.TrimSpace(plain)
	var list []sslibKey
	switch {
	case bytes.HasPrefix(plain, []byte("{")):
		list = make([]sslibKey, 1)
		if json.Unmarshal(plain, &list[0]) != nil {
			return nil, fmt.Errorf("%w: this JSON is none", ErrMaterial)
		}
	case bytes.HasPrefix(plain, []byte("[")):
		if json.Unmarshal(plain, &list) != nil {
			return nil, fmt.Errorf("%w: this JSON is none", ErrMaterial)
		}
	default:
		return decodePKCS8(plain)
	}
	if len(list) != 1 {
		return nil, fmt.Errorf("%w: %d keys in one file: want one", ErrMaterial, len(list))
	}
	return list[0].decode()
}

func decodePKCS8(der []byte) (*tuf.SoftKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("%w: what was encrypted is no PKCS#8", ErrMaterial)
	}
	return softKey(parsed)
}

// decode returns the private key, which must be that of the public one.
func (k *sslibKey) decode() (*tuf.SoftKey, error) {
	if k.Value.Private == nil {
		return nil, fmt.Errorf("%w: the JSON has no private part", ErrMaterial)
	}
	soft, err := k.private()
	if err != nil {
		return nil, err
	}
	public, err := tuf.DecodePublicKey(k.publicJSON())
	if err != nil {
		return nil, err
	}
	a, err := tuf.KeyIdentity(public)
	if err != nil {
		return nil, err
	}
	if b, err := tuf.KeyIdentity(soft.Key()); err != nil || a != b {
		return nil, fmt.Errorf("%w: its private part is not that of its public part", ErrMaterial)
	}
	return soft, nil
}

func (k *sslibKey) private() (*tuf.SoftKey, error) {
	if k.Type != "ed25519" {
		return tuf.DecodePrivateKey([]byte(*k.Value.Private), nil)
	}
	raw, err := hex.DecodeString(*k.Value.Private)
	if err != nil || len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize { // which would quote the secret
		return nil, fmt.Errorf("%w: the private part of an ed25519 key is not 32 or 64 bytes in hexadecimal", ErrMaterial)
	}
	return softKey(ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]))
}

// What securesystemslib for Python wrote before 1.0: salt, rounds, HMAC,
// initialisation vector and ciphertext, separated by pythonSeparator, all but
// the rounds in hexadecimal. PBKDF2 with SHA-256 derives one key for AES-256
// in counter mode and for the HMAC of the ciphertext.
const (
	pythonSeparator = "@@@@"
	maxPythonRounds = 10_000_000
)

func decodePython(raw []byte, ask func() ([]byte, error)) (*tuf.SoftKey, error) {
	parts := strings.Split(string(raw), pythonSeparator)
	if len(parts) != 5 {
		return nil, fmt.Errorf("%w: %d parts between %s: want 5", ErrMaterial, len(parts), pythonSeparator)
	}
	rounds, err := strconv.Atoi(parts[1])
	if err != nil || rounds < 1 || rounds > maxPythonRounds {
		return nil, fmt.Errorf("%w: the passphrase costs %.20q rounds: want 1 to %d", ErrMaterial, parts[1], maxPythonRounds)
	}
	var decoded [5][]byte
	for _, i := range []int{0, 2, 3, 4} {
		if decoded[i], err = hex.DecodeString(parts[i]); err != nil {
			return nil, fmt.Errorf("%w: part %d is not in hexadecimal", ErrMaterial, i+1)
		}
	}
	salt, mac, iv, ciphertext := decoded[0], decoded[2], decoded[3], decoded[4]
	if len(iv) != aes.BlockSize {
		return nil, fmt.Errorf("%w: an initialisation vector of %d bytes: want %d", ErrMaterial, len(iv), aes.BlockSize)
	}
	pass, err := passphrase(ask)
	if err != nil {
		return nil, err
	}
	key, err := pbkdf2.Key(sha256.New, string(pass), salt, rounds, 32)
	if err != nil {
		return nil, err
	}
	want := hmac.New(sha256.New, key)
	want.Write(ciphertext)
	if !hmac.Equal(want.Sum(nil), mac) {
		return nil, tuf.ErrPassphrase
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(ciphertext))
	cipher.NewCTR(block, iv).XORKeyStream(plain, ciphertext)
	return decodePlain(plain)
}
