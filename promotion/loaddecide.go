package promotion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// rooted is what is decided about: an artifact of the file, or one at the
// destination to which the file brings referrers.
type rooted struct {
	source   string
	ref      registrystore.Reference
	tag      string
	digest   digest.Digest
	artifact *registrystore.Artifact // nil: at the destination
	exam     *verify.Examination
	in       *hold
	said     map[digest.Digest]string // who withdrew a manifest or one below
}

// batch is how many artifacts are decided about together if their evidence is
// attached to them: a verifier looks at that of so many.
const batch = 64

// decide decides about every artifact of the file.
func (c *cargo) decide(ctx context.Context) error {
	var all []*rooted
	var err error
	for _, h := range c.holds {
		if err := h.root(ctx); err != nil {
			return err
		}
		all = append(all, h.roots...)
	}
	if len(all) == 0 {
		return nil
	}
	if err := c.examine(ctx, all); err != nil {
		return err
	}
	if all, err = c.withoutGone(ctx, all); err != nil {
		return err
	}
	var failed error
	for _, r := range all {
		out := LoadedArtifact{Source: r.source, Destination: r.ref, Digest: r.digest, Decision: r.exam.Decision}
		if r.artifact != nil && out.Decision.Allowed() {
			if out.Withdrawn, err = r.withdrawn(ctx, r.artifact, 0); err != nil {
				return at(side(err, r.in.from), err)
			}
		}
		c.out.Artifacts = append(c.out.Artifacts, out)
		failed = worse(failed, out)
	}
	if failed != nil {
		return failed
	}
	return c.referrers(ctx)
}

// worse returns what a load fails with: a denial before what is not decided.
func worse(was error, a LoadedArtifact) error {
	switch {
	case a.Allowed() || errors.Is(was, ErrNotTrusted):
		return was
	case a.Withdrawn == "" && a.Decision.Verdict == verify.Undecided:
		return ErrUndecided
	}
	return ErrNotTrusted
}

// root finds what is decided about in one repository.
func (h *hold) root(ctx context.Context) error {
	for _, e := range h.entries {
		m := h.lists.Manifests[e.Digest]
		if e.Tag == "" && m.Subject != "" {
			continue
		}
		r := &rooted{source: h.source + ":" + e.Tag, ref: registrystore.Reference{Repository: h.at, Tag: e.Tag}, tag: e.Tag, digest: e.Digest, artifact: m, in: h}
		if e.Tag == "" {
			r.source, r.ref = h.source+"@"+e.Digest.String(), h.at.AtDigest(e.Digest)
		}
		h.roots = append(h.roots, r)
		h.cover(e.Digest, r)
	}
	for _, m := range h.referring() {
		top, err := h.top(ctx, m)
		if err != nil {
			return err
		}
		if h.covered[top] == nil {
			r := &rooted{source: h.source + "@" + top.String(), ref: h.at.AtDigest(top), digest: top, in: h}
			h.roots = append(h.roots, r)
			h.covered[top] = r
		}
	}
	return nil
}

// cover notes which decision a manifest and those below come with.
func (h *hold) cover(d digest.Digest, r *rooted) {
	if h.covered[d] != nil {
		return
	}
	h.covered[d] = r
	if m := h.lists.Manifests[d]; m != nil {
		for _, child := range m.Manifests {
			h.cover(child.Digest, r)
		}
	}
}

// maxChain bounds how many referrers lead from one to its artifact.
const maxChain = 64

// top returns the artifact to which a referrer leads: one that is decided
// about, that refers to nothing, or that is nowhere. Each is looked for once.
func (h *hold) top(ctx context.Context, m *registrystore.Artifact) (digest.Digest, error) {
	if top := h.tops[m.Digest]; top != "" {
		return top, nil
	}
	top, err := h.findTop(ctx, m)
	if err == nil {
		h.tops[m.Digest] = top
	}
	return top, err
}

func (h *hold) findTop(ctx context.Context, m *registrystore.Artifact) (digest.Digest, error) {
	for range maxChain {
		next := m.Subject
		if next == "" || h.covered[m.Digest] != nil {
			return m.Digest, nil
		}
		if h.covered[next] != nil {
			return next, nil
		}
		if _, gone := h.gone[next]; gone {
			return next, nil
		}
		if m = h.lists.Manifests[next]; m != nil {
			continue
		}
		if m = h.there[next]; m != nil {
			continue
		}
		var err error
		if m, err = h.to.Read(ctx, h.at.AtDigest(next)); err != nil {
			return "", at(Destination, err)
		}
		h.there[next] = &registrystore.Artifact{Digest: m.Digest, Subject: m.Subject}
	}
	return "", at(Source, fmt.Errorf("%w: %s: more than %d referrers in a chain", registrystore.ErrTooLarge, h.source, maxChain))
}

