package registrystore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/carnet-project/carnet/metadata"
)

// probe is a small manifest whose one layer is inlined.
func probe(content string) ocispec.Manifest {
	layer := ocispec.Descriptor{
		MediaType: "text/plain", Digest: digest.FromString(content), Size: int64(len(content)), Data: []byte(content),
	}
	return ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaTypeManifest,
		ArtifactType: "application/vnd.carnet.doctor.v1", Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer},
	}
}

func encodeProbe(m ocispec.Manifest) []byte {
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err) // of plain structs
	}
	return raw
}

func (x *examination) inlined(ctx context.Context, w written) error {
	_, raw, err := x.manifest(ctx, w.tag)
	switch {
	case err == nil && bytes.Equal(raw, w.raw):
		x.found(FindingInlined, "kept", "", "small files come with the manifest: no request of their own")
	case err == nil || errors.Is(err, ErrCorrupt):
		x.found(FindingInlined, "changed", "the manifest comes back as other bytes", "no publication can be kept here: use another registry")
	default:
		return err
	}
	return nil
}

// moving tries to move a tag.
func (x *examination) moving(ctx context.Context, w written) error {
	other := encodeProbe(probe("second"))
	l := probe("second").Layers[0]
	if err := x.pushBlob(ctx, l, l.Data); err != nil {
		return err
	}
	err := x.pushManifest(ctx, w.tag, manifestDescriptor(other), other, true)
	if err != nil {
		detail, err := refusedAs(err)
		if err != nil {
			return err
		}
		x.found(FindingMovingTags, "no", detail, "latest is not moved; readers find the newest state by the list of tags: two requests more")
		return nil
	}
	desc, err := x.resolve(ctx, w.tag)
	if err != nil {
		return err
	}
	if desc.Digest != digest.FromBytes(other) {
		x.found(FindingMovingTags, "later", "a moved tag still answers with what it was at", "latest is a hint; freshness bounds how old an answer can be")
		return nil
	}
	x.found(FindingMovingTags, "yes", "", "latest names the newest state: one request when nothing changed")
	return nil
}

