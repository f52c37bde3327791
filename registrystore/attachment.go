package registrystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// Attachment is evidence that travels with an artifact: files of one
// publisher, in a referrer of the artifact (docs/spec.md, "Trust
// attachment"). It is a [tuf.Prefetcher], and no more than that: a client
// believes nothing of it that it would not believe of a repository.
type Attachment struct {
	// Digest is the manifest's.
	Digest  digest.Digest
	trust   *Trust
	unasked int64 // bytes of files that were read by name
}

// AttachmentTag returns the tag of the attachment by which the publisher with
// that id vouches for subject.
func AttachmentTag(subject digest.Digest, id string) string {
	return trustTags(subject) + PublisherHash(id)
}

// trustTags is what the tags of all attachments of subject begin with.
func trustTags(subject digest.Digest) string {
	return metadata.TagPrefixTrust + subject.Encoded() + "."
}

// IsOwnTag reports whether a tag stands for something of Carnet's or of
// registries' own, and not for an artifact: publications, attachments, lists of
// referrers.
func IsOwnTag(tag string) bool {
	for _, prefix := range []string{metadata.TagPrefixTrust, metadata.TagPrefixState, metadata.TagPrefixDraft, metadata.TagPrefixProposal} {
		if rest, ok := strings.CutPrefix(tag, prefix); ok && len(rest) > 25 && strings.Trim(rest, "0123456789abcdef.") == "" {
			return true
		}
	}
	hex, ok := strings.CutPrefix(tag, "sha256-")
	return ok && len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// PublisherHash stands for a publisher's id, which may hold what no tag can:
// the first 12 digits of its SHA-256.
func PublisherHash(id string) string { return digest.FromString(id).Encoded()[:12] }

// encodeAttachment writes the evidence p for subject as a manifest. Equal
// evidence gives equal bytes.
func encodeAttachment(subject ocispec.Descriptor, id string, p *tuf.Publication) ([]byte, error) {
	if len(p.Roots) == 0 || p.IsDraft() {
		return nil, fmt.Errorf("an attachment needs a root and a timestamp")
	}
	if err := checkEvidence(p); err != nil {
		return nil, err
	}
	return encodeManifest(ocispec.Manifest{
		ArtifactType: metadata.ArtifactTypeTrust,
		Subject:      &ocispec.Descriptor{MediaType: subject.MediaType, Digest: subject.Digest, Size: subject.Size},
		Annotations: map[string]string{
			metadata.AnnotationPublisher: PublisherHash(id),
			metadata.AnnotationVersion:   fmt.Sprintf("%012d.%012d", p.Roots[len(p.Roots)-1].Version, p.Snapshot.Version),
		},
	}, p)
}

// decodeAttachment reads a manifest that claims to be an attachment of
// subject, as far as its form goes. Every error wraps tuf.ErrUnreadable.
//
// It must be nothing else: recursive verification passes by what has this
// form, so no runtime may find an image in it.
func decodeAttachment(subject digest.Digest, raw []byte) (*tuf.Publication, error) {
	var m struct {
		ocispec.Manifest
		Manifests json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", tuf.ErrUnreadable, err)
	}
	switch {
	case m.SchemaVersion != 2 || m.MediaType != mediaTypeManifest || m.Manifests != nil || m.ArtifactType != metadata.ArtifactTypeTrust:
		return nil, fmt.Errorf("%w: %.100q of artifact type %.100q is no trust attachment", tuf.ErrUnreadable, m.MediaType, m.ArtifactType)
	case m.Config.MediaType != ocispec.MediaTypeEmptyJSON || m.Config.Digest != ocispec.DescriptorEmptyJSON.Digest:
		return nil, fmt.Errorf("%w: its config is %.100q and not empty", tuf.ErrUnreadable, m.Config.MediaType)
	case m.Subject == nil || m.Subject.Digest != subject:
		return nil, fmt.Errorf("%w: it is attached to something else", tuf.ErrUnreadable)
	case len(m.Layers) > maxEvidenceFiles:
		return nil, fmt.Errorf("%w: %d layers where at most %d are read", tuf.ErrUnreadable, len(m.Layers), maxEvidenceFiles)
	}
	for _, l := range m.Layers {
		if l.MediaType != metadata.MediaTypeFile && l.MediaType != metadata.MediaTypeRootPack {
			return nil, fmt.Errorf("%w: a layer is %.100q", tuf.ErrUnreadable, l.MediaType)
		}
	}
	p, err := decodeFiles(m.Layers, false)
	if err == nil {
		err = checkEvidence(p)
	}
	return p, err
}

// maxEvidenceFiles bounds the files of an attachment: several searches, each
// of which opens metadata.MaxVisits roles at most.
const maxEvidenceFiles = 2_000

// checkEvidence refuses an attachment of which too much would have to be read
// before anything of it is verified: that is asked for by nobody's signature.
func checkEvidence(p *tuf.Publication) error {
	if n := len(p.Files()); n > maxEvidenceFiles {
		return fmt.Errorf("%w: %d files where an attachment holds at most %d", tuf.ErrUnreadable, n, maxEvidenceFiles)
	}
	if len(p.Roots) > tuf.MaxRootFiles {
		return fmt.Errorf("%w: %d roots beside the root pack, at most %d are", tuf.ErrUnreadable, len(p.Roots), tuf.MaxRootFiles)
	}
	size := p.RootPack.Length + p.Timestamp.Length
	for _, f := range p.Roots {
		size += f.Length
	}
	if size > metadata.MaxPrefetch {
		return fmt.Errorf("%w: roots and timestamp have %d bytes where an attachment holds at most %d", tuf.ErrUnreadable, size, int64(metadata.MaxPrefetch))
	}
	return nil
}

// readAttachment reads an attachment by tag or digest.
func (a *Artifacts) readAttachment(ctx context.Context, subject digest.Digest, ref string) (*Attachment, error) {
	desc, raw, err := a.backend.manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	p, err := decodeAttachment(subject, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: trust attachment %s: %w", a.name, desc.Digest, err)
	}
	t := a.files()
	t.state = p
	t.remember(p)
	return &Attachment{Digest: desc.Digest, trust: t}, nil
}

// files opens the repository for the files of attachments.
func (a *Artifacts) files() *Trust {
	t := &Trust{backend: a.backend, name: a.name, bytes: map[digest.Digest][]byte{}, there: map[digest.Digest]bool{}}
	if _, ok := a.backend.(*layoutBackend); !ok {
		t.cache, t.remote = a.cache, true
	}
	return t
}

func (a *Attachment) String() string {
	return fmt.Sprintf("%s: trust attachment %.19s", a.trust.name, a.Digest)
}

// Publication returns what the attachment lists, believed by nobody.
func (a *Attachment) Publication() *tuf.Publication { return a.trust.state }

// Open asks nothing: an attachment was read when it was found.
func (a *Attachment) Open(context.Context) error { return nil }

// Prefetch fetches what an update will ask for, in one parallel batch. All
// that an attachment holds is there because a search visits it; but it may be
// forged, so no more than metadata.MaxPrefetch bytes and some files are
// fetched before a signature asks for them. What all else rests on goes first.
func (a *Attachment) Prefetch(ctx context.Context, want tuf.Want) {
	ctx, cancel := half(ctx)
	defer cancel()
	p := a.trust.state
	files := []tuf.File{p.Timestamp}
	if len(p.Roots) > 0 && p.RootPack.Digest != "" && want.AfterRoot+1 < p.Roots[0].Version {
		files = append(files, p.RootPack)
	}
	for _, f := range p.Roots {
		if f.Version > want.AfterRoot {
			files = append(files, f)
		}
	}
	files = append(files, p.Snapshot, p.Targets)
	a.trust.fetchAll(ctx, affordable(append(files, p.Roles...), len(files)+metadata.MaxPrefetches, want))
}

// Ahead is how many bytes Prefetch fetches at most.
func (a *Attachment) Ahead() int64 {
	size := int64(0)
	for _, f := range a.trust.state.Files() {
		size += f.Length
	}
	return min(size, metadata.MaxPrefetch)
}

// prefetch is Prefetch of what may not have been found.
func (a *Attachment) prefetch(ctx context.Context, want tuf.Want) {
	if a != nil {
		a.Prefetch(ctx, want)
	}
}

// affordable picks from the front what is not at hand and fits, so many at most.
func affordable(files []tuf.File, most int, want tuf.Want) []tuf.File {
	var out []tuf.File
	size := int64(0)
	for _, f := range files {
		if len(out) == most || size+f.Length > metadata.MaxPrefetch || f.Data != nil || want.Has(f.Role, f.Digest.Encoded()) {
			continue
		}
		size += f.Length
		out = append(out, f)
	}
	return out
}

// Timestamp returns the attached timestamp.
func (a *Attachment) Timestamp(ctx context.Context) ([]byte, error) { return a.trust.Timestamp(ctx) }

// File returns an attached file, or one that the repository has by its hash.
// Where the publisher signs no hashes, a file's size is anybody's claim: of
// such files an attachment has metadata.MaxPrefetch bytes in all.
func (a *Attachment) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	if want.Hashes.Digest() == "" || want.Length <= 0 {
		f := a.trust.state.Snapshot
		if role != metadata.RoleSnapshot {
			f, _ = a.trust.state.Role(role)
		}
		if a.unasked += f.Length; a.unasked > metadata.MaxPrefetch {
			return nil, fmt.Errorf("%s: %w: more than %d bytes that no signed hash asks for", a, ErrTooLarge, int64(metadata.MaxPrefetch))
		}
	}
	return a.trust.File(ctx, role, want)
}

