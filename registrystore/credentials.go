package registrystore

import (
	"context"
	"errors"
	"fmt"
	"os"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// credentials takes Username and Password for CredentialHost and nobody else,
// and docker's credentials for all others: those of its file and its helpers.
// A configuration that cannot be read is an error only if it was named.
func (r *Registries) credentials() error {
	if r.opts.Username != "" && r.opts.CredentialHost == "" {
		return errors.New("a user name without the registry that it is for")
	}
	docker := func(context.Context, string) (auth.Credential, error) { return auth.EmptyCredential, nil }
	store, err := r.credentialStore()
	switch {
	case err == nil:
		docker = credentials.Credential(store)
	case r.opts.RegistryConfig != "":
		return fmt.Errorf("registry configuration %s: %w", r.opts.RegistryConfig, err)
	}
	own := auth.Credential{Username: r.opts.Username, Password: r.opts.Password}
	r.client.Credential = func(ctx context.Context, host string) (auth.Credential, error) {
		if r.opts.Username != "" && host == r.opts.CredentialHost {
			return own, nil
		}
		return docker(ctx, host)
	}
	return nil
}

func (r *Registries) credentialStore() (credentials.Store, error) {
	if r.opts.RegistryConfig != "" {
		if _, err := os.Stat(r.opts.RegistryConfig); err != nil {
			return nil, err
		}
		return credentials.NewStore(r.opts.RegistryConfig, credentials.StoreOptions{})
	}
	return credentials.NewStoreFromDocker(credentials.StoreOptions{})
}
