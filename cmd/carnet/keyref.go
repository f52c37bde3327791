package main

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// publicKeys is publicKey for several; two names of one key are refused.
func (c *command) publicKeys(names []string) ([]metadata.Key, error) {
	var out []metadata.Key
	seen := map[string]string{}
	for _, name := range names {
		k, err := c.publicKey(name)
		if err != nil {
			return nil, err
		}
		id, err := tuf.KeyIdentity(k)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", name, err)
		}
		if other, ok := seen[id]; ok {
			return nil, usagef("%s and %s are the same key: it counts once", other, name)
		}
		seen[id] = name
		out = append(out, k)
	}
	return out, nil
}

// ensureKey returns the key of that name, made if it is missing. It asks for a
// passphrase, by ask, only to make it; a nil one leaves it unencrypted.
func (c *command) ensureKey(name string, ask func() ([]byte, error)) (metadata.Key, error) {
	ks, err := c.keys()
	if err != nil {
		return metadata.Key{}, err
	}
	stored, err := ks.Get(name)
	if !errors.Is(err, tuf.ErrUnknownName) {
		return stored.Key, err
	}
	if err := ks.Free(name); err != nil {
		return metadata.Key{}, err
	}
	passphrase, err := ask()
	if err != nil {
		return metadata.Key{}, err
	}
	if stored, err = ks.Generate(rand.Reader, name, tuf.KeyEd25519, passphrase); err == nil {
		c.say("made the key %s", name)
	}
	return stored.Key, err
}
