package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// answers says for every subject what became of each publisher that its rule
// names.
func (q *inquiry) answers(ctx context.Context) [][]Result {
	out := make([][]Result, len(q.subjects))
	for i, s := range q.subjects {
		out[i] = q.answer(ctx, s)
	}
	return out
}

func (q *inquiry) answer(ctx context.Context, s *subject) []Result {
	switch {
	case s.rule == nil:
		return []Result{{Reason: NoPolicy, Message: "no rule of the policy matches " + s.ref.Scope()}}
	case s.rule.Level == Skip:
		return nil
	case len(s.rule.Require) == 0:
		return []Result{{Reason: NotListed, Message: "the rule names nobody who could vouch for it"}}
	}
	var out []Result
	for _, want := range s.rule.leaves() {
		h := &hearing{inquiry: q, subject: s, want: want, Result: Result{Publisher: want.Publisher}}
		h.Reason, h.Message = h.hear(ctx)
		h.Satisfied = h.Reason == OK
		out = append(out, h.Result)
	}
	s.agree(out)
	return out
}

// hearing finds out whether one publisher vouches for one subject.
type hearing struct {
	*inquiry
	*subject
	want    *Requirement
	session *session
	entry   metadata.Target
	agreed  []string // the roles whose agreement was needed and is there
	Result
}

// hear returns the first reason against, in the order of what says most: what
// is wrong with the question, with the metadata, a withdrawal, what is not
// vouched for, what is vouched for otherwise, what is too old. That the
// location cannot be asked comes last: it is no verdict, and all others are.
func (h *hearing) hear(ctx context.Context) (Reason, string) {
	if !h.named {
		return NotListed, fmt.Sprintf("the path does not begin with %q, which the rule strips", h.rule.Strip)
	}
	if h.session = h.sessions[h.want.Publisher]; h.session == nil {
		return UnknownPublisher, fmt.Sprintf("no publisher %q is pinned: pin it with its root, or the root's digest, from the publisher", h.want.Publisher)
	}
	h.session.describe(&h.Result)
	for _, step := range []func(context.Context) (Reason, string){
		h.reference, h.locationWithdrawn, h.current, h.floor, h.listed, h.signedWithdrawn, h.role, h.digest, h.claims, h.age, h.located,
	} {
		if reason, message := step(ctx); reason != OK {
			return reason, message
		}
	}
	return OK, h.vouched()
}

func (h *hearing) vouched() string {
	s := "vouched for by " + h.Chain[len(h.Chain)-1] + h.agreement()
	if h.Age != nil {
		s += ", " + ago(*h.Age) + " ago"
	}
	if at := h.location.digest; at != "" && at != h.SignedDigest { // with Resolve
		s += fmt.Sprintf("; use %s: the tag has another digest now", h.SignedDigest)
	}
	return s
}

// agreement names those who agreed to the role that is named already.
func (h *hearing) agreement() string {
	others := slices.DeleteFunc(slices.Clone(h.agreed), func(role string) bool { return slices.Contains(h.Chain, role) })
	if len(others) == 0 {
		return ""
	}
	slices.Sort(others)
	return ", in agreement with " + strings.Join(slices.Compact(others), ", ")
}

// fail turns an error into a reason, and a message that does not repeat it.
func fail(err error) (Reason, string) {
	reason := reasonOf(err)
	return reason, strings.TrimPrefix(err.Error(), string(reason)+": ")
}

// reference refuses a tag and a digest that disagree. With Resolve the signed
// entry is the tag's authority, and only that has to agree.
func (h *hearing) reference(context.Context) (Reason, string) {
	if h.contradicts() && !h.v.opts.Resolve {
		return DigestMismatch, h.location.err.Error()
	}
	return OK, ""
}

// locationWithdrawn refuses what was withdrawn, whatever name or tag it is
// asked for under.
func (h *hearing) locationWithdrawn(ctx context.Context) (Reason, string) {
	for _, d := range h.known() {
		if reason, message := h.withdrawn(ctx, d); reason != OK {
			return reason, message
		}
	}
	return OK, ""
}

// known are the digests that the subject is known to have.
func (h *hearing) known() []digest.Digest {
	if h.v.opts.Resolve && h.ref.Tag != "" {
		return []digest.Digest{h.ref.Digest}
	}
	return slices.Compact([]digest.Digest{h.ref.Digest, h.location.digest})
}

func (h *hearing) withdrawn(ctx context.Context, d digest.Digest) (Reason, string) {
	n, err := h.session.withdrawn(ctx, d)
	if err != nil {
		return fail(err)
	}
	if n == nil {
		return OK, ""
	}
	h.Revocation = n
	return Revoked, noticeText(n)
}

// current refuses metadata that could not be brought up to date, or is older
// than this requirement allows: others may allow more.
func (h *hearing) current(context.Context) (Reason, string) {
	if h.session.err != nil {
		return fail(h.session.err)
	}
	for _, f := range []*metadata.File{h.session.client.Timestamp(), h.session.client.Snapshot()} {
		if f.ExpiredAt(h.now.Add(-h.want.MaxStaleness)) {
			return fail(&tuf.ExpiredError{Role: f.Type, Version: f.Version, Expires: f.Expires})
		}
	}
	return OK, ""
}

func (h *hearing) floor(ctx context.Context) (Reason, string) {
	if err := h.session.aboveFloor(ctx, h.v.opts.Floors[h.want.Publisher]); err != nil {
		return fail(err)
	}
	return OK, ""
}

