package signers_test

import (
	"crypto/elliptic"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"
	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

func vector(t testing.TB, name string) []byte {
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return raw
}

func typed(pass string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(pass), nil }
}

// requireKey asserts that raw decodes to the private key of a public one.
func requireKey(t *testing.T, raw []byte, ask func() ([]byte, error), want metadata.Key) {
	t.Helper()
	_, k, err := signers.Decode(raw, ask)
	require.NoError(t, err)
	a, err := tuf.KeyIdentity(want)
	require.NoError(t, err)
	b, err := tuf.KeyIdentity(k.Key())
	require.NoError(t, err)
	require.Equal(t, a, b)
	sig, err := k.Sign(t.Context(), []byte("message"))
	require.NoError(t, err)
	require.NoError(t, tuf.VerifySignature(want, []byte("message"), sig))
}

func publicVector(t *testing.T, name string) metadata.Key {
	public, private, err := signers.Decode(vector(t, name), nil)
	require.NoError(t, err)
	require.Nil(t, private)
	return public
}

func TestPrivateKeysOfOtherTools(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]struct {
		of        string
		encrypted bool
	}{
		"ed25519.pem": {"ed25519", false}, "p256.pem": {"p256", false}, "p384.pem": {"p384", false}, "rsa.pem": {"rsa", false}, "p256-sec1.pem": {"p256", false},
		"ed25519-pbkdf2.pem": {"ed25519", true}, "p256-scrypt.pem": {"p256", true}, "p384-des3.pem": {"p384", true}, "rsa-aes128.pem": {"rsa", true}, "rsa-traditional.pem": {"rsa", true},
		"python-ed25519-plain.json": {"ed25519", false}, "python-p256-plain.json": {"p256", false}, "python-ed25519.sslib": {"ed25519", true}, "python-p256.sslib": {"p256", true},
		"gotuf-ed25519.json": {"gotuf-ed25519", true}, "gotuf-ecdsa.json": {"gotuf-ecdsa", true},
	} {
		t.Run(name, func(t *testing.T) {
			raw, public := vector(t, name), publicVector(t, file.of+".pub")
			requireKey(t, raw, typed("test passphrase"), public)
			if !file.encrypted {
				requireKey(t, raw, nil, public)
				return
			}
			for _, ask := range []func() ([]byte, error){typed("wrong"), nil} {
				_, k, err := signers.Decode(raw, ask)
				require.ErrorIs(t, err, tuf.ErrPassphrase)
				require.Nil(t, k)
			}
		})
	}
}

// What cosign writes now, and what it wrote before.
func TestCosignKeys(t *testing.T) {
	t.Parallel()
	private, public, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte("hop")))
	require.NoError(t, err)
	want, _, err := signers.Decode(public, nil)
	require.NoError(t, err)
	requireKey(t, private, typed("hop"), want)
	requireKey(t, []byte(strings.ReplaceAll(string(private), "SIGSTORE", "COSIGN")), typed("hop"), want)
}

// go-securesystemslib's package encrypted says what is around a key, not what
// is in it: PKCS#8, or a key in JSON.
func TestEncryptedByGoSecuresystemslib(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode(vector(t, "p256.pem"))
	for name, plain := range map[string][]byte{
		"PKCS#8": block.Bytes, "JSON": vector(t, "python-p256-plain.json"), "a list of one": []byte("[" + string(vector(t, "python-p256-plain.json")) + "]"),
	} {
		box, err := encrypted.Encrypt(plain, []byte("hop"))
		require.NoError(t, err)
		t.Run(name, func(t *testing.T) { requireKey(t, box, typed("hop"), publicVector(t, "p256.pub")) })
	}
	two, err := encrypted.Encrypt([]byte("["+string(vector(t, "python-p256-plain.json"))+","+string(vector(t, "python-p256-plain.json"))+"]"), []byte("hop"))
	require.NoError(t, err)
	_, _, err = signers.Decode(two, typed("hop"))
	assert.ErrorContains(t, err, "2 keys in one file: want one")
}