// Root returns an attached root.
func (a *Attachment) Root(ctx context.Context, version int64) ([]byte, error) {
	return a.trust.Root(ctx, version)
}

// isTrust reports whether a listed referrer may be an attachment of the
// publisher, by its unsigned hints; sure, whether they name the publisher. Some
// registries tell neither artifact types nor annotations.
func isTrust(d ocispec.Descriptor, id string) (maybe, sure bool) {
	hint := d.Annotations[metadata.AnnotationPublisher]
	sure = hint == PublisherHash(id)
	typed := slices.Contains([]string{metadata.ArtifactTypeTrust, ocispec.MediaTypeEmptyJSON, ""}, d.ArtifactType)
	return typed && (sure || hint == ""), sure
}

// newestFirst orders candidates: those that name the publisher first, and of
// these the ones that claim to be newer.
func newestFirst(id string) func(a, b ocispec.Descriptor) int {
	return func(a, b ocispec.Descriptor) int {
		_, x := isTrust(a, id)
		_, y := isTrust(b, id)
		if x != y {
			return map[bool]int{true: -1, false: 1}[x]
		}
		return strings.Compare(b.Annotations[metadata.AnnotationVersion], a.Annotations[metadata.AnnotationVersion])
	}
}

// isAbsent reports whether err only says that something is not there.
func isAbsent(err error) bool { return errors.Is(err, ErrNotFound) }
