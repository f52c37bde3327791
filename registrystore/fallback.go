package registrystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/errdef"

	"github.com/carnet-project/carnet/metadata"
)

// Where a registry has no referrers API, a tag of the subject's digest names
// an index of its referrers (OCI Distribution 1.1, "Referrers Tag Schema").
// Registries honour no conditional PUT, so the last of two writers takes the
// other's entry away. Against that stands an order: an attachment is pushed
// under a tag of its own first; then the index is written; then whoever wrote
// it lists the tags and reads the index once more, and writes again if an
// attachment is missing. The last who writes sees the tags of all who wrote
// before, so no attachment is missing in the end. Referrers without a tag of
// their own are looked after by reading once more, later.

// fallbackTag is the tag of the index of subject's referrers.
func fallbackTag(subject digest.Digest) string {
	return subject.Algorithm().String() + "-" + subject.Encoded()
}

// maxLinks is how often the index is written until it holds everything.
const maxLinks = 64

// link puts referrers into the fallback index of their subject, if the
// registry has no referrers API, and takes gone out of it.
func (b *remoteBackend) link(ctx context.Context, subject digest.Digest, refs []ocispec.Descriptor, gone digest.Digest) error {
	op := "link referrers of " + subject.String()
	if hasAPI, err := b.hasReferrersAPI(ctx, subject); hasAPI || err != nil {
		return b.wrap(op, err)
	}
	garbage := map[string]bool{} // tags of what is no attachment
	for n := range maxLinks {
		began := time.Now()
		index, lost, err := b.look(ctx, subject, garbage)
		if err != nil {
			return err
		}
		wanted, complete := merged(index, slices.Concat(refs, lost), gone)
		if complete {
			return nil
		}
		if n > 0 { // somebody else writes
			if err := sleep(ctx, rand.N(100*time.Millisecond)); err != nil {
				return b.wrap(op, err)
			}
		}
		if err := b.pushFallback(ctx, subject, wanted); err != nil {
			return err
		}
		if err := sleep(ctx, settling(refs, time.Since(began))); err != nil {
			return b.wrap(op, err)
		}
	}
	return b.wrap(op, errors.New("others write the index of referrers all the time: run the command again"))
}

// look returns the index, and the attachments that it lost. The tags are listed
// while the index is read: both come after what was written before.
func (b *remoteBackend) look(ctx context.Context, subject digest.Digest, garbage map[string]bool) (index, lost []ocispec.Descriptor, err error) {
	var tags []string
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { index, err = b.fallback(gctx, subject); return err })
	g.Go(func() (err error) { tags, err = b.tags(gctx); return err })
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	lost, err = b.lost(ctx, subject, index, tags, garbage)
	return index, lost, err
}

// settling is how long a writer waits before it looks whether another writer
// took away what no tag could bring back: some times as long as it took from
// reading the index to having written it, for so long another may take too.
func settling(refs []ocispec.Descriptor, took time.Duration) time.Duration {
	if slices.ContainsFunc(refs, func(d ocispec.Descriptor) bool { return d.ArtifactType != metadata.ArtifactTypeTrust }) {
		return min(max(3*took, 100*time.Millisecond), 5*time.Second) + rand.N(100*time.Millisecond)
	}
	return 0
}

// merged returns the index with what it lacks of refs and without gone, and
// whether it lacked nothing.
func merged(index, refs []ocispec.Descriptor, gone digest.Digest) (wanted []ocispec.Descriptor, complete bool) {
	wanted = slices.DeleteFunc(slices.Clone(index), func(d ocispec.Descriptor) bool { return d.Digest == gone })
	complete = true
	for _, r := range refs {
		if !lists(wanted, r.Digest) {
			wanted, complete = append(wanted, r), false
		}
	}
	return wanted, complete
}

func lists(index []ocispec.Descriptor, d digest.Digest) bool {
	return slices.ContainsFunc(index, func(e ocispec.Descriptor) bool { return e.Digest == d })
}

func (b *remoteBackend) pushFallback(ctx context.Context, subject digest.Digest, list []ocispec.Descriptor) error {
	raw, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: list})
	if err != nil {
		return err
	}
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	return b.pushManifest(ctx, fallbackTag(subject), desc, raw, false)
}

// hasReferrersAPI asks once for a repository.
func (b *remoteBackend) hasReferrersAPI(ctx context.Context, subject digest.Digest) (bool, error) {
	b.mu.Lock()
	known := b.api
	b.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	err := b.pages(1).Referrers(ctx, ocispec.Descriptor{MediaType: mediaTypeManifest, Digest: subject}, "", func([]ocispec.Descriptor) error { return nil })
	has := err == nil || errors.Is(err, errdef.ErrTooManyPages)
	if !has && !errors.Is(err, errdef.ErrUnsupported) {
		return false, err
	}
	b.noteAPI(has)
	return has, nil
}

