package registrystore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// credentials takes Username and Password for CredentialHost and nobody else,
// and docker's credentials for all others: those of its file and its helpers.
// A configuration that cannot be read is an error if it was named, else when a
// registry asks for credentials.
func (r *Registries) credentials() error {
	if r.opts.Username != "" && r.opts.CredentialHost == "" {
		return errors.New("a user name without the registry that it is for")
	}
	store, err := r.credentialStore()
	if err != nil && r.opts.RegistryConfig != "" {
		return fmt.Errorf("registry configuration %s: %w", r.opts.RegistryConfig, err)
	}
	docker := func(context.Context, string) (auth.Credential, error) { return auth.EmptyCredential, err }
	if store != nil {
		docker = credentials.Credential(store)
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

// credentialStore returns docker's credentials; nil if nobody can have any.
func (r *Registries) credentialStore() (credentials.Store, error) {
	if r.opts.RegistryConfig != "" {
		if _, err := os.Stat(r.opts.RegistryConfig); err != nil {
			return nil, err
		}
		return credentials.NewStore(r.opts.RegistryConfig, credentials.StoreOptions{})
	}
	dir, err := dockerFolder()
	if err != nil {
		return nil, nil // no home: nobody has logged in here
	}
	path := filepath.Join(dir, "config.json")
	store, err := credentials.NewStore(path, credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("docker's %s: %w", path, err)
	}
	return store, nil
}

// dockerFolder returns where docker keeps its configuration.
func dockerFolder() (string, error) {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".docker"), err
}
