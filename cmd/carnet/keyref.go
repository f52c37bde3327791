package main

import (
	"context"
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

// ensureKey returns the key of that name, made if it is missing.
func (c *command) ensureKey(ctx context.Context, name string, noPassphrase bool) (metadata.Key, error) {
	ks, err := c.keys()
	if err != nil {
		return metadata.Key{}, err
	}
	stored, err := ks.Get(name)
	if !errors.Is(err, tuf.ErrUnknownName) {
		return stored.Key, err
	}
	if stored, err = c.generateKey(ctx, name, tuf.KeyEd25519, noPassphrase); err == nil {
		c.say("made the key %s", name)
	}
	return stored.Key, err
}
