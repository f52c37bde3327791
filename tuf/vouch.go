package tuf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// Artifact is something in a registry that a publisher vouches for.
type Artifact struct {
	Name         string        // in target paths: "networking/net-monitor"
	Tag          string        // or "": the digest alone is vouched for
	Digest       digest.Digest // of the manifest
	Size         int64         // of the manifest, in bytes
	MediaType    string
	ArtifactType string
	// Manifests are the children of an index. They are vouched for by digest
	// too, since runtimes ask for the one of their platform.
	Manifests []Artifact
}

// Vouching is how artifacts are to be vouched for.
type Vouching struct {
	Role   string // or "": the only candidate whose key is at hand
	Claims map[string]string
	Origin *metadata.Origin
}

var (
	// ErrOutside says that no delegation trusts the role with a path.
	ErrOutside = errors.New("path outside of the role's delegation")
	// ErrWithdrawn says that the publisher withdrew the artifact.
	ErrWithdrawn = errors.New("the artifact is withdrawn")
	// ErrShadowed says that an entry would never be found: a role that is
	// searched first lists the path.
	ErrShadowed = errors.New("another role that is searched first lists the path")
	// ErrAmbiguousRole says that a role has to be chosen.
	ErrAmbiguousRole = errors.New("the role must be named")
)

// Paths returns the target paths that vouch for a: its tag, its digest, the
// digests of its children.
func (a Artifact) Paths() []string {
	out := []string{metadata.DigestPath(a.Name, a.Digest)}
	if a.Tag != "" {
		out = append(out, metadata.TagPath(a.Name, a.Tag))
	}
	for _, m := range a.Manifests {
		out = append(out, metadata.DigestPath(a.Name, m.Digest))
	}
	return out
}

// Vouch adds entries for a to the draft and returns the role that now vouches.
// It fails with ErrOutside, ErrWithdrawn, ErrShadowed or ErrAmbiguousRole,
// and then has changed nothing that is published.
func (d *Draft) Vouch(ctx context.Context, v Vouching, a Artifact) (string, error) {
	for _, path := range a.Paths() {
		if _, err := metadata.ParsePath(path); err != nil {
			return "", err
		}
	}
	if err := d.refuseWithdrawn(ctx, a); err != nil {
		return "", err
	}
	e, err := d.roleFor(ctx, v.Role, a)
	if err != nil {
		return "", err
	}
	if err := d.vouch(ctx, e, v, a); err != nil {
		return "", err
	}
	return e.Role, d.refuseShadowed(ctx, e, a)
}

func (d *Draft) vouch(ctx context.Context, e delegations.Edge, v Vouching, a Artifact) error {
	s := metadata.Statement{
		ArtifactType: a.ArtifactType, MediaType: a.MediaType, Signed: d.Now().UTC().Truncate(time.Second),
		Claims: v.Claims, Origin: v.Origin,
	}
	for _, m := range a.Manifests {
		child := metadata.Statement{ArtifactType: m.ArtifactType, MediaType: m.MediaType, Signed: s.Signed, Claims: v.Claims, Origin: v.Origin, Index: a.Digest}
		if err := d.vouchChild(ctx, e, metadata.DigestPath(a.Name, m.Digest), m, child); err != nil {
			return err
		}
	}
	if err := d.entry(ctx, e, metadata.DigestPath(a.Name, a.Digest), a, s); err != nil || a.Tag == "" {
		return err
	}
	return d.entry(ctx, e, metadata.TagPath(a.Name, a.Tag), a, s)
}

// vouchChild records through which index a manifest is vouched for. One that
// stands for itself, or is in several indexes, names none: a withdrawal of an
// index does not take it along.
func (d *Draft) vouchChild(ctx context.Context, e delegations.Edge, path string, m Artifact, s metadata.Statement) error {
	t, err := d.Open(ctx, e)
	if err != nil {
		return err
	}
	if old, ok := t.Targets[path]; ok {
		if was, err := old.Statement(); err == nil && was.Index != s.Index {
			s.Index = ""
		}
	}
	return d.entry(ctx, e, path, m, s)
}

// entry sets one entry, unless the entry that stands says the same but for
// the time of signing.
func (d *Draft) entry(ctx context.Context, e delegations.Edge, path string, a Artifact, s metadata.Statement) error {
	t, err := d.Open(ctx, e)
	if err != nil {
		return err
	}
	target := metadata.Target{Length: a.Size, Hashes: metadata.SHA256(a.Digest.Encoded())}
	if old, ok := t.Targets[path]; ok {
		if was, err := old.Statement(); err == nil {
			again := s
			again.Signed = was.Signed
			if old.Equal(target.WithStatement(again)) {
				return nil
			}
		}
	}
	return d.SetTarget(ctx, e, path, target.WithStatement(s))
}

// roleFor picks the role that shall vouch for all paths of a.
func (d *Draft) roleFor(ctx context.Context, role string, a Artifact) (delegations.Edge, error) {
	var common []delegations.Edge
	for i, path := range a.Paths() {
		found, err := d.Candidates(ctx, path)
		if err != nil {
			return delegations.Edge{}, err
		}
		if i == 0 {
			common = found
			continue
		}
		common = slices.DeleteFunc(common, func(e delegations.Edge) bool {
			return !slices.ContainsFunc(found, func(f delegations.Edge) bool { return f.Role == e.Role })
		})
	}
	if role != "" {
		return d.named(ctx, role, a, common)
	}
	return d.only(a, common)
}