// referrersAnswer asks for the referrers of nothing: of a registry that may
// not be written, the answer can be a pretence.
func (x *examination) referrersAnswer(ctx context.Context) error {
	resp, err := x.do(ctx, http.MethodGet, "referrers/"+digest.FromString("nothing").String(), nil, nil)
	if err != nil {
		return x.wrap("list referrers", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		x.found(FindingReferrers, "answers", "whether it lists what is attached cannot be told without writing", "the API is used")
		return nil
	}
	x.found(FindingReferrers, "no", fmt.Sprintf("HTTP %d", resp.StatusCode), fallbackUsed)
	return nil
}

const fallbackUsed = "the fallback tag sha256-<hex> is used (OCI Distribution 1.1, \"Unavailable Referrers API\")"

// attach writes a referrer and looks whether the API lists it.
func (x *examination) attach(ctx context.Context, w written) error {
	m := probe("referrer")
	m.Subject = &ocispec.Descriptor{MediaType: w.desc.MediaType, Digest: w.desc.Digest, Size: w.desc.Size}
	l := m.Layers[0]
	if err := x.pushBlob(ctx, l, l.Data); err != nil {
		return err
	}
	raw := encodeProbe(m)
	tag := x.mark + ".r"
	resp, err := x.do(ctx, http.MethodPut, "manifests/"+tag, http.Header{"Content-Type": {mediaTypeManifest}}, raw)
	if err != nil {
		return x.wrap("push a referrer", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		x.found(FindingReferrers, "no", fmt.Sprintf("a manifest with a subject is refused: HTTP %d", resp.StatusCode), "nothing can be attached to artifacts here")
		return nil
	}
	x.made = append(x.made, tag)
	return x.listsReferrer(ctx, w.desc.Digest, digest.FromBytes(raw), resp.Header.Get("OCI-Subject") != "")
}

func (x *examination) listsReferrer(ctx context.Context, subject, referrer digest.Digest, said bool) error {
	resp, err := x.do(ctx, http.MethodGet, "referrers/"+subject.String(), nil, nil)
	if err != nil {
		return x.wrap("list referrers", err)
	}
	defer resp.Body.Close()
	raw, err := readBounded(resp.Body, metadata.MaxManifest)
	if err != nil {
		return x.wrap("list referrers", err)
	}
	var idx ocispec.Index
	lists := json.Unmarshal(raw, &idx) == nil && slices.ContainsFunc(idx.Manifests, func(d ocispec.Descriptor) bool { return d.Digest == referrer })
	switch {
	case resp.StatusCode == http.StatusOK && lists:
		detail := ""
		if !said {
			detail = "without the header OCI-Subject"
		}
		x.found(FindingReferrers, "yes", detail, "referrers are found in one request")
	case resp.StatusCode == http.StatusOK:
		x.found(FindingReferrers, "pretended", "it answers and does not list what was attached", "what is attached here is not found: use another repository for artifacts with referrers")
	default:
		x.found(FindingReferrers, "no", fmt.Sprintf("HTTP %d", resp.StatusCode), fallbackUsed)
	}
	return nil
}

// aliasing asks for the fallback tag of a manifest that nobody wrote.
func (x *examination) aliasing(ctx context.Context, w written) error {
	desc, err := x.resolve(ctx, strings.Replace(w.desc.Digest.String(), ":", "-", 1))
	switch {
	case errors.Is(err, ErrNotFound) || errors.Is(err, errdef.ErrNotFound):
		x.found(FindingAliasing, "no", "", "nothing is needed")
	case err != nil:
		return err
	case desc.Digest == w.desc.Digest:
		x.found(FindingAliasing, "yes", "the tag sha256-<hex> names the manifest itself", "such an answer is not taken for a list of referrers")
	default:
		x.found(FindingAliasing, "no", "the registry keeps the fallback tag by itself", "nothing is needed")
	}
	return nil
}

// notModified asks for a manifest that is known already.
func (x *examination) notModified(ctx context.Context) error {
	tags := append(slices.Clone(x.made), x.listed...)
	for _, tag := range tags[:min(len(tags), maxTries)] {
		desc, err := x.resolve(ctx, tag)
		if err != nil {
			continue
		}
		h := http.Header{"If-None-Match": {strconv.Quote(desc.Digest.String())}, "Accept": {desc.MediaType}}
		resp, err := x.do(ctx, http.MethodGet, "manifests/"+tag, h, nil)
		if err != nil {
			return x.wrap("read "+tag, err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusNotModified {
			x.found(FindingNotModified, "yes", "", "an unchanged state is one short answer")
		} else {
			x.found(FindingNotModified, "no", fmt.Sprintf("HTTP %d", resp.StatusCode), "an unchanged state is read again: a few kilobytes")
		}
		return nil
	}
	return nil
}

// manifestLimit writes a manifest of the size that registries must accept.
func (x *examination) manifestLimit(ctx context.Context) error {
	m := probe("limit")
	m.Annotations = map[string]string{"filling": ""}
	m.Annotations["filling"] = strings.Repeat("x", metadata.MaxManifest-len(encodeProbe(m)))
	_, err := x.write(ctx, "big", m)
	if err == nil {
		x.found(FindingManifestLimit, "4 MiB", "", "states of up to 4 MiB, some 10,000 roles, can be kept")
		return nil
	}
	detail, err := refusedAs(err)
	if err != nil {
		return err
	}
	x.found(FindingManifestLimit, "less than 4 MiB", detail, "publishers with many roles may be refused here")
	return nil
}

func (x *examination) deletes(ctx context.Context) error {
	w, err := x.write(ctx, "d", probe("delete"))
	if err != nil {
		return err
	}
	if err := x.delete(ctx, w.tag); err == nil {
		x.found(FindingDelete, "tags", "", "prune deletes tags and leaves manifests to the registry's collector")
		return nil
	}
	err = x.delete(ctx, w.desc.Digest.String())
	if err != nil {
		var detail string
		if detail, err = refusedAs(x.wrap("delete", err)); err != nil {
			return err
		}
		x.found(FindingDelete, "no", detail, "prune cannot make room, and tags of this examination stay: "+strings.Join(x.made, " "))
		return nil
	}
	if _, err := x.resolve(ctx, w.tag); err == nil {
		x.found(FindingDelete, "manifests, tags stay", "", "prune cannot make room")
		return nil
	}
	x.found(FindingDelete, "manifests", "their tags go too", "prune deletes by digest")
	return nil
}
