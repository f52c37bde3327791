package registrystore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxIndex bounds a layout's index.json, in bytes.
const maxIndex = 64 << 20

// layoutIndex is index.json. It keeps the members and entries that other
// tools wrote as they are.
type layoutIndex struct {
	members map[string]json.RawMessage
	entries []indexEntry
}

// indexEntry is one manifest of index.json, and its bytes there.
type indexEntry struct {
	ocispec.Descriptor
	raw json.RawMessage
}

func (e indexEntry) tag() string { return e.Annotations[ocispec.AnnotationRefName] }

const emptyIndex = `{"manifests":[],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}`

// index reads index.json. A folder that does not exist, or is empty, is a
// layout without content.
func (b *layoutBackend) index() (*layoutIndex, error) {
	if err := b.checkVersion(); err != nil {
		return nil, err
	}
	// Looked for first: a writer makes index.json before blobs/.
	_, noBlobs := os.Stat(filepath.Join(b.dir, ocispec.ImageBlobsDir))
	raw, err := readFile(filepath.Join(b.dir, ocispec.ImageIndexFile), maxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		if noBlobs == nil {
			return nil, fmt.Errorf("%w: blobs/ without index.json: the layout is half written", ErrCorrupt)
		}
		raw, err = []byte(emptyIndex), nil
	}
	if err != nil {
		return nil, err
	}
	idx, err := decodeIndex(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: index.json: %w", ErrCorrupt, err)
	}
	return idx, nil
}

func decodeIndex(raw []byte) (*layoutIndex, error) {
	idx := &layoutIndex{}
	if err := json.Unmarshal(raw, &idx.members); err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if m := idx.members["manifests"]; m != nil {
		if err := json.Unmarshal(m, &list); err != nil {
			return nil, err
		}
	}
	for _, m := range list {
		e := indexEntry{raw: m}
		if err := json.Unmarshal(m, &e.Descriptor); err != nil {
			return nil, err
		}
		idx.entries = append(idx.entries, e)
	}
	return idx, nil
}

func (idx *layoutIndex) encode() ([]byte, error) {
	list := make([]json.RawMessage, len(idx.entries))
	for i, e := range idx.entries {
		list[i] = e.raw
	}
	manifests, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	if idx.members == nil {
		idx.members = map[string]json.RawMessage{}
	}
	idx.members["manifests"] = manifests
	return json.Marshal(idx.members)
}

// set lets tag name desc, and no other manifest. Without a tag it adds desc
// if it is not there.
func (idx *layoutIndex) set(tag string, desc ocispec.Descriptor) error {
	if tag != "" {
		desc.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	raw, err := json.Marshal(desc)
	if err != nil {
		return err
	}
	idx.entries = slices.DeleteFunc(idx.entries, func(e indexEntry) bool {
		return e.Digest == desc.Digest && e.tag() == "" || tag != "" && e.tag() == tag
	})
	idx.entries = append(idx.entries, indexEntry{Descriptor: desc, raw: raw})
	return nil
}

func (idx *layoutIndex) drop(tags []string) {
	idx.entries = slices.DeleteFunc(idx.entries, func(e indexEntry) bool {
		return e.tag() != "" && slices.Contains(tags, e.tag())
	})
}