func (d *Draft) named(ctx context.Context, role string, a Artifact, common []delegations.Edge) (delegations.Edge, error) {
	for _, e := range common {
		if e.Role == role {
			return e, nil
		}
	}
	if _, err := d.Edge(ctx, role); err != nil {
		return delegations.Edge{}, fmt.Errorf("%w; these may vouch for %s: %s", err, a.Name, names(common))
	}
	return delegations.Edge{}, fmt.Errorf("%w: %q for %s; these may vouch for it: %s", ErrOutside, role, strings.Join(a.Paths(), ", "), names(common))
}

func (d *Draft) only(a Artifact, common []delegations.Edge) (delegations.Edge, error) {
	able := d.withKeys(common, func(have, want int) bool { return have >= want })
	if len(able) == 0 { // others must sign too: a proposal
		able = d.withKeys(common, func(have, _ int) bool { return have > 0 })
	}
	switch {
	case len(able) == 1:
		return able[0], nil
	case len(common) == 0:
		return delegations.Edge{}, fmt.Errorf("%w: no role is trusted with %s: delegate it with `carnet delegate add ROLE --path %s`", ErrOutside, a.Paths()[0], a.Name)
	case len(able) == 0:
		return delegations.Edge{}, fmt.Errorf("%w: none of the roles that may vouch for %s has its keys at hand: %s", ErrNoKey, a.Name, names(common))
	}
	return delegations.Edge{}, fmt.Errorf("%w: several may vouch for %s: %s", ErrAmbiguousRole, a.Name, names(able))
}

// withKeys picks the roles of whose keys as many are at hand as enough says.
func (d *Draft) withKeys(edges []delegations.Edge, enough func(have, want int) bool) []delegations.Edge {
	var out []delegations.Edge
	for _, e := range edges {
		if enough(d.atHand(e), e.RoleKeys.Threshold) {
			out = append(out, e)
		}
	}
	return out
}

// atHand counts the keys of a role that are here.
func (d *Draft) atHand(e delegations.Edge) int {
	have := map[string]bool{}
	for _, id := range e.RoleKeys.KeyIDs {
		key, ok := e.Keys[id]
		if !ok || !d.keys.Has(key) {
			continue
		}
		if material, err := KeyIdentity(key); err == nil {
			have[material] = true
		}
	}
	return len(have)
}

func names(edges []delegations.Edge) string {
	if len(edges) == 0 {
		return "none"
	}
	out := make([]string, len(edges))
	for i, e := range edges {
		out[i] = e.Role
	}
	return strings.Join(out, ", ")
}

// Withdrawals returns the withdrawal role's file, or nil if there is none.
func (d *Draft) Withdrawals(ctx context.Context) (*metadata.Targets, delegations.Edge, error) {
	top, err := d.Open(ctx, delegations.Edge{Role: metadata.RoleTargets})
	if err != nil {
		return nil, delegations.Edge{}, err
	}
	e, ok := delegations.Withdrawal(top)
	if !ok {
		return nil, e, nil
	}
	t, err := d.Open(ctx, e)
	return t, e, err
}

func (d *Draft) refuseWithdrawn(ctx context.Context, a Artifact) error {
	t, _, err := d.Withdrawals(ctx)
	if err != nil || t == nil {
		return err
	}
	for _, one := range append([]Artifact{a}, a.Manifests...) {
		if n := NoticeIn(t, one.Digest); n != nil {
			return fmt.Errorf("%w: %s: %s; lift that first with `carnet revoke artifact %s --undo`",
				ErrWithdrawn, one.Digest, n.Reason, metadata.DigestPath(a.Name, one.Digest))
		}
	}
	return nil
}

// refuseShadowed searches for each path as a verifier will. A role whose
// agreement is demanded may list another digest than the one before it: one of
// them has to be the first to change.
func (d *Draft) refuseShadowed(ctx context.Context, e delegations.Edge, a Artifact) error {
	for _, path := range a.Paths() {
		s, err := d.search(ctx, path)
		if err != nil {
			return err
		}
		hit, ok := s.Found()
		if why := s.Disagreed(); why != nil {
			hit, ok = why.Hit, true
		}
		party := slices.ContainsFunc(hit.Parties, func(role string) bool { return slices.Contains(e.Chain, role) })
		if ok && hit.Role != e.Role && !party && hit.Target.Hashes.Get("sha256") != a.hashAt(path) {
			return fmt.Errorf("%w: %s is listed by %q with another digest", ErrShadowed, path, hit.Role)
		}
	}
	return nil
}

func (a Artifact) hashAt(path string) string {
	if _, d, ok := strings.Cut(path, "@sha256:"); ok {
		return d
	}
	return a.Digest.Encoded()
}

// DeniedPaths returns those of a's paths that the withdrawal role still lists.
// Carnet decides by digest; other TUF clients refuse them until the
// withdrawal role drops them.
func (d *Draft) DeniedPaths(ctx context.Context, a Artifact) ([]string, error) {
	t, _, err := d.Withdrawals(ctx)
	if err != nil || t == nil {
		return nil, err
	}
	return slices.DeleteFunc(a.Paths(), func(path string) bool {
		_, listed := t.Targets[path]
		return !listed
	}), nil
}
