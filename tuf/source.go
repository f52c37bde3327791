package tuf

import (
	"context"
	"errors"
	"time"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// ErrNotFound is what a [Source] wraps when it holds no such file. It is the
// only error of a source that means anything to the client: it ends the
// chain of roots (TUF 5.3.3). Every other error is a failure of transport,
// never a verdict.
var ErrNotFound = errors.New("no such metadata")

// Source serves the untrusted metadata files of one publisher: an OCI
// repository, an image layout, a plain HTTP TUF repository. Each method
// returns the file's bytes, at most metadata.Limit of them; nothing about
// them is believed. Methods may be called by one goroutine at a time.
type Source interface {
	// String names the source for messages: its reference or URL.
	String() string
	// Root returns root file version, or ErrNotFound.
	Root(ctx context.Context, version int64) ([]byte, error)
	// Timestamp returns the newest timestamp file.
	Timestamp(ctx context.Context) ([]byte, error)
	// File returns the file of role (snapshot, targets or a delegated role)
	// that want describes. Version is always set, Length is -1 and Hashes nil
	// where the author gave none. The client checks the bytes against want. A
	// source that knows that it has no such file says ErrNotFound.
	File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error)
}

// Want says what an update will ask a source for.
type Want struct {
	// AfterRoot is the version of the trusted root: those after it are needed.
	AfterRoot int64
	// Timestamp is the version of the trusted timestamp: a source that offers
	// an older one looks further. 0: none is trusted.
	Timestamp int64
	// Now is the time of the update: a source that offers an expired timestamp
	// looks further.
	Now time.Time
	// Paths are the target paths that will be looked up.
	Paths []string
	// Has reports whether the client already holds the file of role with this
	// SHA-256 (lower-case hexadecimal), so that it need not be fetched. It may
	// be called by several goroutines.
	Has func(role, sha256 string) bool
}

// Prefetcher is a Source that can fetch many files at once. Open must be
// called before every other method of the source; Prefetch fetches, in one
// parallel batch, what an update for want is likely to ask for. Its hints
// are unsigned: what was not prefetched is fetched when it is asked for.
type Prefetcher interface {
	Source
	// Open reads what the repository offers now (one request when warm).
	Open(ctx context.Context) error
	// Prefetch never fails an update: what it could not get is asked again.
	Prefetch(ctx context.Context, want Want)
}

// Lister is a Source that holds several publications, of which unsigned marks
// chose one: if that turns out to be forged, Next goes on to another.
type Lister interface {
	Source
	// Next lets the source serve the publication that it would choose next, or
	// returns an error if there is none; then it goes on with what it has.
	Next(ctx context.Context) error
}

// Naming is a Source whose names of files depend on root's
// consistent_snapshot. It is told once root is up to date, before it is asked
// for another file.
type Naming interface {
	Source
	SetConsistentSnapshot(on bool)
}

// Store keeps what the client trusts, by file: "root", "timestamp",
// "snapshot", "targets" or the name of a delegated role. It holds bytes as
// they were received. The client verifies them again when it reads them; only
// that the stored root was accepted once is taken from the store. Get may be
// called by several goroutines.
type Store interface {
	// Get returns the file, or an error that wraps fs.ErrNotExist.
	Get(role string) ([]byte, error)
	// Put replaces the file; once it returns the file survives a crash, or
	// will with the store's own commit.
	Put(role string, raw []byte) error
	// Delete removes the file if it is there.
	Delete(role string) error
}

// Hinted reports whether a role with these delegated patterns is visited by a
// search for one of the paths, as far as an unsigned hint can tell.
func (w Want) Hinted(patterns []string) bool {
	for _, path := range w.Paths {
		if delegations.MatchAny(patterns, path) {
			return true
		}
	}
	return false
}
