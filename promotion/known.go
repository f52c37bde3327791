package promotion

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// known is what the other side has already: what earlier archives brought it,
// in the repository where they brought it.
type known struct {
	lists []map[string]*registrystore.Lists
	// named are the digests that the archives name by a tag, or by "" for none.
	named map[string]map[digest.Digest]bool
	files map[string]map[digest.Digest]bool // of states, by trust repository
}

func readKnown(ctx context.Context, since []*registrystore.Archive) (*known, error) {
	k := &known{named: map[string]map[digest.Digest]bool{}, files: map[string]map[digest.Digest]bool{}}
	for _, a := range since {
		lists, err := a.Lists(ctx)
		if err != nil {
			return nil, err
		}
		k.lists = append(k.lists, lists)
		for _, e := range a.Entries() {
			put(k.named, e.Repository+":"+e.Tag, e.Digest)
		}
	}
	return k, nil
}

func put(m map[string]map[digest.Digest]bool, key string, d digest.Digest) {
	if m[key] == nil {
		m[key] = map[digest.Digest]bool{}
	}
	m[key][d] = true
}

// has reports whether the other side has d in the repository.
func (k *known) has(repository string, d digest.Digest) bool {
	if k.files[repository][d] {
		return true
	}
	for _, lists := range k.lists {
		if l := lists[repository]; l != nil && l.Has(d) {
			return true
		}
	}
	return false
}

// names reports whether the other side has d under the tag. A tag that several
// archives have at different digests is saved again: in which order they are
// loaded is not known.
func (k *known) names(repository, tag string, d digest.Digest) bool {
	at := k.named[repository+":"+tag]
	return at[d] && (tag == "" || len(at) == 1)
}

// state adds the files of a state that the other side is known to have.
func (k *known) state(ctx context.Context, t *registrystore.Trust, repository string, at verify.Floor) error {
	entries, err := t.List(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		if e.Draft || e.Root != at.Root || e.Version != at.Timestamp {
			continue
		}
		if err := k.addState(ctx, t, repository, e); err != nil {
			return err
		}
		found = true
	}
	if !found {
		return fmt.Errorf("%w: %s lists no state %d.%d (any more): give the file that was saved then", ErrNoState, t, at.Root, at.Timestamp)
	}
	return nil
}

func (k *known) addState(ctx context.Context, t *registrystore.Trust, repository string, e tuf.Entry) error {
	l, err := t.At(ctx, e)
	if err != nil {
		return err
	}
	m, err := registrystore.DecodeManifest(l.Manifest())
	if err != nil {
		return err
	}
	put(k.files, repository, m.Digest)
	for _, b := range m.Blobs {
		put(k.files, repository, b.Digest)
	}
	put(k.named, repository+":"+e.Tag, m.Digest)
	return nil
}
