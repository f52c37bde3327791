package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// findArchivedRoot returns the root with the digest that a person gave, out of
// the trust repositories in a file. The digest alone decides.
func (c *command) findArchivedRoot(ctx context.Context, path, arg string) (root []byte, err error) {
	want, err := rootDigest(arg)
	if err != nil {
		return nil, err
	}
	file, err := registrystore.OpenArchive(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var found []string
	for _, repository := range archivedTrusts(file) {
		source, err := archivedTrust(ctx, file, repository)
		if err != nil {
			return nil, err
		}
		root, others, err := rootOf(ctx, source, want)
		if root != nil || err != nil {
			return root, err
		}
		found = append(found, others...)
	}
	if len(found) == 0 {
		return nil, usagef("%s holds no trust repository", path)
	}
	return nil, noSuchRoot(want, found)
}

// archivedTrusts are the trust repositories in a file.
func archivedTrusts(file *registrystore.Archive) []string {
	var out []string
	for _, e := range file.Entries() {
		if e.Publisher != "" && !slices.Contains(out, e.Repository) {
			out = append(out, e.Repository)
		}
	}
	return out
}

func archivedTrust(ctx context.Context, file *registrystore.Archive, repository string) (tuf.Source, error) {
	repo, err := registrystore.ParseRepository(repository, "")
	if err != nil {
		return nil, err
	}
	view := registrystore.View(nil)
	if err := view.Show(repo, file, repository, nil); err != nil {
		return nil, err
	}
	trust, err := view.Trust(repo)
	if err != nil {
		return nil, err
	}
	if err := trust.Open(ctx); err != nil {
		return nil, fmt.Errorf("no root to be read: %w", err)
	}
	return trust, nil
}
