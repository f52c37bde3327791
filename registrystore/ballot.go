package registrystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Proposals returns the proposals that the repository lists.
func (t *Trust) Proposals(ctx context.Context) ([]tuf.Nomination, error) {
	tags, err := t.backend.tags(ctx)
	if err != nil {
		return nil, err
	}
	var out []tuf.Nomination
	seen := map[string]bool{}
	for _, tag := range tags {
		if n, ok := parseProposalTag(tag); ok && !seen[tag] {
			seen[tag] = true
			out = append(out, n)
		}
	}
	return out, nil
}

// ReadProposal returns the files of a listed proposal.
func (t *Trust) ReadProposal(ctx context.Context, n tuf.Nomination) ([]tuf.File, error) {
	desc, raw, err := t.backend.manifest(ctx, n.Tag)
	if err != nil {
		if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCorrupt) {
			err = fmt.Errorf("%w: %w", tuf.ErrUnreadable, err)
		}
		return nil, err
	}
	if desc.Digest.Encoded()[:12] != n.Digest {
		return nil, fmt.Errorf("%s: tag %s: %w: it names the manifest %s", t.name, n.Tag, tuf.ErrUnreadable, desc.Digest)
	}
	files, err := decodeProposal(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: tag %s: %w", t.name, n.Tag, err)
	}
	// That others list a blob does not prove that it is there: what is taken in
	// is stored with the state.
	return files, nil
}

// PushProposal stores files and a manifest that lists them. Its tag is its
// own, so a write whose outcome is unclear can be made again.
func (t *Trust) PushProposal(ctx context.Context, role string, version int64, files []tuf.File) (tuf.Nomination, error) {
	raw, err := encodeProposal(files)
	if err != nil {
		return tuf.Nomination{}, err
	}
	n, ok := parseProposalTag(proposalTag(role, version, raw))
	if !ok {
		return n, fmt.Errorf("%w: %q is no tag of a proposal", ErrReference, n.Tag)
	}
	if err := t.pushFiles(ctx, files); err != nil {
		return n, err
	}
	err = t.backend.pushManifest(ctx, n.Tag, manifestDescriptor(raw), raw, false)
	if errors.Is(err, ErrImmutable) {
		if there, serr := t.settle(ctx, n.Tag, digest.FromBytes(raw), err); serr == nil && there {
			return n, nil
		}
	}
	return n, err
}

// DropProposals removes proposals. What stays, and why, is said as for
// [Trust.Delete].
func (t *Trust) DropProposals(ctx context.Context, list ...tuf.Nomination) error {
	tags := make([]string, len(list))
	for i, n := range list {
		tags[i] = n.Tag
	}
	return t.backend.remove(ctx, tags, isTagOfProposal)
}

// encodeProposal writes files as a manifest. Equal files give equal bytes.
func encodeProposal(files []tuf.File) ([]byte, error) {
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaTypeManifest,
		ArtifactType: metadata.ArtifactTypeProposal, Config: ocispec.DescriptorEmptyJSON,
	}
	budget := inlineBudget{left: metadata.MaxInlineTotal}
	for _, f := range files {
		m.Layers = append(m.Layers, budget.layer(f))
	}
	raw, err := json.Marshal(m)
	if err == nil && len(raw) > metadata.MaxManifest {
		err = fmt.Errorf("%w: the proposal's manifest has %d bytes and registries accept %d: change fewer roles at once", ErrTooLarge, len(raw), metadata.MaxManifest)
	}
	return raw, err
}

// decodeProposal reads a manifest that claims to be a proposal, as far as its
// form goes. Every error wraps tuf.ErrUnreadable.
func decodeProposal(raw []byte) ([]tuf.File, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", tuf.ErrUnreadable, err)
	}
	if m.SchemaVersion != 2 || m.ArtifactType != metadata.ArtifactTypeProposal || len(m.Layers) == 0 || len(m.Layers) > maxLayers {
		return nil, fmt.Errorf("%w: artifact type %.100q with %d layers is no proposal", tuf.ErrUnreadable, m.ArtifactType, len(m.Layers))
	}
	var files []tuf.File
	seen := map[string]bool{}
	for _, l := range m.Layers {
		f, err := decodeLayer(l)
		if err != nil {
			return nil, err
		}
		if seen[f.Role] || f.Role == tuf.RootPack || f.Role == metadata.RoleSnapshot || f.Role == metadata.RoleTimestamp {
			return nil, fmt.Errorf("%w: %s has no place in a proposal, or stands twice", tuf.ErrUnreadable, filename(f))
		}
		seen[f.Role] = true
		files = append(files, f)
	}
	return files, nil
}

// proposalTag names a proposal (docs/spec.md, "Tags").
func proposalTag(role string, version int64, manifest []byte) string {
	return fmt.Sprintf("%s%s.%012d.%.12s", metadata.TagPrefixProposal, tuf.RoleHash(role), version, digest.FromBytes(manifest).Encoded())
}

// parseProposalTag takes a proposal's tag apart.
func parseProposalTag(tag string) (tuf.Nomination, bool) {
	n := tuf.Nomination{Tag: tag}
	rest, ok := strings.CutPrefix(tag, metadata.TagPrefixProposal)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 || !isHex12(parts[0]) || !isHex12(parts[2]) {
		return n, false
	}
	n.Role, n.Digest = parts[0], parts[2]
	n.Version, ok = number(parts[1])
	return n, ok
}

func isHex12(s string) bool { return len(s) == 12 && strings.Trim(s, "0123456789abcdef") == "" }

// isTagOfProposal reports whether a manifest is the proposal that tag is the
// tag of.
func isTagOfProposal(tag string, raw []byte) bool {
	files, err := decodeProposal(raw)
	n, ok := parseProposalTag(tag)
	return err == nil && ok && digest.FromBytes(raw).Encoded()[:12] == n.Digest && slices.ContainsFunc(files, func(f tuf.File) bool {
		return tuf.RoleHash(f.Role) == n.Role && f.Version == n.Version
	})
}
