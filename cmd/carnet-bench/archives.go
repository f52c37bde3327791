package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// teams is how many roles the artifacts of an archive are split into, and in how
// many repositories they are.
const teams = 100

// Names of the rows about archives of n artifacts: their bytes are the file's.
func savedFull(n int) string { return fmt.Sprintf("save, the file of %d artifacts", n) }
func savedOne(n int) string  { return fmt.Sprintf("save --since, 1 signature of %d, 1 role", n) }
func savedSplit(n int) string {
	return fmt.Sprintf("save --since, 1 signature of %d, %d roles", n, teams)
}

// shelf is a registry with the artifacts of an archive, and two publishers that
// vouch for all of them: by one role, and by one for each repository.
type shelf struct {
	*world
	registry   *fixtures.Registry
	artifacts  []tuf.Artifact
	refs       []registrystore.Reference
	one, split *fixtures.Publisher
	dir        string
}

// archives measures the size of a file that brings one new signature, next to
// that of a file with everything. Artifacts are small here: a manifest of
// 0.5 KB, and layers that all share.
func (w *world) archives() []row {
	s := &shelf{world: w, registry: fixtures.Registry11(w), dir: w.TempDir()}
	n := w.opts.archived
	for i := range teams {
		name := fmt.Sprintf("team-%02d/app", i)
		for _, a := range push(w, s.registry.Repository(w, name), n/teams) {
			a.Name = name
			s.artifacts = append(s.artifacts, a)
			ref, err := registrystore.ParseReference(s.registry.Host+"/"+name+":"+a.Tag, "")
			require.NoError(w, err)
			s.refs = append(s.refs, ref)
		}
	}
	s.one = s.publisher("one", func(string) string { return "releases" })
	s.split = s.publisher("split", func(name string) string { return strings.TrimSuffix(name, "/app") })
	rows := []row{s.save(savedFull(n), "full.tar", "", s.one, s.split)}
	for i, name := range []string{savedOne(n), savedSplit(n)} {
		p := []*fixtures.Publisher{s.one, s.split}[i]
		_, err := p.Vouch(tuf.Vouching{Claims: map[string]string{"stage": "prod"}}, s.artifacts[n/2])
		require.NoError(w, err)
		rows = append(rows, s.save(name, "new.tar", "full.tar", p))
	}
	return rows
}

// publisher vouches for every artifact by the role that is returned for its
// repository.
func (s *shelf) publisher(name string, roleOf func(string) string) *fixtures.Publisher {
	p := fixtures.NewPublisher(s, s.registry.Host+"/trust/"+name, registrystore.Options{})
	targets := map[string]map[string]metadata.Target{}
	for _, a := range s.artifacts {
		role := roleOf(a.Name)
		if targets[role] == nil {
			targets[role] = map[string]metadata.Target{}
		}
		t := metadata.NewTarget(a.Size, a.Digest).WithStatement(metadata.Statement{MediaType: a.MediaType, Signed: fixtures.Epoch})
		targets[role][metadata.TagPath(a.Name, a.Tag)], targets[role][metadata.DigestPath(a.Name, a.Digest)] = t, t
	}
	key := p.Key("releases").Key()
	_, err := p.Publish(func(ctx context.Context, d *tuf.Draft) error {
		for role, entries := range targets {
			pattern := role + "/**"
			if role == "releases" {
				pattern = "**"
			}
			if err := delegate(ctx, d, role, pattern, key); err != nil {
				return err
			}
			file, err := d.Edit(ctx, role)
			if err != nil {
				return err
			}
			file.Targets = entries
		}
		return nil
	})
	require.NoError(s, err)
	return p
}

func delegate(ctx context.Context, d *tuf.Draft, role, name string, key metadata.Key) error {
	patterns, err := metadata.Patterns(name)
	if err != nil {
		return err
	}
	edge := metadata.Delegation{Name: role, Paths: patterns, RoleKeys: metadata.RoleKeys{KeyIDs: []string{key.ID()}, Threshold: 1}}
	return d.Delegate(ctx, metadata.RoleTargets, edge, metadata.Keys{key.ID(): key})
}

// save saves everything, and measures the file.
func (s *shelf) save(name, file, since string, publishers ...*fixtures.Publisher) row {
	saver := promotion.Saver{From: s.cached(), Now: s.one.Now}
	if since != "" {
		a, err := registrystore.OpenArchive(filepath.Join(s.dir, since))
		require.NoError(s, err)
		defer a.Close()
		saver.Since = append(saver.Since, a)
	}
	var trusts []promotion.TrustSource
	for _, p := range publishers {
		repo, err := registrystore.ParseRepository(p.Trust, "")
		require.NoError(s, err)
		trusts = append(trusts, promotion.TrustSource{Repository: repo, Publisher: verify.Pin{Name: "bench", Root: p.Root}, Store: tuf.MemoryStore{}})
	}
	s.registry.Reset()
	start := time.Now()
	out, err := saver.Save(s.Context(), filepath.Join(s.dir, file), s.refs, trusts)
	require.NoError(s, err)
	return row{
		name: name, requests: int64(len(s.registry.Requests())), rounds: -1, bytes: out.Bytes,
		wall: []time.Duration{time.Since(start)}, cpu: -1, mallocs: -1, allocated: -1,
	}
}