// listed looks the target path up.
func (h *hearing) listed(ctx context.Context) (Reason, string) {
	if h.want.OriginFrom != "" {
		return h.origin(ctx)
	}
	return h.lookup(ctx, refPath(h.name, h.ref))
}

func (h *hearing) lookup(ctx context.Context, path metadata.Path) (Reason, string) {
	h.Target = path.String()
	f, err := h.session.lookup(ctx, h.Target)
	if err != nil {
		return fail(err)
	}
	if f.Disagreement != nil {
		return h.disagrees(f)
	}
	if !f.Listed {
		return NotListed, fmt.Sprintf("no role of %s vouches for %s", h.want.Publisher, h.Target)
	}
	return h.take(ctx, path, f)
}

// disagrees refuses an entry to which roles do not agree that must.
func (h *hearing) disagrees(f *tuf.Finding) (Reason, string) {
	return Disagreement, fmt.Sprintf("the roles of %s do not agree on %s: %s", h.want.Publisher, f.Path, f.Disagreement)
}

// take reads the entry that was found.
func (h *hearing) take(ctx context.Context, path metadata.Path, f *tuf.Finding) (Reason, string) {
	h.entry, h.Chain, h.agreed, h.SignedDigest = f.Target, f.Chain, f.Agreeing, f.Target.Hashes.Digest()
	statement, err := f.Target.Statement()
	if err != nil {
		return fail(fmt.Errorf("%s: %w", h.Target, err))
	}
	h.Claims, h.Origin = statement.Claims, statement.Origin
	if h.SignedDigest == "" {
		return InvalidMetadata, fmt.Sprintf("%s: the entry has no sha256", h.Target)
	}
	if path.Digest != "" {
		return h.fits(path, f.Target)
	}
	// A tag's entry decides; the digest's entry must not contradict it.
	path = metadata.Path{Name: path.Name, Digest: h.SignedDigest}
	other, err := h.session.lookup(ctx, path.String())
	if err != nil {
		return fail(err)
	}
	if other.Disagreement != nil {
		return h.disagrees(other)
	}
	if !other.Listed {
		return OK, ""
	}
	if other.Target.Length != f.Target.Length {
		return InvalidMetadata, fmt.Sprintf("%s has %d bytes and %s has %d: they are the same manifest", h.Target, f.Target.Length, path, other.Target.Length)
	}
	return h.fits(path, other.Target)
}

// fits refuses an entry at a digest's path that has another hash.
func (h *hearing) fits(path metadata.Path, t metadata.Target) (Reason, string) {
	if d := t.Hashes.Digest(); d != path.Digest {
		return InvalidMetadata, fmt.Sprintf("%s: the entry's hash is %s", path, d)
	}
	return OK, ""
}

func (h *hearing) signedWithdrawn(ctx context.Context) (Reason, string) {
	return h.withdrawn(ctx, h.SignedDigest)
}

func (h *hearing) role(context.Context) (Reason, string) {
	if h.want.Role == "" || slices.Contains(h.Chain, h.want.Role) {
		return OK, ""
	}
	return NotListed, fmt.Sprintf("%s is vouched for by %s and not through the role %s", h.Target, h.Chain[len(h.Chain)-1], h.want.Role)
}

// digest compares what is signed with what is there, or asked for.
func (h *hearing) digest(context.Context) (Reason, string) {
	if h.ref.Digest != "" && h.ref.Digest != h.SignedDigest {
		return h.mismatch("the reference names", h.ref.Digest)
	}
	if h.v.opts.Resolve && h.ref.Tag != "" || h.location.digest == "" {
		return OK, ""
	}
	if h.location.digest != h.SignedDigest {
		return h.mismatch("the location has", h.location.digest)
	}
	if h.location.size > 0 && h.entry.Length != h.location.size {
		return InvalidMetadata, fmt.Sprintf("%s: %d bytes are signed for and the manifest has %d", h.Target, h.entry.Length, h.location.size)
	}
	return OK, ""
}

func (h *hearing) mismatch(who string, d digest.Digest) (Reason, string) {
	return DigestMismatch, fmt.Sprintf("%s vouches for %s at %s, and %s %s", h.want.Publisher, h.SignedDigest, h.Target, who, d)
}

func (h *hearing) claims(context.Context) (Reason, string) {
	for _, k := range slices.Sorted(maps.Keys(h.want.Claims)) {
		got, ok := h.Claims[k]
		if !ok {
			return ClaimMismatch, fmt.Sprintf("the claim %s=%s is demanded and none such is made", k, h.want.Claims[k])
		}
		if got != h.want.Claims[k] {
			return ClaimMismatch, fmt.Sprintf("the claim %s=%s is demanded and %s=%s is made", k, h.want.Claims[k], k, got)
		}
	}
	return OK, ""
}

func (h *hearing) age(context.Context) (Reason, string) {
	limit := h.v.maxAge(h.want)
	switch {
	case limit == 0:
		return OK, ""
	case h.Age == nil:
		return Stale, fmt.Sprintf("the timestamp does not say when it was issued, and at most %s ago is demanded", ago(limit))
	case *h.Age > limit:
		return Stale, fmt.Sprintf("the timestamp was issued %s ago, and at most %s is demanded: the publisher has to refresh it, or the registry holds newer metadata back", ago(*h.Age), ago(limit))
	}
	return OK, ""
}

func (h *hearing) located(context.Context) (Reason, string) {
	if h.location.err != nil && !h.v.opts.Resolve {
		return Unreachable, "what is at the location could not be found out: " + h.location.err.Error()
	}
	return OK, ""
}
