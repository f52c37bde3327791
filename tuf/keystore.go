package tuf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/carnet-project/carnet/metadata"
)

var (
	// ErrUnknownName says that the keystore has no key of a name.
	ErrUnknownName = errors.New("no key of that name")
	// ErrKeyExists says that a name is taken; keys are never overwritten.
	ErrKeyExists = errors.New("a key of that name exists")
	// ErrOtherKey says that the private key is not that of the public key which
	// is stored: a file was exchanged, or an alias was moved to another key.
	ErrOtherKey = errors.New("not the key that was stored")
)

// What a key's folder holds.
const (
	publicFile    = "public.json" // TUF's JSON
	privateFile   = "private.pem" // or
	referenceFile = "uri"         // where the private key is; without both only the public key is known
)

// Keystore keeps keys in a folder, each in a folder of its own: the public key
// readable as TUF's JSON, and the private key as PEM, encrypted unless it was
// stored without a passphrase, or the URI of the place where it is. Only the
// owner can read any of it. A key is there as a whole or not at all, and is
// never overwritten. Its public key is what binds it: a private key that does
// not fit is refused, wherever it comes from.
//
// It is a [Keyring], and safe for concurrent use.
type Keystore struct {
	dir       string
	ask       func(ctx context.Context, name string) ([]byte, error)
	elsewhere func(ctx context.Context, uri string) (Signer, error) // set before use

	mu      sync.Mutex
	open    map[string]Signer // unlocked, by name
	brought Keys              // not stored
}

// OpenKeystore returns the keystore in dir, which is made with the first key.
// Ask returns the passphrase of a key; it is called at most once for a key
// that then opens, one call at a time. Nil stands for "there is none".
func OpenKeystore(dir string, ask func(ctx context.Context, name string) ([]byte, error)) *Keystore {
	return &Keystore{dir: dir, ask: ask, open: map[string]Signer{}}
}

// StoredKey is what can be told of a key without its passphrase.
type StoredKey struct {
	Name      string
	Key       metadata.Key
	Private   bool   // it can be signed with: the private key is here, or at URI
	Encrypted bool   // the private key is here and needs a passphrase
	URI       string // where the private key is; empty if it is here, or unknown
}

// Generate makes a key of a type ([KeyEd25519] …) from rand and stores it. A
// nil passphrase leaves the private key unencrypted.
func (s *Keystore) Generate(rand io.Reader, name, keyType string, passphrase []byte) (StoredKey, error) {
	if err := s.Free(name); err != nil { // before the work
		return StoredKey{}, err
	}
	k, err := NewSoftKey(rand, keyType)
	if err != nil {
		return StoredKey{}, err
	}
	return s.Add(name, k, passphrase)
}

// Add stores a private key under a new name. A nil passphrase leaves it
// unencrypted.
func (s *Keystore) Add(name string, k *SoftKey, passphrase []byte) (StoredKey, error) {
	private, err := EncodePrivateKey(k, passphrase)
	if err != nil {
		return StoredKey{}, err
	}
	err = s.create(name, map[string][]byte{publicFile: append(k.Key().JSON(), '\n'), privateFile: private})
	return StoredKey{Name: name, Key: k.Key(), Private: true, Encrypted: passphrase != nil}, err
}

// AddPublic stores somebody else's key under a new name: it can be delegated
// to and not signed with.
func (s *Keystore) AddPublic(name string, k metadata.Key) (StoredKey, error) {
	if _, err := KeyIdentity(k); err != nil {
		return StoredKey{}, err
	}
	return StoredKey{Name: name, Key: k}, s.create(name, map[string][]byte{publicFile: append(k.JSON(), '\n')})
}

// Get returns a key by name. It fails with ErrUnknownName.
func (s *Keystore) Get(name string) (StoredKey, error) {
	if err := checkKeyName(name); err != nil {
		return StoredKey{}, err
	}
	raw, err := s.read(name, publicFile)
	if errors.Is(err, fs.ErrNotExist) {
		return StoredKey{}, fmt.Errorf("%w: %s (see key list)", ErrUnknownName, name)
	}
	if err != nil {
		return StoredKey{}, fmt.Errorf("key %s: %w", name, err)
	}
	out := StoredKey{Name: name}
	if out.Key, err = DecodePublicKey(raw); err != nil {
		return out, fmt.Errorf("key %s: %s is damaged: %w", name, s.path(name, publicFile), err)
	}
	private, err := s.read(name, privateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return s.reference(out)
	}
	if err != nil {
		return out, fmt.Errorf("key %s: %w", name, err)
	}
	out.Private, out.Encrypted = true, isEncrypted(private)
	return out, nil
}