func TestFormsThatAreRefused(t *testing.T) {
	plain := string(vector(t, "python-ed25519-plain.json"))
	other := vector(t, "gotuf-ed25519.pub")
	var k struct{ Keyval struct{ Public string } }
	require.NoError(t, json.Unmarshal(other, &k))
	var own struct{ Keyval struct{ Public string } }
	require.NoError(t, json.Unmarshal([]byte(plain), &own))
	python := string(vector(t, "python-ed25519.sslib"))
	for name, c := range map[string]struct{ raw, want string }{
		"an old cipher":        {string(vector(t, "p256-pbes1.pem")), "encrypted in an old way: convert it with `openssl pkcs8"},
		"an unknown hash":      {string(vector(t, "p256-sha512.pem")), "hashed in a way that is not known (1.2.840.113549.2.11)"},
		"nothing":              {"", "no key: want PEM"},
		"another public key":   {strings.ReplaceAll(plain, own.Keyval.Public, k.Keyval.Public), "its private part is not that of its public part"},
		"a short key":          {strings.Replace(plain, `"private": "`, `"private": "00`, 1), "is not 32 or 64 bytes"},
		"JSON of another kind": {`{"a":1}`, "no public key"},
		"many rounds":          {strings.Replace(python, "@@100000@@", "@@1000000000@@", 1), `costs "1000000000" rounds: want 1 to`},
		"no rounds":            {strings.Replace(python, "@@100000@@", "@@x@@", 1), "rounds"},
		"a part too few":       {python[:strings.LastIndex(python, "@@@@")], "4 parts between @@@@: want 5"},
		"no hexadecimal":       {"x" + python[1:], "part 1 is not in hexadecimal"},
	} {
		_, private, err := signers.Decode([]byte(c.raw), typed("test passphrase"))
		assert.ErrorContains(t, err, c.want, name)
		assert.Nil(t, private, name)
	}
}

// Public keys in JSON once had an empty private part: it is left out, so that
// the key has its usual ID.
func TestPublicKeyWithAnEmptyPrivatePart(t *testing.T) {
	public := publicVector(t, "ed25519.pub")
	raw := `{"keytype":"ed25519","scheme":"ed25519","keyval":{"public":"` + public.Public + `","private":""}}`
	k, private, err := signers.Decode([]byte(raw), nil)
	require.NoError(t, err)
	require.Nil(t, private)
	assert.Equal(t, public.ID(), k.ID())

	// What lists keys may never take a private one for public.
	_, err = tuf.DecodePublicKey(vector(t, "python-ed25519-plain.json"))
	require.ErrorIs(t, err, tuf.ErrUnknownKey)
}

// Whatever a file holds is a key or an error, and never a panic.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	require.NoError(f, err)
	require.Greater(f, len(files), 20)
	for _, file := range files {
		if raw := vector(f, filepath.Base(file)); filepath.Ext(file) != ".md" {
			f.Add(raw)
			f.Add(raw[:len(raw)/2])
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		public, private, err := signers.Decode(raw, typed(""))
		if err == nil && private != nil && private.Key().ID() != public.ID() {
			t.Fatal("two keys of one file")
		}
	})
}

// A damaged file is an error and never a panic, also where the parser takes
// lengths for granted.
func TestDamagedEncryptedPKCS8(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode(vector(t, "ed25519-pbkdf2.pem"))
	public := publicVector(t, "ed25519.pub")
	others := 0
	for i := range block.Bytes {
		for _, bit := range []byte{1, 0x80} {
			raw := append([]byte{}, block.Bytes...)
			raw[i] ^= bit
			_, k, err := signers.Decode(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: raw}), typed("test passphrase"))
			if err == nil && k.Key().ID() != public.ID() {
				others++
			}
		}
	}
	// This form is not authenticated: a bit of the seed changes the key, which
	// is why keys are bound by their material.
	assert.Positive(t, others)
	for cut := range block.Bytes {
		_, _, err := signers.Decode(pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:cut]}), typed("test passphrase"))
		assert.Error(t, err, cut)
	}
}
