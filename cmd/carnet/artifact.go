package main

import (
	"context"
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// lookups bounds how many artifacts are looked up at once.
const lookups = 8

// artifacts looks up what is to be signed: for each reference the artifact,
// and if recursive is set everything that refers to it.
func (c *command) artifacts(ctx context.Context, refs []registrystore.Reference, as string, recursive bool) ([]tuf.Artifact, error) {
	lists := make([][]tuf.Artifact, len(refs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(lookups)
	bar := c.progress("looked up", len(refs))
	defer bar.done()
	for i, ref := range refs {
		g.Go(func() (err error) {
			lists[i], err = c.artifact(ctx, ref, as, recursive)
			bar.step()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []tuf.Artifact
	for _, l := range lists {
		out = append(out, l...)
	}
	return out, oneDigestEach(out)
}

func (c *command) artifact(ctx context.Context, ref registrystore.Reference, as string, recursive bool) ([]tuf.Artifact, error) {
	regs, err := c.registry()
	if err != nil {
		return nil, err
	}
	repo, err := regs.Artifacts(ref.Repository)
	if err != nil {
		return nil, err
	}
	found, err := repo.Read(ctx, ref)
	var disagree *registrystore.DisagreeError
	if errors.As(err, &disagree) {
		return nil, usage(err)
	}
	if err != nil {
		return nil, err
	}
	name := ref.Name
	if as != "" {
		name = as
	}
	a := tuf.Artifact{Name: name, Tag: ref.Tag, Digest: found.Digest, Size: found.Size, MediaType: found.MediaType, ArtifactType: found.ArtifactType}
	from := []digest.Digest{a.Digest}
	listed, err := repo.Manifests(ctx, found)
	if err != nil {
		return nil, err
	}
	for _, m := range listed {
		a.Manifests = append(a.Manifests, described(name, m.Descriptor))
		from = append(from, m.Digest)
	}
	out := []tuf.Artifact{a}
	if !recursive {
		return out, nil
	}
	graph, err := repo.ReferrerGraph(ctx, from...)
	for _, r := range graph {
		if r.IsAttachment {
			continue // evidence vouches for itself, or for nothing
		}
		out = append(out, tuf.Artifact{Name: name, Digest: r.Digest, Size: r.Size, MediaType: r.MediaType, ArtifactType: r.ArtifactType})
	}
	return out, err
}

func described(name string, d ocispec.Descriptor) tuf.Artifact {
	return tuf.Artifact{Name: name, Digest: d.Digest, Size: d.Size, MediaType: d.MediaType, ArtifactType: d.ArtifactType}
}

// oneDigestEach refuses two artifacts for one tag, which --as can bring about.
func oneDigestEach(list []tuf.Artifact) error {
	seen := map[string]digest.Digest{}
	for _, a := range list {
		if a.Tag == "" {
			continue
		}
		path := a.Name + ":" + a.Tag
		if was, ok := seen[path]; ok && was != a.Digest {
			return usagef("%s would be both %s and %s: sign them under different names", path, was, a.Digest)
		}
		seen[path] = a.Digest
	}
	return nil
}

// claims reads k=v.
func claims(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range list {
		k, v, ok := strings.Cut(s, "=")
		if !ok || k == "" {
			return nil, usagef("--claim %q: want NAME=VALUE", s)
		}
		if was, twice := out[k]; twice && was != v {
			return nil, usagef("--claim %s is given twice", k)
		}
		out[k] = v
	}
	return out, nil
}
