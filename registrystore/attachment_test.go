package registrystore_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
)

const publisherID = "00112233445566778899aabbccddeeff"

// attach attaches evidence and returns its digest.
func (p *place) attach(t *testing.T, subject ocispec.Descriptor, id string, version int64) digest.Digest {
	t.Helper()
	d, _, err := p.artifacts(t).Attach(t.Context(), subject, id, publication(version))
	require.NoError(t, err)
	return d
}

func (p *place) attachments(t *testing.T, subject digest.Digest, id string) []*registrystore.Attachment {
	t.Helper()
	out, notes := p.artifacts(t).Attachments(t.Context(), subject, id)
	require.Empty(t, notes)
	return out
}

func TestAttachmentComesBack(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		subject := p.raw(t).PushImage(t, "1.0", "one")
		require.Empty(t, p.attachments(t, subject.Digest, publisherID))
		d := p.attach(t, subject, publisherID, 7)
		found := p.attachments(t, subject.Digest, publisherID)
		require.Len(t, found, 1)
		require.Equal(t, d, found[0].Digest)
		raw, err := found[0].Timestamp(t.Context())
		require.NoError(t, err)
		require.Equal(t, "timestamp 7", string(raw))
		raw, err = found[0].Root(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, "root 1", string(raw))
		big := found[0].Publication().Roles[0]
		raw, err = found[0].File(t.Context(), "big", metadata.MetaFile{Version: 7, Length: big.Length, Hashes: metadata.SHA256(big.Digest.Encoded())})
		require.NoError(t, err)
		require.Len(t, raw, int(big.Length))

		// It is a referrer of the artifact, for every tool.
		refs, err := p.artifacts(t).Referrers(t.Context(), subject.Digest)
		require.NoError(t, err)
		require.Len(t, refs, 1)
		require.Equal(t, d, refs[0].Digest)
	})
}

func TestAttachAgainWritesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		subject := p.raw(t).PushImage(t, "1.0", "one")
		first := p.attach(t, subject, publisherID, 7)
		if p.reg != nil {
			p.reg.Reset()
		}
		again, wrote, err := p.artifacts(t).Attach(t.Context(), subject, publisherID, publication(7))
		require.NoError(t, err)
		require.Equal(t, first, again, "equal evidence has equal bytes")
		require.False(t, wrote)
		if p.reg != nil {
			for _, r := range p.reg.Log() {
				require.False(t, r.Method == http.MethodPut || r.Method == http.MethodPost, r.String())
			}
		}
		// Newer evidence takes its place.
		newer := p.attach(t, subject, publisherID, 8)
		require.Equal(t, newer, p.attachments(t, subject.Digest, publisherID)[0].Digest)
	})
}

// Tools that copy referrers leave tags behind.
func TestAttachmentWithoutItsTagIsFound(t *testing.T) {
	for _, start := range []start{fixtures.Distribution, fixtures.Registry11} {
		p := onRegistry(start(t))
		raw := p.raw(t)
		subject := raw.PushImage(t, "1.0", "one")
		d := p.attach(t, subject, publisherID, 7)
		require.NoError(t, raw.Target.Tag(t.Context(), subject, registrystore.AttachmentTag(subject.Digest, publisherID)))
		found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
		require.Len(t, notes, 1, "the image under the tag is no attachment")
		require.Len(t, found, 1)
		require.Equal(t, d, found[0].Digest)
	}
}

func TestForeignAttachmentsCostNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		raw := p.raw(t)
		subject := raw.PushImage(t, "1.0", "one")
		for i := range 20 { // says nothing of whose it is
			raw.PushReferrer(t, subject, metadata.ArtifactTypeTrust, fmt.Sprint("garbage ", i))
		}
		for i := range 20 {
			p.attach(t, subject, fmt.Sprintf("%032x", i), 7)
		}
		mine := p.attach(t, subject, publisherID, 7)
		if p.reg != nil {
			p.reg.Reset()
		}
		found, notes := p.artifacts(t).Attachments(t.Context(), subject.Digest, publisherID)
		require.Equal(t, mine, found[0].Digest)
		require.Len(t, found, 1)
		require.LessOrEqual(t, len(notes), metadata.MaxAttachments-1)
		if p.reg != nil {
			require.LessOrEqual(t, len(p.reg.Requests()), 3+metadata.MaxAttachments-1)
		}
	})
}

