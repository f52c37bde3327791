//go:build pkcs11

package signers

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// ErrToken says that a PKCS#11 module or token failed.
var ErrToken = errors.New("token failed")

// token is a token in a slot of a loaded module, with a session of its own. Mu
// keeps its calls apart; none is made without it.
type token struct {
	module *pkcs11.Ctx
	slot   uint
	label  string
	flags  uint
	pin    func(context.Context) ([]byte, error)

	mu       sync.Mutex
	session  pkcs11.SessionHandle
	loggedIn bool
	refused  error // the PIN was wrong: another try may lock the token
}

// tokenKey is one private key of a token. It implements tuf.Signer.
type tokenKey struct {
	*token
	uri pkcs11URI
	id  []byte // CKA_ID, by which the private object belongs to the public one
	key metadata.Key
}

func (o *Opener) lookPKCS11(ctx context.Context, uri string) (Found, error) {
	t, err := parsePKCS11(uri)
	if err != nil {
		return Found{}, err
	}
	path := t.modulePath
	if path == "" {
		path, _ = o.Getenv(ModuleEnv)
	}
	if path == "" {
		return Found{}, fmt.Errorf("%w: which PKCS#11 module? give module-path in the URI, or set %s", ErrURI, ModuleEnv)
	}
	tok, err := answered(ctx, func() (*token, error) { return openToken(path, t) })
	if err != nil {
		return Found{}, err
	}
	tok.pin = func(ctx context.Context) ([]byte, error) { return o.pinFor(ctx, t, tok) }
	k, err := tok.find(ctx, t)
	if err != nil {
		return Found{}, err
	}
	return Found{Key: k.key, Signer: k}, nil
}

// pinFor returns the PIN that the URI gives, else that of the environment,
// else that of a person.
func (o *Opener) pinFor(ctx context.Context, t pkcs11URI, tok *token) ([]byte, error) {
	switch {
	case t.pinValue != nil:
		return []byte(*t.pinValue), nil
	case t.pinSource != "":
		return readPIN(t.pinSource)
	}
	if pin, ok := o.Getenv(PINEnv); ok {
		return []byte(pin), nil
	}
	if o.PIN == nil {
		return nil, fmt.Errorf("the token %q needs a PIN: %w", tok.label, ErrPIN)
	}
	return o.PIN(ctx, fmt.Sprintf("the token %q", tok.label))
}

// answered runs calls of a module, which cannot be interrupted: when ctx ends
// they are left behind.
func answered[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := call()
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return a.value, a.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("%w: the PKCS#11 module did not answer: %w", ErrToken, ctx.Err())
	}
}

// find looks for the public key of t, first without a PIN.
func (tok *token) find(ctx context.Context, t pkcs11URI) (*tokenKey, error) {
	k, err := answered(ctx, func() (*tokenKey, error) { return tok.publicKey(t) })
	if !errors.Is(err, tuf.ErrNoKey) || tok.flags&pkcs11.CKF_LOGIN_REQUIRED == 0 {
		return k, err
	}
	if err := tok.login(ctx); err != nil { // some tokens hide public keys too
		return nil, err
	}
	return answered(ctx, func() (*tokenKey, error) { return tok.publicKey(t) })
}

// login gives the PIN to the token, once.
func (tok *token) login(ctx context.Context) error {
	tok.mu.Lock()
	done, refused := tok.loggedIn || tok.flags&pkcs11.CKF_LOGIN_REQUIRED == 0, tok.refused
	tok.mu.Unlock()
	if done || refused != nil {
		return refused
	}
	pin, err := tok.askPIN(ctx)
	if err != nil {
		return err
	}
	_, err = answered(ctx, func() (struct{}, error) { return struct{}{}, tok.give(pkcs11.CKU_USER, pin) })
	return err
}

