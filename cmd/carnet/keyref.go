package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/tuf/signers"
)

// keyForms tells in help texts how a key is named.
const keyForms = `A KEY is named in one form everywhere:
  NAME            a key of the keystore
  file:PATH       a file with a public or private key
  env:NAME        an environment variable with one, or with its base64
  pkcs11:…        an object of a token (RFC 7512), if built with PKCS#11
  PLUGIN://…      a key of the program sigstore-kms-PLUGIN on PATH`

// key returns the key that an argument names: by its name in the keystore, or
// by URI. A private key that a URI leads to is at hand from then on.
func (c *command) key(ctx context.Context, arg string) (tuf.StoredKey, error) {
	ks, err := c.keys()
	if err != nil {
		return tuf.StoredKey{}, err
	}
	if !signers.IsURI(arg) {
		k, err := ks.Get(arg)
		if errors.Is(err, tuf.ErrUnknownName) && isFile(arg) {
			err = fmt.Errorf("%w (a file is named file:%s)", err, arg)
		}
		return k, err
	}
	found, ok := c.found[arg]
	if !ok {
		if found, err = c.opener().Look(ctx, arg); err != nil {
			return tuf.StoredKey{}, err
		}
		if found.Signer != nil {
			ks.Bring(found.Signer)
		}
		c.found[arg] = found
	}
	return tuf.StoredKey{Key: found.Key, Private: found.Signer != nil, URI: arg}, nil
}

// publicKey returns the public key that an argument names.
func (c *command) publicKey(ctx context.Context, arg string) (metadata.Key, error) {
	k, err := c.key(ctx, arg)
	return k.Key, err
}

// publicKeys is publicKey for several; two names of one key are refused.
func (c *command) publicKeys(ctx context.Context, names []string) ([]metadata.Key, error) {
	var out []metadata.Key
	seen := map[string]string{}
	for _, name := range names {
		k, err := c.publicKey(ctx, name)
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
