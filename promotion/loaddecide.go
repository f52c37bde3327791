package promotion

import (
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
}

// batch is how many artifacts are decided about together if their evidence is
// attached to them: a verifier looks at that of so many.
const batch = 64

// decide decides about every artifact of the file.
func (c *cargo) decide(ctx context.Context) error {
	var all []*rooted
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
	var failed error
	for _, r := range all {
		out := LoadedArtifact{Source: r.source, Destination: r.ref, Digest: r.digest, Decision: r.exam.Decision}
		if r.artifact != nil && out.Decision.Allowed() {
			var err error
			if out.Withdrawn, err = c.withdrawnBelow(ctx, r); err != nil {
				return at(Source, err)
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
		r := &rooted{source: h.source + ":" + e.Tag, ref: registrystore.Reference{Repository: h.at, Tag: e.Tag}, tag: e.Tag, digest: e.Digest, artifact: m}
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
			r := &rooted{source: h.source + "@" + top.String(), ref: h.at.AtDigest(top), digest: top}
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
// about, or that refers to nothing.
func (h *hold) top(ctx context.Context, m *registrystore.Artifact) (digest.Digest, error) {
	for range maxChain {
		next := m.Subject
		if next == "" || h.covered[m.Digest] != nil {
			return m.Digest, nil
		}
		if h.covered[next] != nil {
			return next, nil
		}
		if m = h.lists.Manifests[next]; m != nil {
			continue
		}
		var err error
		if m, err = h.to.Read(ctx, h.at.AtDigest(next)); err != nil {
			return "", at(Destination, err)
		}
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
		if t.pin.Name == pin.Name {
			out = append(out, t.at.String())
		}
	}
	return out
}

// withdrawnBelow tells who withdrew a manifest, or one of an index's.
func (c *cargo) withdrawnBelow(ctx context.Context, r *rooted) (string, error) {
	list := []digest.Digest{r.digest}
	for _, m := range r.artifact.Manifests {
		list = append(list, m.Digest)
	}
	for _, d := range list {
		n, who, err := r.exam.Withdrawn(ctx, d)
		if err != nil {
			return "", err
		}
		if n != nil {
			return fmt.Sprintf("%s withdrew %s: %s", who, d, n.Reason), nil
		}
	}
	return "", nil
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
			n, who, err := h.covered[top].exam.Withdrawn(ctx, m.Digest)
			if err != nil {
				return at(Source, err)
			}
			if n != nil {
				dropped[m.Digest] = true
				c.note(fmt.Sprintf("%s is left out: %s withdrew it: %s", m.Digest, who, n.Reason))
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
