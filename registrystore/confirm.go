package registrystore

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// confirm asks for one byte. Registries that know no ranges answer with all
// and are heard to the first (distribution-spec, "Pulling blobs": ranges are
// optional).
func (b *remoteBackend) confirm(ctx context.Context, desc ocispec.Descriptor) error {
	err := b.reading(ctx, func() error {
		resp, err := b.do(ctx, http.MethodGet, "blobs/"+desc.Digest.String(), http.Header{"Range": {"bytes=0-0"}}, nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
			return errorResponse(resp)
		}
		if size, ok := wholeSize(resp); ok && size != desc.Size {
			return fmt.Errorf("%w: want %d bytes, found %d", ErrCorrupt, desc.Size, size)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 1)); err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		return nil
	})
	return b.wrap("read back blob "+desc.Digest.String(), err)
}

// wholeSize is the length of what an answer is a part of, if it says so.
func wholeSize(resp *http.Response) (int64, bool) {
	if resp.StatusCode == http.StatusOK {
		return resp.ContentLength, resp.ContentLength >= 0
	}
	_, total, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
	n, err := strconv.ParseInt(total, 10, 64)
	return n, err == nil
}

// confirm reads the file: it is near.
func (b *layoutBackend) confirm(ctx context.Context, desc ocispec.Descriptor) error {
	_, err := b.blob(ctx, desc)
	return err
}

func (b *archiveBackend) confirm(ctx context.Context, desc ocispec.Descriptor) error {
	_, err := b.blob(ctx, desc)
	return err
}

func (b *offlineBackend) confirm(_ context.Context, desc ocispec.Descriptor) error {
	return b.refuse("read back blob " + desc.Digest.String())
}
