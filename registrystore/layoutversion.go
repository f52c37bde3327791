package registrystore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrLayoutVersion says that an image layout has another version than the one
// that is known here: what its files mean is not known.
var ErrLayoutVersion = errors.New("an image layout of an unknown version")

// MaxLayoutFile bounds the file oci-layout, in bytes.
const MaxLayoutFile = 64 << 10

// CheckLayoutVersion refuses the content of a file oci-layout that is
// malformed, by ErrCorrupt, or has another version than 1.0.0, by
// ErrLayoutVersion (image-spec, "oci-layout file": the version is pinned until
// the layout changes). Members that it does not know are ignored.
func CheckLayoutVersion(raw []byte) error {
	var l ocispec.ImageLayout
	if err := json.Unmarshal(raw, &l); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, ocispec.ImageLayoutFile, err)
	}
	if l.Version != ocispec.ImageLayoutVersion {
		return fmt.Errorf("%w: %s says imageLayoutVersion %.100q where %s is known: a newer carnet may read it",
			ErrLayoutVersion, ocispec.ImageLayoutFile, l.Version, ocispec.ImageLayoutVersion)
	}
	return nil
}

// checkVersion holds the layout's own oci-layout against what is known, once
// it was good. A layout without that file may be one whose first writer was
// killed: its other files decide, and the next writer makes it.
func (b *layoutBackend) checkVersion() error {
	if b.checked.Load() {
		return nil
	}
	raw, err := readFile(filepath.Join(b.dir, ocispec.ImageLayoutFile), MaxLayoutFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = CheckLayoutVersion(raw)
	}
	b.checked.Store(err == nil)
	return err
}
