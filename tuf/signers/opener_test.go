package signers_test

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

// none is an empty environment.
func none(string) (string, bool) { return "", false }

// environment is one of a map.
func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func newKey(t *testing.T) (*tuf.SoftKey, []byte) {
	k, err := tuf.NewSoftKey(rand.Reader, tuf.KeyEd25519)
	require.NoError(t, err)
	raw, err := tuf.EncodePrivateKey(k, nil)
	require.NoError(t, err)
	return k, raw
}

func TestURIs(t *testing.T) {
	for _, uri := range []string{
		"", "alice", "file:", "env:", "pkcs11:", "http:x", "a/b://x", "../x://y", "-x://y", "a b://x", "x:y", "x:/y", "x://", "x\x00://y", strings.Repeat("a", 65) + "://x",
	} {
		_, err := (&signers.Opener{Getenv: none}).Look(t.Context(), uri)
		assert.ErrorIs(t, err, signers.ErrURI, "%q", uri)
		_, err = signers.Reference(uri)
		assert.ErrorIs(t, err, signers.ErrURI, "%q", uri)
	}
	assert.True(t, signers.IsURI("file:x"))
	assert.False(t, signers.IsURI("alice"))
}

func TestReferences(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	for uri, want := range map[string]string{
		"file:x":                               "file:" + filepath.Join(here, "x"),
		"file:/x/../y":                         "file:/y",
		"env:X":                                "env:X",
		"awskms:///alias/x":                    "awskms:///alias/x",
		"pkcs11:object=x":                      "pkcs11:object=x",
		"pkcs11:object=x?pin-source=file:/pin": "pkcs11:object=x?pin-source=file:/pin",
	} {
		got, err := signers.Reference(uri)
		require.NoError(t, err, uri)
		assert.Equal(t, want, got)
	}
	_, err = signers.Reference("pkcs11:object=x?pin-value=1234")
	require.ErrorIs(t, err, signers.ErrURI)
	assert.NotContains(t, err.Error(), "1234")
}

// A PIN that stands where it must not is no less a secret.
func TestErrorsHoldNoPIN(t *testing.T) {
	o := &signers.Opener{Getenv: none}
	for _, uri := range []string{
		"pkcs11:object=x?pin-value=swordfish", "pkcs11:object=x;pin-value=swordfish", "pkcs11:object=x?module-path=/m&pin-value=swordfish&x=y",
		"pkcs11:object=x;pin%2Dvalue=swordfish", "pkcs11:object=x;PIN-VALUE=swordfish", "PKCS11:object=x;Pin-Value=swordfish", "pkcs11:pin-value=swordfish",
	} {
		_, err := o.Look(t.Context(), uri)
		require.Error(t, err, uri)
		assert.NotContains(t, err.Error(), "swordfish")
		if _, err := signers.Reference(uri); assert.Error(t, err, uri) {
			assert.NotContains(t, err.Error(), "swordfish")
		}
	}
}

func TestPKCS11URIs(t *testing.T) {
	for _, uri := range []string{
		"pkcs11:token=x", "pkcs11:object", "pkcs11:=x", "pkcs11:object=x;object=y", "pkcs11:object=x;colour=red", "pkcs11:object=%zz", "pkcs11:object=x;type=cert",
		"pkcs11:object=x;slot-id=one", "pkcs11:object=x;;", "pkcs11:object=x?pin-source=|id", "pkcs11:object=x?module-name=softhsm2", "pkcs11:object=x?pin-value=%zz", "pkcs11:object=x?pin-value=1&pin-value=2",
	} {
		_, err := signers.Reference(uri)
		assert.ErrorIs(t, err, signers.ErrURI, uri)
	}
	_, err := signers.Reference("pkcs11:token=a%20b;serial=1;manufacturer=m;model=n;object=x;id=%01%ff;slot-id=7;type=private?module-path=/x.so")
	assert.NoError(t, err)
}

func TestFilesAndVariables(t *testing.T) {
	k, raw := newKey(t)
	pub, err := tuf.EncodePublicKey(k.Key())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "a key")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	wrapped := base64.StdEncoding.EncodeToString(raw)
	o := &signers.Opener{Getenv: environment(map[string]string{
		"PEM": string(raw), "B64": wrapped, "LINES": wrapped[:60] + "\n" + wrapped[60:] + "\n", "PUB": string(pub), "JSON": string(k.Key().JSON()),
	})}
	for uri, private := range map[string]bool{"file:" + path: true, "env:PEM": true, "env:B64": true, "env:LINES": true, "env:PUB": false, "env:JSON": false} {
		f, err := o.Look(t.Context(), uri)
		require.NoError(t, err, uri)
		assert.Equal(t, k.Key().ID(), f.Key.ID(), uri)
		assert.Equal(t, private, f.Signer != nil, uri)
		s, err := o.Open(t.Context(), uri)
		if !private {
			assert.ErrorIs(t, err, tuf.ErrNoKey, uri)
			continue
		}
		sig, err := s.Sign(t.Context(), []byte("message"))
		require.NoError(t, err)
		assert.NoError(t, tuf.VerifySignature(k.Key(), []byte("message"), sig))
	}
}

// What a secret variable holds stands in no error, whatever is wrong with it.
func TestErrorsHoldNoSecret(t *testing.T) {
	const secret = "c3dvcmRmaXNo"
	for name, value := range map[string]string{
		"word": secret, "json": `{"keytype":"ed25519","scheme":"ed25519","keyval":{"private":"` + secret + `"}}`,
		"bad json": `{"` + secret, "half a secret": `{"keyval":{"private":"` + secret,
		"python":   secret + "@@@@1@@@@" + secret + "@@@@" + secret + "@@@@" + secret,
		"pem":      "-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n",
		"base64":   base64.StdEncoding.EncodeToString([]byte(secret)),
		"no pem":   "-----BEGIN PRIVATE KEY-----\n" + secret,
		"type":     `{"keytype":"` + secret,
		"pem json": `{"keytype":"ecdsa","scheme":"ecdsa-sha2-nistp256","keyval":{"public":"","private":"` + secret + `"}}`,
	} {
		o := &signers.Opener{Getenv: environment(map[string]string{"KEY": value})}
		_, err := o.Look(t.Context(), "env:KEY")
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), secret, name)
		assert.NotContains(t, err.Error(), "swordfish", name)
	}
}

func TestMaterialIsBounded(t *testing.T) {
	big := strings.Repeat("\n", 1<<20)
	path := filepath.Join(t.TempDir(), "big")
	require.NoError(t, os.WriteFile(path, []byte(big), 0o600))
	o := &signers.Opener{Getenv: environment(map[string]string{"BIG": "x" + big + "x"})}
	for _, uri := range []string{"file:" + path, "env:BIG"} {
		_, err := o.Look(t.Context(), uri)
		assert.ErrorIs(t, err, signers.ErrMaterial)
		assert.ErrorContains(t, err, "more than 65536 bytes")
	}
}