func TestAttachmentOfSomethingElse(t *testing.T) {
	everywhere(t, func(t *testing.T, p *place) {
		raw := p.raw(t)
		one, two := raw.PushImage(t, "1.0", "one"), raw.PushImage(t, "2.0", "two")
		d := p.attach(t, one, publisherID, 7)
		raw = p.raw(t)
		desc, err := raw.Target.Resolve(t.Context(), registrystore.AttachmentTag(one.Digest, publisherID))
		require.NoError(t, err)
		require.Equal(t, d, desc.Digest)
		require.NoError(t, raw.Target.Tag(t.Context(), desc, registrystore.AttachmentTag(two.Digest, publisherID)))
		found, notes := p.artifacts(t).Attachments(t.Context(), two.Digest, publisherID)
		require.ErrorContains(t, notes[0], "attached to something else")
		require.Empty(t, found)
	})
}

// Where there is no referrers API, writers of the fallback index take each
// other's entries away. No attachment is lost for all that.
func TestConcurrentAttachmentsAreAllListed(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	subject := p.raw(t).PushImage(t, "1.0", "one")
	want := make([]digest.Digest, 20)
	var wg sync.WaitGroup
	for i := range want {
		wg.Go(func() { want[i] = p.attach(t, subject, fmt.Sprintf("%032x", i), 7) })
	}
	wg.Wait()
	refs, err := p.artifacts(t).Referrers(t.Context(), subject.Digest)
	require.NoError(t, err)
	var got []digest.Digest
	for _, r := range refs {
		got = append(got, r.Digest)
	}
	require.ElementsMatch(t, want, got)
}

// A registry may list a tag a moment before it can be read: that is no garbage,
// and is looked at again.
func TestEntryWhoseTagCannotBeReadYetIsNotLost(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	raw := p.raw(t)
	subject := raw.PushImage(t, "1.0", "one")
	p.attach(t, subject, publisherID, 7)
	fallback := strings.Replace(subject.Digest.String(), ":", "-", 1)
	raw.PushManifest(t, fallback, ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
	var asked sync.Map
	firstTime := func(req *http.Request) bool { // for each tag
		_, before := asked.LoadOrStore(req.URL.Path, true)
		return fixtures.Get("/manifests/trust.")(req) && !before
	}
	reg.Inject(fixtures.Fault{On: firstTime, Then: fixtures.Status(http.StatusNotFound)})
	p.attach(t, subject, fmt.Sprintf("%032x", 1), 7)
	refs, err := p.artifacts(t).Referrers(t.Context(), subject.Digest)
	require.NoError(t, err)
	require.Len(t, refs, 2)
}

// An entry that somebody took away, having read the index before it was
// there, is brought back by the tag, also if that writer knows nothing of it.
func TestLostEntryIsRepairedFromItsTag(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t))
	raw := p.raw(t)
	subject := raw.PushImage(t, "1.0", "one")
	first := p.attach(t, subject, publisherID, 7)
	fallback := strings.Replace(subject.Digest.String(), ":", "-", 1)
	raw.PushManifest(t, fallback, ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
	second := p.attach(t, subject, fmt.Sprintf("%032x", 1), 7)
	refs, err := p.artifacts(t).Referrers(t.Context(), subject.Digest)
	require.NoError(t, err)
	require.Len(t, refs, 2)
	require.ElementsMatch(t, []digest.Digest{first, second}, []digest.Digest{refs[0].Digest, refs[1].Digest})
}
