package registrystore_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// proposed are the files of a proposal, one of them too large to be inlined.
func proposed(mark string) []tuf.File {
	small := tuf.NewFile(metadata.RoleTargets, 3, []byte(`{"small":"`+mark+`"}`))
	large := tuf.NewFile("releases", 8, []byte(`{"large":"`+strings.Repeat("x", metadata.MaxInlineFile)+`"}`))
	large.Patterns = []string{"app:*"}
	return []tuf.File{small, large}
}

// What is proposed is what another process reads, and nothing is overwritten:
// two approvals of one proposal stand beside each other.
func TestProposalsComeBack(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		writer := p.trust(t, nil)
		list, err := writer.Proposals(ctx)
		require.NoError(t, err)
		require.Empty(t, list)
		for _, mark := range []string{"one", "two", "two"} {
			n, err := writer.PushProposal(ctx, metadata.RoleTargets, 3, proposed(mark))
			require.NoError(t, err)
			require.Equal(t, "proposal."+tuf.RoleHash("targets")+".000000000003."+n.Digest, n.Tag)
		}
		reader := p.trust(t, nil)
		list, err = reader.Proposals(ctx)
		require.NoError(t, err)
		require.Len(t, list, 2)
		var marks []string
		for _, n := range list {
			require.Equal(t, tuf.RoleHash("targets"), n.Role)
			require.EqualValues(t, 3, n.Version)
			files, err := reader.ReadProposal(ctx, n)
			require.NoError(t, err)
			require.Len(t, files, 2)
			require.NotNil(t, files[0].Data)
			require.Nil(t, files[1].Data)
			require.Equal(t, []string{"app:*"}, files[1].Patterns)
			raw, err := reader.Fetch(ctx, files[1])
			require.NoError(t, err)
			require.Equal(t, proposed("")[1].Data, raw)
			marks = append(marks, string(files[0].Data))
		}
		require.ElementsMatch(t, []string{`{"small":"one"}`, `{"small":"two"}`}, marks)
		states, err := reader.List(ctx)
		require.NoError(t, err)
		require.Empty(t, states, "proposals are no publications")

		require.NoError(t, reader.DropProposals(ctx, list[0]))
		left, err := reader.Proposals(ctx)
		require.NoError(t, err)
		require.Equal(t, list[1:], left)
	})
}

// A lost answer is no harm: to push again is safe, also where tags are never
// moved.
func TestProposalIsPushedAgain(t *testing.T) {
	for name, opts := range map[string][]fixtures.Option{"tags move": nil, "tags do not": {fixtures.WithImmutableTags(http.StatusConflict)}} {
		t.Run(name, func(t *testing.T) {
			p := onRegistry(fixtures.Distribution(t, opts...))
			first, err := p.trust(t, nil).PushProposal(ctx, "releases", 8, proposed("x"))
			require.NoError(t, err)
			again, err := p.trust(t, nil).PushProposal(ctx, "releases", 8, proposed("x"))
			require.NoError(t, err)
			require.Equal(t, first, again)
		})
	}
}

