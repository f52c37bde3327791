package main

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/registrystore"
)

// maxReferrers bounds how many referrers of one artifact are followed, those
// of referrers included.
const maxReferrers = 1000

// referrer is an artifact that refers to another, with those that refer to it.
type referrer struct {
	ref          registrystore.Reference
	mediaType    string
	artifactType string
	referrers    []*referrer
}

// referrers returns what refers to the artifact with digest d, at any depth,
// each once.
func (c *command) referrers(ctx context.Context, repo registrystore.Repository, d digest.Digest) ([]*referrer, error) {
	if d == "" {
		return nil, nil
	}
	regs, err := c.registry()
	if err != nil {
		return nil, err
	}
	artifacts, err := regs.Artifacts(repo)
	if err != nil {
		return nil, err
	}
	return referrersOf(ctx, artifacts, repo, d, map[digest.Digest]bool{d: true})
}

func referrersOf(ctx context.Context, a *registrystore.Artifacts, repo registrystore.Repository, d digest.Digest, seen map[digest.Digest]bool) ([]*referrer, error) {
	list, err := a.Referrers(ctx, d)
	if err != nil {
		return nil, err
	}
	var out []*referrer
	for _, desc := range list {
		if seen[desc.Digest] {
			continue
		}
		if len(seen) > maxReferrers {
			return nil, fmt.Errorf("%s@%s: more than %d referrers", repo, d, maxReferrers)
		}
		seen[desc.Digest] = true
		n := &referrer{ref: registrystore.Reference{Repository: repo, Digest: desc.Digest}, mediaType: desc.MediaType, artifactType: desc.ArtifactType}
		if n.referrers, err = referrersOf(ctx, a, repo, desc.Digest, seen); err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// flatten lists referrers, each before those that refer to it.
func flatten(list []*referrer) []*referrer {
	var out []*referrer
	for _, n := range list {
		out = append(append(out, n), flatten(n.referrers)...)
	}
	return out
}