// List returns all keys by name. Those that can be read are returned also if
// others cannot, which the error names. What is no key's folder is passed over.
func (s *Keystore) List() ([]StoredKey, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []StoredKey
	var damaged error
	for _, e := range entries {
		if !e.IsDir() || checkKeyName(e.Name()) != nil {
			continue
		}
		k, err := s.Get(e.Name())
		if err == nil {
			out = append(out, k)
		} else if !errors.Is(err, ErrUnknownName) {
			damaged = errors.Join(damaged, err)
		}
	}
	return out, damaged
}

// PrivatePEM returns the private key as it is stored: encrypted if it is.
func (s *Keystore) PrivatePEM(name string) ([]byte, error) {
	k, err := s.Get(name)
	if err != nil {
		return nil, err
	}
	if k.URI != "" {
		return nil, fmt.Errorf("%w: the private key of %s is kept at %s", ErrNoKey, name, k.URI)
	}
	if !k.Private {
		return nil, fmt.Errorf("%w: only the public key of %s is known", ErrNoKey, name)
	}
	return s.read(name, privateFile)
}

// Signer returns the signer of a key, found by its material whatever ID it is
// listed under. It asks for a passphrase, or goes where the private key is, if
// the key was not opened before.
func (s *Keystore) Signer(ctx context.Context, key metadata.Key) (Signer, error) {
	if b := s.broughtSigner(ctx, key); b != nil {
		return b, nil
	}
	k, err := s.find(key)
	if err != nil {
		return nil, err
	}
	return s.unlock(ctx, k)
}

// Has reports whether the private key is here, or where it is is known. It
// asks for nothing.
func (s *Keystore) Has(key metadata.Key) bool {
	if s.broughtSigner(context.Background(), key) != nil {
		return true
	}
	_, err := s.find(key)
	return err == nil
}

func (s *Keystore) find(key metadata.Key) (StoredKey, error) {
	want, err := KeyIdentity(key)
	if err != nil {
		return StoredKey{}, err
	}
	all, damaged := s.List()
	for _, k := range all {
		if id, err := KeyIdentity(k.Key); err == nil && id == want && k.Private {
			return k, nil
		}
	}
	return StoredKey{}, errors.Join(fmt.Errorf("%w: %s", ErrNoKey, key.ID()), damaged)
}

// unlock opens the private key and checks that it is that of the public file:
// else somebody who can write here, or move an alias, could have another key
// delegated to.
func (s *Keystore) unlock(ctx context.Context, k StoredKey) (Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.open[k.Name]; open != nil {
		return open, nil
	}
	open, err := s.private(ctx, k)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k.Name, err)
	}
	if err := sameKey(k.Key, open.Key()); err != nil {
		place := k.URI
		if place == "" {
			place = s.path(k.Name, privateFile)
		}
		return nil, fmt.Errorf("key %s: %s holds another key than %s: %w", k.Name, place, s.path(k.Name, publicFile), err)
	}
	s.open[k.Name] = open
	return open, nil
}

func (s *Keystore) private(ctx context.Context, k StoredKey) (Signer, error) {
	if k.URI != "" {
		return s.elsewhere(ctx, k.URI)
	}
	raw, err := s.read(k.Name, privateFile)
	if err != nil {
		return nil, err
	}
	return DecodePrivateKey(raw, s.asker(ctx, k.Name))
}

func (s *Keystore) asker(ctx context.Context, name string) func() ([]byte, error) {
	if s.ask == nil {
		return nil
	}
	return func() ([]byte, error) { return s.ask(ctx, name) }
}

// sameKey fails with ErrOtherKey if two keys differ in material.
func sameKey(public, private metadata.Key) error {
	a, err := KeyIdentity(public)
	if err != nil {
		return err
	}
	b, err := KeyIdentity(private)
	if err == nil && a != b {
		err = ErrOtherKey
	}
	return err
}