// Manifests that are no proposals, or not those of their tag.
func TestMalformedProposalsAreUnreadable(t *testing.T) {
	layer := func(name string, edit func(*ocispec.Descriptor)) ocispec.Descriptor {
		raw := []byte("{}")
		d := ocispec.Descriptor{
			MediaType: metadata.MediaTypeFile, Digest: digest.FromBytes(raw), Size: 2, Data: raw,
			Annotations: map[string]string{metadata.AnnotationFilename: name},
		}
		if edit != nil {
			edit(&d)
		}
		return d
	}
	for name, m := range map[string]ocispec.Manifest{
		"a state":      {ArtifactType: metadata.ArtifactTypeState, Layers: []ocispec.Descriptor{layer("8.releases.json", nil)}},
		"empty":        {ArtifactType: metadata.ArtifactTypeProposal},
		"a file twice": {ArtifactType: metadata.ArtifactTypeProposal, Layers: []ocispec.Descriptor{layer("8.releases.json", nil), layer("9.releases.json", nil)}},
		"a snapshot":   {ArtifactType: metadata.ArtifactTypeProposal, Layers: []ocispec.Descriptor{layer("8.snapshot.json", nil)}},
		"a timestamp":  {ArtifactType: metadata.ArtifactTypeProposal, Layers: []ocispec.Descriptor{layer("timestamp.json", nil)}},
		"too large": {ArtifactType: metadata.ArtifactTypeProposal, Layers: []ocispec.Descriptor{layer("8.releases.json", func(d *ocispec.Descriptor) {
			d.Size, d.Data = metadata.MaxTargets+1, nil
		})}},
		"other inlined bytes": {ArtifactType: metadata.ArtifactTypeProposal, Layers: []ocispec.Descriptor{layer("8.releases.json", func(d *ocispec.Descriptor) {
			d.Data = []byte("[]")
		})}},
	} {
		t.Run(name, func(t *testing.T) {
			p := onLayout(t)
			m.SchemaVersion, m.MediaType, m.Config = 2, ocispec.MediaTypeImageManifest, ocispec.DescriptorEmptyJSON
			raw, err := json.Marshal(m)
			require.NoError(t, err)
			n := tuf.Nomination{Role: tuf.RoleHash("releases"), Version: 8, Digest: digest.FromBytes(raw).Encoded()[:12]}
			n.Tag = "proposal." + n.Role + ".000000000008." + n.Digest
			p.raw(t).PushManifest(t, n.Tag, ocispec.MediaTypeImageManifest, raw)
			_, err = p.trust(t, nil).ReadProposal(ctx, n)
			require.ErrorIs(t, err, tuf.ErrUnreadable)
		})
	}
}

// Where a registry deletes manifests only, a tag that somebody put on something
// else must not take that along.
func TestDropProposalsDeletesNothingElse(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	image := p.raw(t).PushImage(t, "image", "something else")
	n := tuf.Nomination{Role: tuf.RoleHash("releases"), Version: 8, Digest: image.Digest.Encoded()[:12]}
	n.Tag = "proposal." + n.Role + ".000000000008." + n.Digest
	require.NoError(t, p.raw(t).Target.Tag(ctx, image, n.Tag))
	real, err := p.trust(t, nil).PushProposal(ctx, "releases", 8, proposed("x"))
	require.NoError(t, err)
	reg.Inject(fixtures.Fault{On: fixtures.On(http.MethodDelete, "/manifests/proposal."), Then: fixtures.Status(http.StatusMethodNotAllowed)})
	require.ErrorIs(t, p.trust(t, nil).DropProposals(ctx, n, real), registrystore.ErrReadOnly)
	_, err = p.raw(t).Target.Resolve(ctx, "image")
	require.NoError(t, err)
	left, err := p.trust(t, nil).Proposals(ctx)
	require.NoError(t, err)
	require.Equal(t, []tuf.Nomination{n}, left)
}

// The first of a proposal's tag's digits is that of its manifest: a tag that
// moved is noticed.
func TestProposalUnderAnothersTag(t *testing.T) {
	p := onLayout(t)
	n, err := p.trust(t, nil).PushProposal(ctx, "releases", 8, proposed("x"))
	require.NoError(t, err)
	m := n
	m.Digest = "0123456789ab"
	m.Tag = strings.Replace(n.Tag, n.Digest, m.Digest, 1)
	desc, err := p.raw(t).Target.Resolve(ctx, n.Tag)
	require.NoError(t, err)
	require.NoError(t, p.raw(t).Target.Tag(ctx, desc, m.Tag))
	_, err = p.trust(t, nil).ReadProposal(ctx, m)
	require.ErrorIs(t, err, tuf.ErrUnreadable)
}
