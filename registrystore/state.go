package registrystore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

const (
	mediaTypeManifest = ocispec.MediaTypeImageManifest
	// maxLayers bounds what is decoded: a manifest of 4 MiB cannot hold more
	// useful ones.
	maxLayers = 40_000
)

// encodeState writes a publication as a manifest. Equal publications give
// equal bytes. Small files are inlined, the ones that every reader needs
// first; a manifest over 4 MiB is refused, since registries would.
func encodeState(p *tuf.Publication) ([]byte, error) {
	m := ocispec.Manifest{ArtifactType: metadata.ArtifactTypeState}
	if p.IsDraft() {
		m.ArtifactType = metadata.ArtifactTypeDraft
	}
	return encodeManifest(m, p)
}

// encodeManifest adds the files of p to a manifest and writes it.
func encodeManifest(m ocispec.Manifest, p *tuf.Publication) ([]byte, error) {
	m.Versioned, m.MediaType, m.Config = specs.Versioned{SchemaVersion: 2}, mediaTypeManifest, ocispec.DescriptorEmptyJSON
	if p.RootPack.Version != 0 || slices.ContainsFunc(p.Roles, func(f tuf.File) bool { return f.Role == tuf.RootPack }) {
		return nil, fmt.Errorf("the role name %q is reserved: give the role another name", tuf.RootPack)
	}
	budget := inlineBudget{left: metadata.MaxInlineTotal}
	for _, f := range p.Files() {
		m.Layers = append(m.Layers, budget.layer(f))
	}
	raw, err := json.Marshal(m)
	if err == nil && len(raw) > metadata.MaxManifest {
		err = fmt.Errorf("%w: the manifest has %d bytes and registries accept %d: it holds %d roles, merge or remove some",
			ErrTooLarge, len(raw), metadata.MaxManifest, len(p.Roles))
	}
	return raw, err
}

// inlineBudget is what may still be inlined in one manifest, in bytes.
type inlineBudget struct{ left int }

func (b *inlineBudget) layer(f tuf.File) ocispec.Descriptor {
	d := ocispec.Descriptor{
		MediaType: metadata.MediaTypeFile, Digest: f.Digest, Size: f.Length,
		Annotations: map[string]string{metadata.AnnotationFilename: filename(f)},
	}
	if f.Role == tuf.RootPack {
		d.MediaType = metadata.MediaTypeRootPack
		return d
	}
	if hint, err := json.Marshal(f.Patterns); err == nil && f.Patterns != nil {
		d.Annotations[metadata.AnnotationPatterns] = string(hint)
	}
	if n := len(f.Data); n > 0 && n <= metadata.MaxInlineFile && n <= b.left && f.Role != metadata.RoleRoot {
		d.Data, b.left = f.Data, b.left-n
	}
	return d
}

// filename is the name of a file as TUF writes it (TUF 6.2), its role's name
// percent-encoded: it is shown and compared, and never a path.
func filename(f tuf.File) string {
	if f.Role == metadata.RoleTimestamp {
		return "timestamp.json"
	}
	return strconv.FormatInt(f.Version, 10) + "." + url.PathEscape(f.Role) + ".json"
}

// parseFilename is the inverse of filename.
func parseFilename(s string) (role string, version int64, err error) {
	if s == "timestamp.json" {
		return metadata.RoleTimestamp, 0, nil
	}
	n, rest, _ := strings.Cut(s, ".")
	name, isJSON := strings.CutSuffix(rest, ".json")
	version, err = strconv.ParseInt(n, 10, 64)
	if err != nil || version < 1 || !isJSON || strconv.FormatInt(version, 10) != n {
		return "", 0, fmt.Errorf("%w: file name %.100q", tuf.ErrUnreadable, s)
	}
	role, err = url.PathUnescape(name)
	if err != nil || role == "" || role == tuf.RootPack || len(role) > metadata.MaxRoleName || url.PathEscape(role) != name {
		return "", 0, fmt.Errorf("%w: file name %.100q", tuf.ErrUnreadable, s)
	}
	return role, version, nil
}

// decodeState reads a manifest that claims to be a publication. Nothing in it
// is believed beyond its form: sizes within limits, no file twice, inlined
// bytes equal to their descriptor. Every error wraps tuf.ErrUnreadable.
func decodeState(raw []byte) (*tuf.Publication, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", tuf.ErrUnreadable, err)
	}
	isDraft := m.ArtifactType == metadata.ArtifactTypeDraft
	if m.SchemaVersion != 2 || !isDraft && m.ArtifactType != metadata.ArtifactTypeState || len(m.Layers) > maxLayers {
		return nil, fmt.Errorf("%w: artifact type %.100q with %d layers is no state", tuf.ErrUnreadable, m.ArtifactType, len(m.Layers))
	}
	return decodeFiles(m.Layers, isDraft)
}

