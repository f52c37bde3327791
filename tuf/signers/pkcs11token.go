//go:build pkcs11

package signers

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/miekg/pkcs11"

	"github.com/carnet-project/carnet/tuf"
)

// modules are those that this process has loaded: the standard lets a process
// initialise each once, whoever asks.
var modules struct {
	sync.Mutex
	byPath map[string]*pkcs11.Ctx
}

func loadModule(path string) (*pkcs11.Ctx, error) {
	modules.Lock()
	defer modules.Unlock()
	if m := modules.byPath[path]; m != nil {
		return m, nil
	}
	m := pkcs11.New(path)
	if m == nil {
		return nil, fmt.Errorf("%w: the PKCS#11 module %q cannot be loaded: is it there, and for this machine?", tuf.ErrNoKey, path)
	}
	err := m.Initialize()
	if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		m.Destroy()
		return nil, fmt.Errorf("%w: initialise the PKCS#11 module %q: %w", ErrToken, path, err)
	}
	if modules.byPath == nil {
		modules.byPath = map[string]*pkcs11.Ctx{}
	}
	modules.byPath[path] = m
	return m, nil
}

// openToken finds the one token that t describes and opens a session.
func openToken(path string, t pkcs11URI) (*token, error) {
	m, err := loadModule(path)
	if err != nil {
		return nil, err
	}
	slots, err := m.GetSlotList(true)
	if err != nil {
		return nil, fmt.Errorf("%w: list the slots of %q: %w", ErrToken, path, err)
	}
	var found []*token
	var seen []string
	for _, slot := range slots {
		info, err := m.GetTokenInfo(slot)
		if err != nil {
			continue // taken out meanwhile, or not to be read
		}
		if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		seen = append(seen, fmt.Sprintf("%q", info.Label))
		if t.matches(slot, info) {
			found = append(found, &token{module: m, slot: slot, label: info.Label, flags: info.Flags})
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%w: no token fits; present are: %s", tuf.ErrNoKey, strings.Join(seen, ", "))
	case 1:
		return found[0], found[0].open()
	}
	return nil, fmt.Errorf("%w: %d tokens fit: name one by token, serial or slot-id", ErrAmbiguous, len(found))
}

// matches compares what RFC 7512, section 2.3, lets a URI say of a token.
func (t pkcs11URI) matches(slot uint, info pkcs11.TokenInfo) bool {
	for name, has := range map[string]string{
		"token": info.Label, "serial": info.SerialNumber, "manufacturer": info.ManufacturerID, "model": info.Model,
	} {
		if want, ok := t.path[name]; ok && want != strings.TrimRight(has, " \x00") {
			return false
		}
	}
	return t.slotID == nil || *t.slotID == slot
}

func (tok *token) open() error {
	session, err := tok.module.OpenSession(tok.slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return tok.failed("open a session", err)
	}
	tok.session = session
	return nil
}

// maxObjects bounds how many objects of a token are looked at.
const maxObjects = 64

// objects returns the handles that fit a template. The caller holds mu.
func (tok *token) objects(template []*pkcs11.Attribute) ([]pkcs11.ObjectHandle, error) {
	if err := tok.module.FindObjectsInit(tok.session, template); err != nil {
		return nil, tok.failed("look for the key", err)
	}
	found, _, err := tok.module.FindObjects(tok.session, maxObjects)
	if end := tok.module.FindObjectsFinal(tok.session); err == nil {
		err = end
	}
	if err != nil {
		return nil, tok.failed("look for the key", err)
	}
	return found, nil
}

// template describes the object that t names, of one class.
func (t pkcs11URI) template(class uint, id []byte) []*pkcs11.Attribute {
	out := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}
	if label, ok := t.path["object"]; ok {
		out = append(out, pkcs11.NewAttribute(pkcs11.CKA_LABEL, label))
	}
	if want, ok := t.path["id"]; ok {
		id = []byte(want)
	}
	if len(id) > 0 {
		out = append(out, pkcs11.NewAttribute(pkcs11.CKA_ID, id))
	}
	return out
}

// privateObject returns the private key that belongs to the public one. The
// caller holds mu.
func (k *tokenKey) privateObject() (pkcs11.ObjectHandle, error) {
	found, err := k.objects(k.uri.template(pkcs11.CKO_PRIVATE_KEY, k.id))
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, fmt.Errorf("%w: the token %q has the public key and no private key of the same label and id", tuf.ErrNoKey, k.label)
	case len(found) > 1:
		return 0, fmt.Errorf("%w: %d private keys of the token %q fit: name one by object and id", ErrAmbiguous, len(found), k.label)
	}
	return found[0], nil
}
