package registrystore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Finding is one thing that a repository can do or not.
type Finding struct {
	Name   string `json:"name"`   // one of the names below, the same for ever
	Result string `json:"result"` // "yes", "no", a number, or a word
	Detail string `json:"detail"` // what was seen; "" if nothing is to add
	Carnet string `json:"carnet"` // what Carnet does about it
}

// The names of findings, in the order in which Doctor gives them.
const (
	FindingWriting       = "writing"
	FindingTags          = "tags"
	FindingTagOrder      = "tag-order"
	FindingTagPaging     = "tag-paging"
	FindingReadWrites    = "tag-list-read-your-writes"
	FindingListedBefore  = "listed-before-readable"
	FindingMovingTags    = "moving-tags"
	FindingInlined       = "inlined-data"
	FindingReferrers     = "referrers-api"
	FindingAliasing      = "fallback-tag-aliasing"
	FindingNotModified   = "not-modified"
	FindingManifestLimit = "manifest-limit"
	FindingDelete        = "delete"
)

// doctorPrefix begins every tag that Doctor writes.
const doctorPrefix = "carnet-doctor."

// Doctor finds out what a repository can do and says what Carnet does about
// it. It writes only under tags that begin with "carnet-doctor.", and takes
// them away again if the registry lets it. Of a repository that may not be
// written it finds what can be read.
func (r *Registries) Doctor(ctx context.Context, repo Repository) ([]Finding, error) {
	b, err := r.backend(repo)
	if err != nil {
		return nil, err
	}
	tags, err := b.tags(ctx)
	if err != nil {
		return nil, err
	}
	rb, ok := b.(*remoteBackend)
	if !ok {
		return layoutFindings(len(tags)), nil
	}
	x := &examination{remoteBackend: rb, listed: tags, mark: doctorPrefix + strings.ToLower(rand.Text()[:12])}
	return x.run(ctx)
}

func layoutFindings(tags int) []Finding {
	return []Finding{
		{FindingTags, fmt.Sprint(tags), "an image layout", "index.json is read whole; writers of all processes keep each other out by a file lock"},
		{FindingReferrers, "yes", "every manifest of index.json is read", "referrers are found by their subject"},
		{FindingDelete, "yes", "", "prune takes tags out of index.json and leaves the blobs"},
	}
}

// examination is one run of the doctor on a registry's repository.
type examination struct {
	*remoteBackend
	listed   []string // tags before anything was written
	mark     string   // begins all tags of this run
	made     []string // tags of this run
	findings []Finding
}

func (x *examination) found(name, result, detail, carnet string) {
	x.findings = append(x.findings, Finding{name, result, detail, carnet})
}

func (x *examination) run(ctx context.Context) ([]Finding, error) {
	first, err := x.write(ctx, "a", probe("first"))
	if err != nil && kind(err) != ErrReadOnly && kind(err) != ErrUnauthorized {
		return nil, err
	}
	defer x.cleanUp(ctx)
	probes := []func(context.Context) error{x.tagList, x.notModified, x.referrersAnswer}
	if err != nil {
		x.found(FindingWriting, "no", err.Error(), "only what can be read is looked at; publishing needs an account that may push")
	} else {
		x.found(FindingWriting, "yes", "", "publishing is possible")
		probes = []func(context.Context) error{
			func(ctx context.Context) error { return x.readYourWrites(ctx, first.tag) },
			x.listedBefore, x.tagList,
			func(ctx context.Context) error { return x.inlined(ctx, first) },
			func(ctx context.Context) error { return x.attach(ctx, first) },
			func(ctx context.Context) error { return x.aliasing(ctx, first) },
			x.notModified, x.manifestLimit,
			func(ctx context.Context) error { return x.moving(ctx, first) },
			x.deletes,
		}
	}
	for _, p := range probes {
		if err := p(ctx); err != nil {
			return x.findings, err
		}
	}
	x.sort()
	return x.findings, nil
}

// sort puts the findings in the order of the constants.
func (x *examination) sort() {
	order := []string{
		FindingWriting, FindingTags, FindingTagOrder, FindingTagPaging, FindingReadWrites, FindingListedBefore, FindingMovingTags,
		FindingInlined, FindingReferrers, FindingAliasing, FindingNotModified, FindingManifestLimit, FindingDelete,
	}
	slices.SortStableFunc(x.findings, func(a, b Finding) int { return slices.Index(order, a.Name) - slices.Index(order, b.Name) })
}

// cleanUp removes what this run made, also when the command was broken off.
func (x *examination) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_ = x.remove(ctx, x.made, func(string, []byte) bool { return true }) // what the delete finding says is all there is to say
}

// written is a manifest that this run wrote.
type written struct {
	tag  string
	desc ocispec.Descriptor
	raw  []byte
}

// write stores a manifest under a tag of this run, with the blobs that
// registries insist on.
func (x *examination) write(ctx context.Context, name string, m ocispec.Manifest) (written, error) {
	w := written{tag: x.mark + "." + name, raw: encodeProbe(m)}
	w.desc = manifestDescriptor(w.raw)
	for _, d := range append(slices.Clone(m.Layers), m.Config) {
		if err := x.pushBlob(ctx, d, d.Data); err != nil {
			return w, err
		}
	}
	x.made = append(x.made, w.tag)
	return w, x.pushManifest(ctx, w.tag, w.desc, w.raw, false)
}

// refusedAs returns what a refusal says, or the error if it was none.
func refusedAs(err error) (string, error) {
	if !refused(err) && !errors.Is(err, ErrTooLarge) {
		return "", err
	}
	var own *Error
	if errors.As(err, &own) {
		err = own.Err
	}
	return err.Error(), nil
}
