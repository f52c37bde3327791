package registrystore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
)

// Artifact is what a reference names.
type Artifact struct {
	Digest       digest.Digest
	Size         int64  // of the manifest, in bytes
	MediaType    string // of the manifest
	ArtifactType string // the manifest's artifact type, else its config's media type
	// Manifests are the digests and sizes of an index's children.
	Manifests []ocispec.Descriptor
	// Subject is the digest of what the manifest is attached to, or "".
	Subject digest.Digest
	// Annotations are the manifest's, unsigned.
	Annotations map[string]string
	// Blobs are what else the manifest lists: its config and layers.
	Blobs []ocispec.Descriptor
	// IsAttachment reports that it has the form of a trust attachment.
	IsAttachment bool
	// Raw are the manifest's bytes.
	Raw []byte
}

// Artifacts reads artifacts of one repository, and attaches evidence to them.
// It is safe for concurrent use.
type Artifacts struct {
	backend backend
	name    string
	cache   *Cache

	mu    sync.Mutex
	there map[digest.Digest]bool // blobs known to be there; guarded by mu
}

func (a *Artifacts) String() string { return a.name }

// Artifacts opens a repository of artifacts. It asks nothing yet.
func (r *Registries) Artifacts(repo Repository) (*Artifacts, error) {
	b, err := r.backend(repo)
	if err != nil {
		return nil, err
	}
	return &Artifacts{backend: b, name: called(b, repo), cache: r.cache, there: map[digest.Digest]bool{}}, nil
}

// Resolve returns the digest that ref's location has now: that of its tag, or
// its digest. A tag and a digest that disagree are an error. One request for
// a tag, none for a digest alone.
func (a *Artifacts) Resolve(ctx context.Context, ref Reference) (digest.Digest, error) {
	desc, err := a.Locate(ctx, ref)
	return desc.Digest, err
}

// Locate is Resolve, and also returns the manifest's size as the location
// tells it: 0 for a digest alone, for which nobody is asked.
func (a *Artifacts) Locate(ctx context.Context, ref Reference) (ocispec.Descriptor, error) {
	if ref.Tag == "" {
		return ocispec.Descriptor{Digest: ref.Digest}, nil
	}
	desc, err := a.backend.resolve(ctx, ref.Tag)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return desc, Agree(ref, desc.Digest)
}

// DisagreeError says that a reference names a tag and a digest, and the tag
// is at another digest.
type DisagreeError struct {
	Reference Reference
	Found     digest.Digest
}

func (e *DisagreeError) Error() string {
	return fmt.Sprintf("%s: the tag is at %s", e.Reference, e.Found)
}

// Agree fails with a *DisagreeError if ref names another digest than found.
func Agree(ref Reference, found digest.Digest) error {
	if ref.Digest != "" && ref.Digest != found {
		return &DisagreeError{Reference: ref, Found: found}
	}
	return nil
}

// Read returns what ref names, with an index's children.
func (a *Artifacts) Read(ctx context.Context, ref Reference) (*Artifact, error) {
	what := ref.Tag
	if what == "" {
		what = ref.Digest.String()
	}
	desc, raw, err := a.backend.manifest(ctx, what)
	if err != nil {
		return nil, err
	}
	if err := Agree(ref, desc.Digest); err != nil {
		return nil, err
	}
	out, err := decodeArtifact(desc, raw)
	if err != nil {
		return nil, &Error{Repository: a.name, Op: "read " + what, Kind: ErrCorrupt, Err: err}
	}
	return out, nil
}

// maxChildren is how many manifests an index may list.
const maxChildren = 1_000

// decodeArtifact reads a manifest or an index, of OCI's or Docker's kind. What
// could be read as both is refused (CVE-2021-41190).
func decodeArtifact(desc ocispec.Descriptor, raw []byte) (*Artifact, error) {
	var m struct {
		MediaType    string               `json:"mediaType"`
		ArtifactType string               `json:"artifactType"`
		Config       *ocispec.Descriptor  `json:"config"`
		Layers       []ocispec.Descriptor `json:"layers"`
		Blobs        []ocispec.Descriptor `json:"blobs"` // of OCI's artifact manifest, which was withdrawn
		Manifests    []ocispec.Descriptor `json:"manifests"`
		Subject      *ocispec.Descriptor  `json:"subject"`
		Annotations  map[string]string    `json:"annotations"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	if m.Manifests != nil && (m.Config != nil || m.Layers != nil) {
		return nil, errors.New("it is a manifest and an index at once")
	}
	out := &Artifact{
		Digest: desc.Digest, Size: desc.Size, MediaType: desc.MediaType, ArtifactType: m.ArtifactType,
		Manifests: m.Manifests, Annotations: m.Annotations, Raw: raw, Blobs: append(m.Layers, m.Blobs...),
	}
	if m.Config != nil {
		out.Blobs = append(out.Blobs, *m.Config)
	}
	out.MediaType = cmp.Or(m.MediaType, out.MediaType, mediaTypeManifest)
	if out.MediaType == mediaTypeManifest && m.Manifests != nil {
		out.MediaType = ocispec.MediaTypeImageIndex
	}
	if out.ArtifactType == "" && m.Config != nil {
		out.ArtifactType = m.Config.MediaType
	}
	if m.Subject != nil {
		out.Subject = m.Subject.Digest
	}
	if m.ArtifactType == metadata.ArtifactTypeTrust {
		_, err := decodeAttachment(out.Subject, raw)
		out.IsAttachment = err == nil
	}
	return out, checkChildren(m.Manifests)
}

func checkChildren(list []ocispec.Descriptor) error {
	if len(list) > maxChildren {
		return fmt.Errorf("an index of %d manifests where at most %d are allowed", len(list), maxChildren)
	}
	for _, c := range list {
		if !isSHA256(c.Digest) || c.Size < 1 || c.Size > metadata.MaxManifest {
			return fmt.Errorf("child digest %.100q of %d bytes", c.Digest, c.Size)
		}
	}
	return nil
}

// Referrers returns the manifests whose subject is d, by the referrers API
// or, where a registry has none, by the fallback tag.
func (a *Artifacts) Referrers(ctx context.Context, d digest.Digest) ([]ocispec.Descriptor, error) {
	return a.backend.referrers(ctx, ocispec.Descriptor{MediaType: mediaTypeManifest, Digest: d})
}
