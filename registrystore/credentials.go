package registrystore

import (
	"context"
	"fmt"
	"os"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// credentials takes those of the command line, else docker's: its file and
// its helpers. A configuration that cannot be read is an error only if it was
// named.
func (r *Registries) credentials() error {
	if r.opts.Username != "" {
		cred := auth.Credential{Username: r.opts.Username, Password: r.opts.Password}
		r.client.Credential = func(_ context.Context, host string) (auth.Credential, error) {
			if only := r.opts.CredentialHost; only != "" && only != host {
				return auth.EmptyCredential, nil
			}
			return cred, nil
		}
		return nil
	}
	store, err := r.credentialStore()
	if err != nil {
		if r.opts.RegistryConfig == "" {
			return nil
		}
		return fmt.Errorf("registry configuration %s: %w", r.opts.RegistryConfig, err)
	}
	r.client.Credential = credentials.Credential(store)
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