// examine asks the verifier, which sees the file alone, what this machine
// remembers, and for trust that is newer there the destination.
func (c *cargo) examine(ctx context.Context, all []*rooted) error {
	now := c.Now()
	v, err := verify.New(verify.Options{
		Registries: c.view, States: c.States, Now: func() time.Time { return now }, At: now, MaxAge: c.MaxAge, Floors: c.Floors,
		Policy: c.Policy.WithRepositories(c.repositories),
	})
	if err != nil {
		return err
	}
	if err := ask(ctx, v, all); err != nil {
		return err
	}
	again := slices.DeleteFunc(slices.Clone(all), func(r *rooted) bool { return r.exam.Decision.Allowed() })
	if len(all) <= batch {
		return nil
	}
	for some := range slices.Chunk(again, batch) {
		if err := ask(ctx, v, some); err != nil {
			return err
		}
	}
	return nil
}

func ask(ctx context.Context, v *verify.Verifier, list []*rooted) error {
	refs := make([]registrystore.Reference, len(list))
	for i, r := range list {
		refs[i] = r.ref
	}
	exams, err := v.ExamineAll(ctx, refs...)
	for i := range exams {
		list[i].exam = exams[i]
	}
	return err
}

// repositories are where a publisher's trust is read while it is decided.
func (c *cargo) repositories(pin verify.Pin) []string {
	var out []string
	for _, t := range c.trusts {
		if t.pin.Name == pin.Name || bytes.Equal(t.pin.Root, pin.Root) {
			out = append(out, t.at.String())
		}
	}
	for _, t := range c.there {
		if t.publisher == pin.Name {
			out = append(out, t.at.String())
		}
	}
	return out
}

// referrers finds what comes with the artifacts, without what is withdrawn and
// what refers to that.
func (c *cargo) referrers(ctx context.Context) error {
	for _, h := range c.holds {
		dropped := map[digest.Digest]bool{}
		list := h.referring()
		for _, m := range list {
			top, err := h.top(ctx, m)
			if err != nil {
				return err
			}
			said := h.gone[top]
			if said == "" {
				if said, err = h.covered[top].withdrawn(ctx, m, 0); err != nil {
					return at(side(err, h.from), err)
				}
			}
			if said != "" {
				dropped[m.Digest] = true
				c.note(notTaken(m.Digest, said))
			}
		}
		h.referrers = append(without(list, dropped), h.taggedReferrers()...)
		c.out.Referrers += len(h.referrers)
	}
	return nil
}

// taggedReferrers are artifacts with a tag of their own that refer to others.
func (h *hold) taggedReferrers() []*registrystore.Artifact {
	var out []*registrystore.Artifact
	for _, r := range h.roots {
		if r.artifact != nil && r.artifact.Subject != "" {
			out = append(out, r.artifact)
		}
	}
	return out
}

// maxBelow bounds how deep indexes stand in indexes, those included that are
// at the destination.
const maxBelow = 64

// withdrawn tells who withdrew a manifest or, of an index, one below, however
// deep; "" for nobody.
func (r *rooted) withdrawn(ctx context.Context, m *registrystore.Artifact, depth int) (string, error) {
	if said, known := r.said[m.Digest]; known {
		return said, nil
	}
	said, err := r.notice(ctx, m.Digest)
	if depth > maxBelow {
		err = fmt.Errorf("%w: %s: indexes in indexes, more than %d deep", registrystore.ErrTooLarge, r.source, maxBelow)
	}
	for i := 0; err == nil && said == "" && i < len(m.Manifests); i++ {
		d := m.Manifests[i].Digest
		child := r.in.lists.Manifests[d]
		if child == nil {
			child, err = r.in.from.Read(ctx, registrystore.Reference{Digest: d})
		}
		if err == nil {
			said, err = r.withdrawn(ctx, child, depth+1)
		}
	}
	if err != nil {
		return "", err
	}
	if r.said == nil {
		r.said = map[digest.Digest]string{}
	}
	r.said[m.Digest] = said
	return said, nil
}

func (r *rooted) notice(ctx context.Context, d digest.Digest) (string, error) {
	n, who, err := r.exam.Withdrawn(ctx, d)
	if err != nil || n == nil {
		return "", err
	}
	return notice(who, d, n), nil
}

// withoutGone returns what is decided about, without what referrers of the file
// lead to and neither side has. That is so where it was left out of an earlier
// file, since it was withdrawn: what refers to it is left out too. Else the
// file lacks what it builds on.
func (c *cargo) withoutGone(ctx context.Context, all []*rooted) ([]*rooted, error) {
	var out []*rooted
	for _, r := range all {
		if _, gone := r.in.gone[r.digest]; !gone || r.artifact != nil {
			out = append(out, r)
			continue
		}
		said, err := r.notice(ctx, r.digest)
		if err != nil {
			return nil, at(Source, err)
		}
		if said == "" {
			return nil, c.incomplete(r.in.to, r.digest)
		}
		r.in.gone[r.digest] = said
	}
	return out, nil
}
