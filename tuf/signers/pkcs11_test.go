//go:build pkcs11

package signers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/pkcs11"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// The module reads its configuration once a process: all tests share it.
func TestMain(m *testing.M) {
	os.Exit(withTokens(m))
}

func withTokens(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tokens-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nlog.level = ERROR\n"), 0o600); err != nil {
		panic(err)
	}
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil {
		panic(err)
	}
	if out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", "carnet", "--pin", "1234", "--so-pin", "5678").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("softhsm2-util: %v: %s", err, out))
	}
	return m.Run()
}

// onToken makes a key pair on the token with a session of its own; the
// attributes come first, so that they count.
func onToken(t *testing.T, label string, id byte, public, private []*pkcs11.Attribute) {
	module := pkcs11.New(softHSM)
	require.NotNil(t, module)
	if err := module.Initialize(); err != nil {
		require.ErrorIs(t, err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED))
	}
	slots, err := module.GetSlotList(true)
	require.NoError(t, err)
	session, err := module.OpenSession(slots[0], pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	require.NoError(t, err)
	require.NoError(t, module.Login(session, pkcs11.CKU_USER, "1234"))
	p256 := []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}
	_, _, err = module.GenerateKeyPair(session, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_EC_KEY_PAIR_GEN, nil)},
		append(public, pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, p256), pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, []byte{id}), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true)),
		append(private, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label), pkcs11.NewAttribute(pkcs11.CKA_ID, []byte{id}), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_SIGN, true)))
	require.NoError(t, err)
	require.NoError(t, module.Logout(session))
	require.NoError(t, module.CloseSession(session))
}

// asked returns an opener that counts how often a PIN is asked for.
func asked(pin string, n *int) *signers.Opener {
	return &signers.Opener{Getenv: none, PIN: func(context.Context, string) ([]byte, error) { *n++; return []byte(pin), nil }}
}

func uri(object string) string {
	return "pkcs11:token=carnet;object=" + object + "?module-path=" + softHSM
}

func TestTokenAsksOnceOrForEachSignature(t *testing.T) {
	onToken(t, "once", 1, nil, nil)
	onToken(t, "always", 2, nil, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ALWAYS_AUTHENTICATE, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true)})
	for object, want := range map[string]int{"once": 1, "always": 4} {
		n := 0
		s, err := asked("1234", &n).Open(t.Context(), uri(object))
		require.NoError(t, err)
		assert.Zero(t, n, "a public key is looked up without a PIN")
		for range 3 {
			sig, err := s.Sign(t.Context(), []byte("message"))
			require.NoError(t, err, object)
			require.NoError(t, tuf.VerifySignature(s.Key(), []byte("message"), sig))
		}
		assert.Equal(t, want, n, object)
		logout(t)
	}
}

// logout forgets the PIN, which the module keeps for the process.
func logout(t *testing.T) {
	module := pkcs11.New(softHSM)
	slots, err := module.GetSlotList(true)
	require.NoError(t, err)
	require.NoError(t, module.CloseAllSessions(slots[0]))
}

func TestTokenHidesItsPublicKey(t *testing.T) {
	onToken(t, "hidden", 3, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true)}, nil)
	n := 0
	s, err := asked("1234", &n).Open(t.Context(), uri("hidden"))
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	_, err = s.Sign(t.Context(), []byte("message"))
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	logout(t)
}

// A second try with the same wrong PIN would bring the token nearer to being
// locked.
func TestTokenIsGivenAWrongPINOnce(t *testing.T) {
	onToken(t, "guarded", 4, nil, nil)
	n := 0
	s, err := asked("4321", &n).Open(t.Context(), uri("guarded"))
	require.NoError(t, err)
	for range 3 {
		_, err := s.Sign(t.Context(), []byte("message"))
		require.ErrorIs(t, err, signers.ErrPIN)
		assert.NotContains(t, err.Error(), "4321")
	}
	assert.Equal(t, 1, n)
	logout(t)
}

func TestTokenWithoutAPIN(t *testing.T) {
	onToken(t, "nobody", 5, nil, nil)
	o := &signers.Opener{Getenv: none}
	s, err := o.Open(t.Context(), uri("nobody"))
	require.NoError(t, err)
	_, err = s.Sign(t.Context(), []byte("message"))
	require.ErrorIs(t, err, signers.ErrPIN)
	logout(t)
}

// A module that never answers is left behind at the deadline.
func TestModuleThatHangs(t *testing.T) {
	dir := t.TempDir()
	source, module := filepath.Join(dir, "hang.c"), filepath.Join(dir, "hang.so")
	require.NoError(t, os.WriteFile(source, []byte("#include <unistd.h>\nunsigned long C_GetFunctionList(void *l) { for (;;) pause(); }\n"), 0o600))
	out, err := exec.Command("cc", "-shared", "-fPIC", "-o", module, source).CombinedOutput()
	require.NoError(t, err, "%s", out)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	o := &signers.Opener{Getenv: none}
	_, err = o.Open(ctx, "pkcs11:object=x?module-path="+module)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, signers.ErrToken)
}
