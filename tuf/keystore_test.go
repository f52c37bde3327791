package tuf_test

import (
	"context"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/tuf"
)

// passphrase answers every question with p and counts them.
func passphrase(p string, asked *atomic.Int32) func(context.Context, string) ([]byte, error) {
	return func(context.Context, string) ([]byte, error) {
		if asked != nil {
			asked.Add(1)
		}
		return []byte(p), nil
	}
}

func generate(t *testing.T, s *tuf.Keystore, name, keyType, pass string) tuf.StoredKey {
	t.Helper()
	var p []byte
	if pass != "" {
		p = []byte(pass)
	}
	k, err := s.Generate(rand.Reader, name, keyType, p)
	require.NoError(t, err)
	return k
}

func TestKeystoreSignsWithEveryType(t *testing.T) {
	dir := t.TempDir()
	for _, keyType := range []string{tuf.KeyEd25519, tuf.KeyECDSAP256, tuf.KeyRSA3072} {
		k := generate(t, tuf.OpenKeystore(dir, nil), "key-"+keyType, keyType, "hop")
		s := tuf.OpenKeystore(dir, passphrase("hop", nil)) // as another process would
		require.True(t, s.Has(k.Key), keyType)
		signer, err := s.Signer(t.Context(), k.Key)
		require.NoError(t, err, keyType)
		sig, err := signer.Sign(t.Context(), []byte("message"))
		require.NoError(t, err, keyType)
		assert.NoError(t, tuf.VerifySignature(k.Key, []byte("message"), sig), keyType)
	}
	list, err := tuf.OpenKeystore(dir, nil).List()
	require.NoError(t, err)
	require.Len(t, list, 3)
	assert.Equal(t, "key-ecdsa-p256", list[0].Name)
	assert.True(t, list[0].Private && list[0].Encrypted)
}

func TestKeystoreAsksOncePerKey(t *testing.T) {
	dir := t.TempDir()
	k := generate(t, tuf.OpenKeystore(dir, nil), "alice", tuf.KeyEd25519, "hop")
	var asked atomic.Int32
	s := tuf.OpenKeystore(dir, passphrase("hop", &asked))
	assert.True(t, s.Has(k.Key))
	assert.Zero(t, asked.Load(), "Has asks for nothing")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := s.Signer(t.Context(), k.Key)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, asked.Load())
}

func TestKeystoreWrongPassphrase(t *testing.T) {
	dir := t.TempDir()
	k := generate(t, tuf.OpenKeystore(dir, nil), "alice", tuf.KeyEd25519, "hop")
	for _, ask := range []func(context.Context, string) ([]byte, error){passphrase("hip", nil), passphrase("", nil), nil} {
		_, err := tuf.OpenKeystore(dir, ask).Signer(t.Context(), k.Key)
		assert.ErrorIs(t, err, tuf.ErrPassphrase)
		assert.ErrorContains(t, err, "key alice")
	}
	cancelled := errors.New("the person pressed Ctrl-C")
	_, err := tuf.OpenKeystore(dir, func(context.Context, string) ([]byte, error) { return nil, cancelled }).Signer(t.Context(), k.Key)
	assert.ErrorIs(t, err, cancelled)
	assert.NotErrorIs(t, err, tuf.ErrPassphrase)
	_, err = tuf.OpenKeystore(dir, nil).Generate(rand.Reader, "empty", tuf.KeyEd25519, []byte{})
	assert.ErrorContains(t, err, "empty passphrase")
}

func TestKeystoreOnlyTheOwnerReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s := tuf.OpenKeystore(dir, nil)
	generate(t, s, "alice", tuf.KeyEd25519, "")
	for path, want := range map[string]os.FileMode{"": 0o700, "alice": 0o700, "alice/private.pem": 0o600, "alice/public.json": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), path)
	}
}

func TestKeystorePrivateKeyIsEncrypted(t *testing.T) {
	s := tuf.OpenKeystore(t.TempDir(), nil)
	generate(t, s, "sealed", tuf.KeyEd25519, "hop")
	generate(t, s, "plain", tuf.KeyEd25519, "")
	raw, err := s.PrivatePEM("sealed")
	require.NoError(t, err)
	block, _ := pem.Decode(raw)
	assert.Equal(t, "ENCRYPTED SIGSTORE PRIVATE KEY", block.Type)
	_, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	assert.Error(t, err)
	raw, err = s.PrivatePEM("plain")
	require.NoError(t, err)
	block, _ = pem.Decode(raw)
	assert.Equal(t, "PRIVATE KEY", block.Type)
	_, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	assert.NoError(t, err)
}

func TestKeystoreNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	s := tuf.OpenKeystore(dir, nil)
	first := generate(t, s, "alice", tuf.KeyEd25519, "")
	_, err := s.Generate(rand.Reader, "alice", tuf.KeyEd25519, nil)
	require.ErrorIs(t, err, tuf.ErrKeyExists)

	// Of many that race for one name one wins, and its files fit together.
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := tuf.OpenKeystore(dir, nil).Generate(rand.Reader, "bob", tuf.KeyEd25519, nil); err == nil {
				won.Add(1)
			} else {
				assert.ErrorIs(t, err, tuf.ErrKeyExists)
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1, won.Load())
	bob, err := s.Get("bob")
	require.NoError(t, err)
	_, err = s.Signer(t.Context(), bob.Key)
	require.NoError(t, err)
	still, err := s.Get("alice")
	require.NoError(t, err)
	assert.Equal(t, first.Key.ID(), still.Key.ID())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 2, "the losers leave nothing behind")
}

