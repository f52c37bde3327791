package tuf

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// maxURI bounds the URI of a key, in bytes.
const maxURI = 4096

// Elsewhere says how private keys are opened that are kept at a URI: without
// it only those that are in the keystore can be signed with. It is called at
// most once for a key that then opens, one call at a time. Call it before
// anything else.
func (s *Keystore) Elsewhere(open func(ctx context.Context, uri string) (Signer, error)) {
	s.elsewhere = open
}

// AddReference stores under a new name where a private key is. The public key
// binds it: whenever the URI leads to another key, that is refused with
// ErrOtherKey. A URI must hold no secret.
func (s *Keystore) AddReference(name string, k metadata.Key, uri string) (StoredKey, error) {
	if _, err := KeyIdentity(k); err != nil {
		return StoredKey{}, err
	}
	if err := checkURI(uri); err != nil {
		return StoredKey{}, err
	}
	err := s.create(name, map[string][]byte{publicFile: append(k.JSON(), '\n'), referenceFile: []byte(uri + "\n")})
	return StoredKey{Name: name, Key: k, Private: true, URI: uri}, err
}

// reference completes what is known of a key without a private file.
func (s *Keystore) reference(k StoredKey) (StoredKey, error) {
	raw, err := s.read(k.Name, referenceFile)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	uri := strings.TrimSuffix(string(raw), "\n")
	if err == nil {
		err = checkURI(uri)
	}
	if err != nil {
		return k, fmt.Errorf("key %s: %s is damaged: %w", k.Name, s.path(k.Name, referenceFile), err)
	}
	k.URI, k.Private = uri, s.elsewhere != nil
	return k, nil
}

func checkURI(uri string) error {
	if uri == "" || len(uri) > maxURI || strings.ContainsFunc(uri, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("%.80q cannot be the URI of a key: want one line of at most %d bytes", uri, maxURI)
	}
	return nil
}

// Bring adds a signer to the keyring for as long as the keystore is open. It
// is not stored, and goes before what is.
func (s *Keystore) Bring(signer Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.brought = append(s.brought, signer)
}

// broughtSigner returns the signer that was brought for a key, nil if none was.
func (s *Keystore) broughtSigner(ctx context.Context, key metadata.Key) Signer {
	s.mu.Lock()
	defer s.mu.Unlock()
	signer, err := s.brought.Signer(ctx, key)
	if err != nil {
		return nil
	}
	return signer
}
