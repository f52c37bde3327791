package verify

import (
	"context"
	"fmt"

	"github.com/carnet-project/carnet/metadata"
)

// origin looks the artifact up under the name that another publisher's
// verified signature records. That publisher believed to have verified it at
// a root and a timestamp version: older metadata is refused.
func (h *hearing) origin(ctx context.Context) (Reason, string) {
	promoter := &hearing{inquiry: h.inquiry, subject: h.subject, want: h.rule.promoter(h.want.OriginFrom)}
	reason, message := promoter.hear(ctx)
	if promoter.Result.Reason = reason; reason != OK {
		h.Revocation = promoter.Revocation
		return reason, fmt.Sprintf("the origin is not known: %s: %s", h.want.OriginFrom, message)
	}
	o := promoter.Origin
	if o == nil {
		return NotListed, fmt.Sprintf("the signature of %s on %s records no origin", h.want.OriginFrom, promoter.Target)
	}
	if o.Publisher != h.session.id {
		return NotListed, fmt.Sprintf("%s records the publisher %s as origin, and %s is %s", h.want.OriginFrom, o.Publisher, h.want.Publisher, h.session.id)
	}
	path, err := metadata.ParsePath(o.Target)
	if err != nil {
		return InvalidMetadata, fmt.Sprintf("the origin that %s records: %v", h.want.OriginFrom, err)
	}
	if err := h.session.aboveFloor(ctx, Floor{Root: o.RootVersion, Timestamp: o.TimestampVersion}); err != nil {
		return fail(err)
	}
	return h.originEntry(ctx, path, promoter)
}

// promoter returns what the rule demands of a publisher whose signature names
// the origin of others: what it demands of it anyway, and where it demands
// nothing, that it vouches.
func (r *Rule) promoter(name string) *Requirement {
	out := Requirement{Publisher: name}
	if own := r.leaf(name); own != nil {
		out = *own
		out.OriginFrom = "" // its own name is the one that is asked about
	}
	return &out
}

// originEntry takes the entry at the recorded path if it has the promoted
// digest. A tag may have moved on since: then the same name with the digest
// must be vouched for still.
func (h *hearing) originEntry(ctx context.Context, path metadata.Path, promoter *hearing) (Reason, string) {
	if path.Tag != "" {
		f, err := h.session.lookup(ctx, path.String())
		if err != nil {
			return fail(err)
		}
		if !f.Listed || f.Target.Hashes.Digest() != promoter.SignedDigest {
			path = metadata.Path{Name: path.Name, Digest: promoter.SignedDigest}
		}
	}
	return h.lookup(ctx, path)
}