func TestKeystoreNamesAreNoPaths(t *testing.T) {
	s := tuf.OpenKeystore(filepath.Join(t.TempDir(), "keys"), nil)
	for _, name := range []string{"", ".", "..", "../alice", "a/b", `a\b`, "/etc/passwd", ".hidden", "-x", "a b", "a\x00b", "é", strings.Repeat("a", 129)} {
		_, err := s.Get(name)
		assert.ErrorIs(t, err, tuf.ErrUnknownName, "%q", name)
		_, err = s.Generate(rand.Reader, name, tuf.KeyEd25519, nil)
		assert.ErrorIs(t, err, tuf.ErrUnknownName, "%q", name)
		_, err = s.PrivatePEM(name)
		assert.ErrorIs(t, err, tuf.ErrUnknownName, "%q", name)
	}
}

func TestKeystorePrivateKeyMustMatchPublic(t *testing.T) {
	dir := t.TempDir()
	s := tuf.OpenKeystore(dir, nil)
	alice := generate(t, s, "alice", tuf.KeyEd25519, "")
	generate(t, s, "mallory", tuf.KeyEd25519, "")
	require.NoError(t, os.Rename(filepath.Join(dir, "mallory", "private.pem"), filepath.Join(dir, "alice", "private.pem")))
	_, err := s.Signer(t.Context(), alice.Key)
	assert.ErrorIs(t, err, tuf.ErrOtherKey)
}

func TestKeystoreDamage(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"public cut": func(t *testing.T, dir string) { overwrite(t, dir, "public.json", `{"keytype":"ed2`) },
		"public of no type": func(t *testing.T, dir string) {
			overwrite(t, dir, "public.json", `{"keytype":"x","scheme":"x","keyval":{"public":"00"}}`)
		},
		"public huge":   func(t *testing.T, dir string) { overwrite(t, dir, "public.json", strings.Repeat(" ", 1<<20)) },
		"private cut":   func(t *testing.T, dir string) { overwrite(t, dir, "private.pem", "-----BEGIN PRIV") },
		"private empty": func(t *testing.T, dir string) { overwrite(t, dir, "private.pem", "") },
		"private garbage": func(t *testing.T, dir string) {
			overwrite(t, dir, "private.pem", "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
		},
		"private huge": func(t *testing.T, dir string) { overwrite(t, dir, "private.pem", strings.Repeat("\n", 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := tuf.OpenKeystore(dir, passphrase("hop", nil))
			alice := generate(t, s, "alice", tuf.KeyEd25519, "hop")
			bob := generate(t, s, "bob", tuf.KeyEd25519, "")
			damage(t, filepath.Join(dir, "alice"))
			_, err := s.Signer(t.Context(), alice.Key)
			assert.ErrorContains(t, err, "key alice")
			_, err = s.Signer(t.Context(), bob.Key)
			assert.NoError(t, err, "one damaged key spoils no other")
		})
	}
}

func overwrite(t *testing.T, dir, file, content string) {
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600))
}

func TestKeystorePublicOnly(t *testing.T) {
	s := tuf.OpenKeystore(t.TempDir(), nil)
	k, err := tuf.NewSoftKey(rand.Reader, tuf.KeyECDSAP256)
	require.NoError(t, err)
	stored, err := s.AddPublic("colleague", k.Key())
	require.NoError(t, err)
	assert.False(t, stored.Private)
	assert.False(t, s.Has(k.Key()))
	_, err = s.Signer(t.Context(), k.Key())
	assert.ErrorIs(t, err, tuf.ErrNoKey)
	_, err = s.PrivatePEM("colleague")
	assert.ErrorIs(t, err, tuf.ErrNoKey)

	// The same key with its private part is found, whatever stands first.
	_, err = s.Add("own", k, nil)
	require.NoError(t, err)
	assert.True(t, s.Has(k.Key()))
}

func TestPrivateKeysOfOtherTools(t *testing.T) {
	cosign, cosignPub, err := cryptoutils.GeneratePEMEncodedECDSAKeyPair(elliptic.P256(), cryptoutils.StaticPasswordFunc([]byte("hop")))
	require.NoError(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	pkcs1 := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})
	ask := func() ([]byte, error) { return []byte("hop"), nil }

	k, err := tuf.DecodePrivateKey(cosign, ask)
	require.NoError(t, err)
	public, err := tuf.DecodePublicKey(cosignPub)
	require.NoError(t, err)
	assert.Equal(t, public.ID(), k.Key().ID())
	out, err := tuf.EncodePublicKey(k.Key())
	require.NoError(t, err)
	assert.Equal(t, string(cosignPub), string(out))
	again, err := tuf.DecodePublicKey(k.Key().JSON())
	require.NoError(t, err)
	assert.Equal(t, public.ID(), again.ID())

	k, err = tuf.DecodePrivateKey(pkcs1, nil)
	require.NoError(t, err)
	assert.Equal(t, "rsassa-pss-sha256", k.Key().Scheme)

	_, err = tuf.DecodePrivateKey(cosignPub, ask)
	assert.ErrorContains(t, err, "no private key")
}
