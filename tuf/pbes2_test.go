package tuf_test

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/tuf"
)

var (
	pbes2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	pbkdf2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	scrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}
	aesCBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
)

func algorithm(t *testing.T, oid asn1.ObjectIdentifier, params any) pkix.AlgorithmIdentifier {
	der, err := asn1.Marshal(params)
	require.NoError(t, err)
	return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: der}}
}

// sealed writes encrypted PKCS#8 with whatever parameters, iv and data.
func sealed(t *testing.T, kdf pkix.AlgorithmIdentifier, iv, data []byte) []byte {
	der, err := asn1.Marshal(struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}{algorithm(t, pbes2, struct{ KDF, Cipher pkix.AlgorithmIdentifier }{kdf, algorithm(t, aesCBC, iv)}), data})
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})
}

func rounds(t *testing.T, n int) pkix.AlgorithmIdentifier {
	return algorithm(t, pbkdf2, struct {
		Salt   []byte
		Rounds int
	}{[]byte("salt"), n})
}

func memory(t *testing.T, n, r, p int64) pkix.AlgorithmIdentifier {
	return algorithm(t, scrypt, struct {
		Salt    []byte
		N, R, P int64
	}{[]byte("salt"), n, r, p})
}

func TestPassphrasesThatCostTooMuch(t *testing.T) {
	block := make([]byte, 16)
	for name, kdf := range map[string]pkix.AlgorithmIdentifier{
		"PBKDF2": rounds(t, 2_000_000_000), "scrypt, N": memory(t, 1<<62, 8, 1), "scrypt, 2 GiB": memory(t, 1<<21, 8, 1), "scrypt, r": memory(t, 1<<20, 1<<10, 1), "scrypt, p": memory(t, 1<<20, 8, 1<<10), "scrypt, product": memory(t, 1<<24, 1<<24, 1<<24),
	} {
		_, err := tuf.DecodePrivateKey(sealed(t, kdf, block, block), func() ([]byte, error) { return []byte("hop"), nil })
		assert.ErrorIs(t, err, tuf.ErrUnknownKey, name)
		assert.ErrorContains(t, err, "costs", name)
	}
}

func TestLengthsThatTheParserTakesForGranted(t *testing.T) {
	block := make([]byte, 16)
	for name, raw := range map[string][]byte{
		"half a block": sealed(t, rounds(t, 1), block, block[:8]), "a short iv": sealed(t, rounds(t, 1), block[:8], block), "no iv": sealed(t, rounds(t, 1), nil, block), "scrypt of nothing": sealed(t, memory(t, 2, 0, 0), block, block),
	} {
		_, err := tuf.DecodePrivateKey(raw, func() ([]byte, error) { return []byte("hop"), nil })
		assert.ErrorIs(t, err, tuf.ErrPassphrase, name)
	}
}
