package tuf

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// MaxRootFiles is how many roots of a publication have a file of their own.
// Older ones are in its root pack (docs/spec.md, "State").
const MaxRootFiles = 16

// PackRoots moves the roots of p that are too many into its root pack, beside
// those that are there. Fetch returns the bytes of files without data. Nothing
// is lost: p serves the same roots as before.
func PackRoots(ctx context.Context, p *Publication, fetch func(context.Context, File) ([]byte, error)) error {
	n := len(p.Roots) - MaxRootFiles
	if n <= 0 {
		return nil
	}
	var files [][]byte
	if p.RootPack.Digest != "" {
		raw, err := bytesOf(ctx, p.RootPack, fetch)
		if err != nil {
			return err
		}
		if files, err = rootPack(raw); err != nil {
			return err
		}
	}
	for _, f := range p.Roots[:n] {
		raw, err := bytesOf(ctx, f, fetch)
		if err != nil {
			return err
		}
		files = append(files, raw)
	}
	raw, err := json.Marshal(files)
	if err == nil && int64(len(raw)) > FileLimit(RootPack) {
		err = fmt.Errorf("the root pack has %d bytes where at most %d are allowed", len(raw), FileLimit(RootPack))
	}
	if err != nil {
		return err
	}
	p.RootPack = File{Role: RootPack, Length: int64(len(raw)), Digest: digest.FromBytes(raw), Data: raw}
	p.Roots = slices.Clone(p.Roots[n:])
	return nil
}

func bytesOf(ctx context.Context, f File, fetch func(context.Context, File) ([]byte, error)) ([]byte, error) {
	if f.Data != nil {
		return f.Data, nil
	}
	return fetch(ctx, f)
}

// rootPack reads a root pack: a JSON array of files as base64 strings, so
// that each keeps its bytes.
func rootPack(raw []byte) ([][]byte, error) {
	var files [][]byte
	if err := json.Unmarshal(raw, &files); err != nil {
		return nil, fmt.Errorf("%w: root pack: %w", ErrInvalid, err)
	}
	return files, nil
}

// UnpackRoots returns the roots of a root pack by version. They are decoded
// and not verified.
func UnpackRoots(raw []byte) (map[int64][]byte, error) {
	files, err := rootPack(raw)
	if err != nil {
		return nil, err
	}
	out := make(map[int64][]byte, len(files))
	for _, f := range files {
		root, err := metadata.Decode(metadata.RoleRoot, f)
		if err != nil {
			return nil, fmt.Errorf("root pack: %w", err)
		}
		if out[root.Version] != nil {
			return nil, fmt.Errorf("%w: root pack: version %d stands twice", ErrInvalid, root.Version)
		}
		out[root.Version] = f
	}
	return out, nil
}
