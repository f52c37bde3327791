package tuf

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// archive holds one publication and can only be read: a [Journal], and the
// [Source] of it, for a machine without network. One that has a journal behind
// it keeps what was asked for.
type archive struct {
	pub   *Publication
	files map[digest.Digest][]byte
	from  Journal // or nil
}

var errArchive = errors.New("a file with a proposal can be signed, and publishes nothing: hand it on with `carnet propose import`")

func (a *archive) String() string { return "the proposal's file" }

func (a *archive) Publication() *Publication { return a.pub }

// Fetch returns a file of the publication.
func (a *archive) Fetch(ctx context.Context, f File) ([]byte, error) {
	if raw := a.files[f.Digest]; raw != nil {
		return raw, nil
	}
	if a.from == nil {
		return nil, fmt.Errorf("%w: %s version %d is not in the proposal's file", ErrNotFound, f.Role, f.Version)
	}
	raw, err := bytesOf(ctx, f, a.from.Fetch)
	if err == nil {
		a.files[f.Digest] = raw
	}
	return raw, err
}

func (a *archive) held() *held { return &held{pub: a.pub, journal: a} }

// Root returns a root by version.
func (a *archive) Root(ctx context.Context, version int64) ([]byte, error) {
	return a.held().Root(ctx, version)
}

// Timestamp returns the timestamp.
func (a *archive) Timestamp(ctx context.Context) ([]byte, error) { return a.held().Timestamp(ctx) }

// File returns snapshot, targets or a delegated role's file.
func (a *archive) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	return a.held().File(ctx, role, want)
}

// The rest of a Journal is not there.

func (a *archive) Latest(context.Context) (*Publication, error) { return a.pub, nil }

func (a *archive) List(context.Context) ([]Entry, error) { return nil, nil }

func (a *archive) Read(context.Context, Entry) (*Publication, error) { return nil, errArchive }

func (a *archive) PushDraft(context.Context, *Publication) (Entry, error) {
	return Entry{}, errArchive
}

func (a *archive) Commit(context.Context, *Publication) (Entry, error) { return Entry{}, errArchive }

func (a *archive) Advance(context.Context, *Publication) error { return errArchive }

func (a *archive) Delete(context.Context, ...Entry) error { return errArchive }