// askPIN returns the PIN; a token with a keypad of its own asks itself.
func (tok *token) askPIN(ctx context.Context) (string, error) {
	if tok.flags&pkcs11.CKF_PROTECTED_AUTHENTICATION_PATH != 0 {
		return "", nil
	}
	pin, err := tok.pin(ctx)
	return string(pin), err
}

func (tok *token) give(user uint, pin string) error {
	tok.mu.Lock()
	defer tok.mu.Unlock()
	err := tok.loginError(tok.module.Login(tok.session, user, pin))
	if err == nil && user == pkcs11.CKU_USER {
		tok.loggedIn = true
	}
	if errors.Is(err, ErrPIN) {
		tok.refused = err
	}
	return err
}

// loginError says what a refused PIN means.
func (tok *token) loginError(err error) error {
	var code pkcs11.Error
	if err == nil || errors.As(err, &code) && code == pkcs11.CKR_USER_ALREADY_LOGGED_IN {
		return nil
	}
	switch code {
	case pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE:
		return fmt.Errorf("%w for the token %q%s", ErrPIN, tok.label, tok.triesLeft())
	case pkcs11.CKR_PIN_LOCKED:
		return fmt.Errorf("%w: the token %q is locked after too many wrong PINs: its security officer can unlock it", ErrPIN, tok.label)
	case pkcs11.CKR_PIN_EXPIRED:
		return fmt.Errorf("%w: the PIN of the token %q has expired", ErrPIN, tok.label)
	}
	return tok.failed("login", err)
}

func (tok *token) triesLeft() string {
	info, err := tok.module.GetTokenInfo(tok.slot)
	switch {
	case err != nil:
		return ""
	case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return ": it is locked now"
	case info.Flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0:
		return ": one more wrong PIN locks it"
	case info.Flags&pkcs11.CKF_USER_PIN_COUNT_LOW != 0:
		return ": a few more wrong PINs lock it"
	}
	return ""
}

func (tok *token) failed(doing string, err error) error {
	return fmt.Errorf("%w: %q: %s: %w", ErrToken, tok.label, doing, err)
}

// Key returns the public key.
func (k *tokenKey) Key() metadata.Key { return k.key }

// Sign has the token sign, and takes only a signature that verifies.
func (k *tokenKey) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if err := k.login(ctx); err != nil {
		return nil, err
	}
	again := func() (string, error) { return k.askPIN(ctx) }
	sig, err := answered(ctx, func() ([]byte, error) { return k.sign(message, again) })
	if err != nil {
		return nil, err
	}
	if err := tuf.VerifySignature(k.key, message, sig); err != nil {
		return nil, k.failed("sign", fmt.Errorf("a signature that is not %s by the public key beside it: %w", k.key.Scheme, err))
	}
	return sig, nil
}

func (k *tokenKey) sign(message []byte, again func() (string, error)) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	object, err := k.privateObject()
	if err != nil {
		return nil, err
	}
	data := message
	if hash := tuf.SchemeHash(k.key); hash != crypto.Hash(0) {
		h := hash.New()
		h.Write(message)
		data = h.Sum(nil)
	}
	if err := k.module.SignInit(k.session, []*pkcs11.Mechanism{k.mechanism()}, object); err != nil {
		return nil, k.failed("sign", err)
	}
	if k.alwaysAuthenticates(object) {
		pin, err := again()
		if err == nil {
			err = k.loginError(k.module.Login(k.session, pkcs11.CKU_CONTEXT_SPECIFIC, pin))
		}
		if err != nil {
			return nil, err
		}
	}
	sig, err := k.module.Sign(k.session, data)
	if err != nil {
		return nil, k.failed("sign", err)
	}
	return k.encode(sig)
}

// alwaysAuthenticates reports whether the key wants the PIN for each signature.
func (k *tokenKey) alwaysAuthenticates(object pkcs11.ObjectHandle) bool {
	v, err := k.module.GetAttributeValue(k.session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_ALWAYS_AUTHENTICATE, nil)})
	return err == nil && len(v) == 1 && len(v[0].Value) == 1 && v[0].Value[0] == 1
}