// decodeFiles reads the layers of a publication.
func decodeFiles(layers []ocispec.Descriptor, isDraft bool) (*tuf.Publication, error) {
	p := &tuf.Publication{}
	seen := map[string]bool{}
	for _, l := range layers {
		f, err := decodeLayer(l)
		if err != nil {
			return nil, err
		}
		key := f.Role
		if f.Role == metadata.RoleRoot {
			key = filename(f)
		}
		if seen[key] {
			return nil, fmt.Errorf("%w: %s stands twice", tuf.ErrUnreadable, key)
		}
		seen[key] = true
		p.Add(f)
	}
	return p, complete(p, isDraft)
}

func decodeLayer(l ocispec.Descriptor) (tuf.File, error) {
	if !isSHA256(l.Digest) {
		return tuf.File{}, fmt.Errorf("%w: digest %.100q", tuf.ErrUnreadable, l.Digest)
	}
	f := tuf.File{Length: l.Size, Digest: l.Digest}
	if l.MediaType == metadata.MediaTypeRootPack {
		f.Role = tuf.RootPack
	} else {
		var err error
		if f.Role, f.Version, err = parseFilename(l.Annotations[metadata.AnnotationFilename]); err != nil {
			return f, err
		}
	}
	if f.Length < 1 || f.Length > tuf.FileLimit(f.Role) {
		return f, fmt.Errorf("%w: %s of %d bytes", tuf.ErrUnreadable, filename(f), l.Size)
	}
	if len(l.Data) > 0 {
		if int64(len(l.Data)) != l.Size || digest.FromBytes(l.Data) != l.Digest {
			return f, fmt.Errorf("%w: %s: the inlined bytes are not what their descriptor says", tuf.ErrUnreadable, filename(f))
		}
		f.Data = bytes.Clone(l.Data)
	}
	if hint := l.Annotations[metadata.AnnotationPatterns]; hint != "" {
		_ = json.Unmarshal([]byte(hint), &f.Patterns) // a hint: garbage is none
	}
	return f, nil
}

// complete checks that the files make a publication, and puts them in order.
func complete(p *tuf.Publication, isDraft bool) error {
	byVersion := func(a, b tuf.File) int { return int(min(max(a.Version-b.Version, -1), 1)) }
	slices.SortFunc(p.Roots, byVersion)
	slices.SortFunc(p.Roles, func(a, b tuf.File) int { return strings.Compare(a.Role, b.Role) })
	for i := 1; i < len(p.Roots); i++ {
		if p.Roots[i].Version != p.Roots[i-1].Version+1 {
			return fmt.Errorf("%w: a root is missing after version %d", tuf.ErrUnreadable, p.Roots[i-1].Version)
		}
	}
	if len(p.Roots) == 0 || p.Snapshot.Digest == "" || p.Targets.Digest == "" || isDraft != (p.Timestamp.Digest == "") {
		return fmt.Errorf("%w: a file is missing", tuf.ErrUnreadable)
	}
	return nil
}

// stateTag and draftTag name publications (docs/spec.md, "Tags").
func stateTag(root, timestamp int64, identity string) string {
	return fmt.Sprintf("%s%012d.%012d.%.12s", metadata.TagPrefixState, root, timestamp, identity)
}

func draftTag(version int64, identity string) string {
	return fmt.Sprintf("%s%012d.%.12s", metadata.TagPrefixDraft, version, identity)
}

// isTagOf reports whether a manifest is the publication that tag is the tag of.
func isTagOf(tag string, raw []byte) bool {
	p, err := decodeState(raw)
	if err != nil {
		return false
	}
	if p.IsDraft() {
		return tag == draftTag(p.Snapshot.Version, p.Identity())
	}
	return tag == stateTagOf(p)
}

// stateTagOf is the tag of a state. Its timestamp says the version; other
// tools sign a new timestamp over the same snapshot, so that the two differ.
func stateTagOf(p *tuf.Publication) string {
	return stateTag(p.Roots[len(p.Roots)-1].Version, sealVersion(p), p.Identity())
}

// sealVersion is the version of a state's timestamp, that of snapshot where
// the timestamp is not at hand.
func sealVersion(p *tuf.Publication) int64 {
	if p.Timestamp.Version > 0 {
		return p.Timestamp.Version
	}
	if f, err := metadata.Decode(metadata.RoleTimestamp, p.Timestamp.Data); err == nil {
		return f.Version
	}
	return p.Snapshot.Version
}

// parseTag takes a state's or draft's tag apart. Tags of any other form are
// none of the protocol's.
func parseTag(tag string) (tuf.Entry, bool) {
	e := tuf.Entry{Tag: tag}
	var rest string
	var ok bool
	if rest, ok = strings.CutPrefix(tag, metadata.TagPrefixState); ok {
		root, after, _ := strings.Cut(rest, ".")
		if e.Root, ok = number(root); !ok {
			return e, false
		}
		rest = after
	} else if rest, ok = strings.CutPrefix(tag, metadata.TagPrefixDraft); ok {
		e.Draft = true
	} else {
		return e, false
	}
	version, hex, _ := strings.Cut(rest, ".")
	e.Digest = hex
	e.Version, ok = number(version)
	return e, ok && len(hex) == 12 && strings.Trim(hex, "0123456789abcdef") == ""
}

func number(s string) (int64, bool) {
	if len(s) < 12 || len(s) > 19 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > 0 && fmt.Sprintf("%012d", n) == s
}
