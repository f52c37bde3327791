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
)

// What a key's folder holds.
const (
	privateFile = "private.pem" // absent if only the public key is known
	publicFile  = "public.json" // TUF's JSON
)

// Keystore keeps keys in a folder, each in a folder of its own: the public key
// readable as TUF's JSON, the private key as PEM, encrypted unless it was
// stored without a passphrase. Only the owner can read any of it. A key is
// there as a whole or not at all, and is never overwritten.
//
// It is a [Keyring], and safe for concurrent use.
type Keystore struct {
	dir string
	ask func(ctx context.Context, name string) ([]byte, error)

	mu   sync.Mutex
	open map[string]*SoftKey // unlocked, by name
}

// OpenKeystore returns the keystore in dir, which is made with the first key.
// Ask returns the passphrase of a key; it is called at most once for a key
// that then opens, one call at a time. Nil stands for "there is none".
func OpenKeystore(dir string, ask func(ctx context.Context, name string) ([]byte, error)) *Keystore {
	return &Keystore{dir: dir, ask: ask, open: map[string]*SoftKey{}}
}

// StoredKey is what can be told of a key without its passphrase.
type StoredKey struct {
	Name      string
	Key       metadata.Key
	Private   bool // the private key is here too
	Encrypted bool // and needs a passphrase
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
		return out, nil
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
	if !k.Private {
		return nil, fmt.Errorf("%w: only the public key of %s is known", ErrNoKey, name)
	}
	return s.read(name, privateFile)
}

// Signer returns the signer of a key, found by its material whatever ID it is
// listed under. It asks for a passphrase if the key was not opened before.
func (s *Keystore) Signer(ctx context.Context, key metadata.Key) (Signer, error) {
	k, err := s.find(key)
	if err != nil {
		return nil, err
	}
	return s.unlock(ctx, k)
}

// Has reports whether the private key is here. It asks for nothing.
func (s *Keystore) Has(key metadata.Key) bool {
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
// else somebody who can write here could have another key delegated to.
func (s *Keystore) unlock(ctx context.Context, k StoredKey) (*SoftKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.open[k.Name]; open != nil {
		return open, nil
	}
	raw, err := s.read(k.Name, privateFile)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k.Name, err)
	}
	open, err := DecodePrivateKey(raw, s.asker(ctx, k.Name))
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", k.Name, err)
	}
	if err := sameKey(k.Key, open.Key()); err != nil {
		return nil, fmt.Errorf("key %s: %s and %s: %w", k.Name, s.path(k.Name, privateFile), s.path(k.Name, publicFile), err)
	}
	s.open[k.Name] = open
	return open, nil
}

func (s *Keystore) asker(ctx context.Context, name string) func() ([]byte, error) {
	if s.ask == nil {
		return nil
	}
	return func() ([]byte, error) { return s.ask(ctx, name) }
}

func sameKey(public, private metadata.Key) error {
	a, err := KeyIdentity(public)
	if err != nil {
		return err
	}
	b, err := KeyIdentity(private)
	if err == nil && a != b {
		err = fmt.Errorf("%w: they are not one key", ErrUnknownKey)
	}
	return err
}
