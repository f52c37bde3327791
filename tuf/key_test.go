package tuf_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures/tufrepository"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

func listed(t *testing.T, k *tufrepository.Key) metadata.Key {
	raw, err := json.Marshal(k.Public)
	require.NoError(t, err)
	key, err := metadata.ParseKey(raw)
	require.NoError(t, err)
	return key
}

func TestSoftKeys(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	k384, err := tuf.SoftKeyFrom(p384)
	require.NoError(t, err)
	keys := []*tuf.SoftKey{k384}
	for _, kind := range []string{tuf.KeyEd25519, tuf.KeyECDSAP256, tuf.KeyRSA3072} {
		k, err := tuf.NewSoftKey(rand.Reader, kind)
		require.NoError(t, err)
		keys = append(keys, k)
	}
	message := []byte("message")
	for i, k := range keys {
		sig, err := k.Sign(t.Context(), message)
		require.NoError(t, err)
		for j, other := range keys {
			err := tuf.VerifySignature(other.Key(), message, sig)
			if i == j {
				require.NoError(t, err, k.Key().Scheme)
				continue
			}
			require.ErrorIs(t, err, tuf.ErrSignature)
		}
		require.ErrorIs(t, tuf.VerifySignature(k.Key(), []byte("massage"), sig), tuf.ErrSignature)
		for at := range sig { // no byte can be changed
			bad := bytes.Clone(sig)
			bad[at] ^= 0x80
			require.ErrorIs(t, tuf.VerifySignature(k.Key(), message, bad), tuf.ErrSignature)
		}
		require.ErrorIs(t, tuf.VerifySignature(k.Key(), message, nil), tuf.ErrSignature)
	}
	_, err = tuf.NewSoftKey(rand.Reader, "dsa")
	require.ErrorContains(t, err, "want ed25519")
}

func TestUnusableKeys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	_, err = tuf.SoftKeyFrom(small)
	require.ErrorIs(t, err, tuf.ErrUnknownKey)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	require.NoError(t, err)
	_, err = tuf.SoftKeyFrom(p224)
	require.ErrorIs(t, err, tuf.ErrUnknownKey)
	ec := tufrepository.NewECDSAKey("ecdsa")
	for _, k := range []*tufrepository.Key{
		ec.With(tufrepository.Object{"scheme": "ecdsa-sha2-nistp384"}),
		ec.With(tufrepository.Object{"keytype": "rsa", "scheme": "rsassa-pss-sha256"}),
		ec.With(tufrepository.Object{"keytype": "ed25519", "scheme": "ed25519"}),
		tufrepository.NewKey("x").With(tufrepository.Object{"scheme": "rsassa-pss-sha256"}),
		tufrepository.NewKey("x").With(tufrepository.Object{"keyval": tufrepository.Object{"public": strings.Repeat("ab", 31)}}),
	} {
		require.ErrorIs(t, tuf.VerifySignature(listed(t, k), []byte("m"), k.Sign([]byte("m"))), tuf.ErrUnknownKey)
	}
}

func TestKeyIdentity(t *testing.T) {
	k := tufrepository.NewECDSAKey("ecdsa")
	other := tufrepository.NewECDSAKey("ecdsa")
	identity := func(k *tufrepository.Key) string {
		id, err := tuf.KeyIdentity(listed(t, k))
		require.NoError(t, err)
		return id
	}
	require.Equal(t, identity(k), identity(k.With(tufrepository.Object{"keytype": "ecdsa-sha2-nistp256", "note": "x"})))
	require.NotEqual(t, identity(k), identity(other))
}

// A threshold is one of keys, not of key IDs or signatures.
func TestVerifyThreshold(t *testing.T) {
	repo := tufrepository.New(start)
	keys := []*tufrepository.Key{tufrepository.NewKey("1"), tufrepository.NewKey("2"), tufrepository.NewKey("3")}
	repo.SetKeys("root", 2, keys...)
	verify := func(threshold int, signers ...*tufrepository.Key) error {
		repo.Signers["root"] = signers
		f, err := metadata.Decode("root", repo.Sign("root"))
		require.NoError(t, err)
		rk := f.Root.Roles["root"]
		rk.Threshold = threshold
		return tuf.VerifyThreshold("root", f, f.Root.Keys, rk)
	}
	require.NoError(t, verify(2, keys[0], keys[2]))
	require.NoError(t, verify(3, keys...))
	twin := keys[0].As("twin")
	repo.SetKeys("root", 2, append(keys, twin)...)
	repo.SetKeys("timestamp", 1, tufrepository.NewKey("timestamp"))
	for _, err := range []error{
		verify(2, keys[0]),
		verify(2, keys[0], twin),
		verify(2, keys[0], tufrepository.NewKey("timestamp")),
		verify(2, keys[0], keys[1].As("unlisted")),
		verify(2, keys[0], tufrepository.NewKey("stranger")),
		verify(2, keys[0], tufrepository.NewKey("stranger").As(keys[1].ID)),
		verify(0, keys...),
		verify(1),
	} {
		require.ErrorIs(t, err, tuf.ErrThreshold)
	}
	var threshold *tuf.ThresholdError
	require.ErrorAs(t, verify(2, keys[0]), &threshold)
	require.Equal(t, 2, threshold.Want)
	require.Equal(t, 1, threshold.Got)
}