func (b *remoteBackend) noteAPI(has bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.api = &has
}

// fallback reads the index of subject's referrers; none is as an empty one.
func (b *remoteBackend) fallback(ctx context.Context, subject digest.Digest) ([]ocispec.Descriptor, error) {
	_, raw, err := b.manifest(ctx, fallbackTag(subject))
	if isAbsent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, b.wrap("read "+fallbackTag(subject), fmt.Errorf("%w: %w", ErrCorrupt, err))
	}
	return index.Manifests, nil
}

// lost returns the attachments of subject that have one of the tags while the
// index names none of their publisher.
func (b *remoteBackend) lost(ctx context.Context, subject digest.Digest, index []ocispec.Descriptor, tags []string, garbage map[string]bool) ([]ocispec.Descriptor, error) {
	listed := map[string]bool{}
	for _, d := range index {
		listed[trustTags(subject)+d.Annotations[metadata.AnnotationPublisher]] = d.ArtifactType == metadata.ArtifactTypeTrust
	}
	tags = slices.DeleteFunc(tags, func(t string) bool {
		hash, ok := strings.CutPrefix(t, trustTags(subject))
		return !ok || !isHex12(hash) || listed[t] || garbage[t]
	})
	slices.Sort(tags)
	tags = slices.Compact(tags)
	tags = tags[:min(len(tags), maxReferrers)]
	found, bad := make([]ocispec.Descriptor, len(tags)), make([]bool, len(tags))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, tag := range tags {
		g.Go(func() (err error) { found[i], bad[i], err = b.taggedAttachment(gctx, subject, tag); return err })
	}
	err := g.Wait()
	for i := range found {
		if bad[i] {
			garbage[tags[i]] = true
		}
	}
	return slices.DeleteFunc(found, func(d ocispec.Descriptor) bool { return d.Digest == "" }), err
}

// taggedAttachment returns the attachment under a tag as the index lists it, or
// that there is garbage. A tag may be listed a moment before it can be read:
// then it is neither, and looked at again.
func (b *remoteBackend) taggedAttachment(ctx context.Context, subject digest.Digest, tag string) (d ocispec.Descriptor, garbage bool, err error) {
	desc, raw, err := b.manifest(ctx, tag)
	switch {
	case isAbsent(err):
		return d, false, nil
	case errors.Is(err, ErrTooLarge) || errors.Is(err, ErrCorrupt):
		return d, true, nil
	case err != nil:
		return d, false, err
	}
	if _, err := decodeAttachment(subject, raw); err != nil {
		return d, true, nil
	}
	listed, err := listing(desc, raw)
	if err != nil || listed.Annotations[metadata.AnnotationPublisher] != strings.TrimPrefix(tag, trustTags(subject)) {
		return d, true, nil
	}
	return listed, false, nil
}

// claimed asks for both kinds of lists at once: which of them a registry has
// is not known. Neither can keep the other's answer away: it is garbage that
// somebody pushed, for all that is known.
func (b *remoteBackend) claimed(ctx context.Context, subject ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var byAPI, byTag []ocispec.Descriptor
	var apiErr, tagErr error
	var g errgroup.Group
	g.Go(func() error { byAPI, apiErr = b.claimedByAPI(ctx, subject); return nil })
	g.Go(func() error { byTag, tagErr = b.fallback(ctx, subject.Digest); return nil })
	_ = g.Wait()
	return append(byAPI, byTag[:min(len(byTag), maxReferrers)]...), errors.Join(apiErr, tagErr)
}

// claimedByAPI returns what the first pages of the referrers API name. None is
// an error where there is no such API.
func (b *remoteBackend) claimedByAPI(ctx context.Context, subject ocispec.Descriptor) (out []ocispec.Descriptor, err error) {
	err = b.pages(maxEvidencePages).Referrers(ctx, subject, "", func(page []ocispec.Descriptor) error {
		if out = append(out, page...); len(out) > maxReferrers {
			return fmt.Errorf("%w: more than %d referrers", ErrTooLarge, maxReferrers)
		}
		return nil
	})
	if err == nil || errors.Is(err, errdef.ErrUnsupported) {
		b.noteAPI(err == nil)
		return out, nil
	}
	return out, b.wrap("list referrers of "+subject.Digest.String(), err)
}
