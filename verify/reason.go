package verify

import (
	"errors"

	"github.com/carnet-project/carnet/tuf"
)

// Reason is why a requirement holds or does not. The words are stable: other
// programs branch on them.
type Reason string

// The reasons.
const (
	// OK: the publisher vouches for this name, at this digest, now.
	OK Reason = "ok"
	// NotListed: no role vouches for the name, or not through the role that
	// the policy demands, or nothing may vouch here.
	NotListed Reason = "not-listed"
	// DigestMismatch: the publisher vouches for another digest than the
	// location has, or the reference's tag and digest disagree.
	DigestMismatch Reason = "digest-mismatch"
	// Revoked: the publisher withdrew the artifact.
	Revoked Reason = "revoked"
	// Expired: the metadata's own expiry passed, and the policy's
	// max-staleness with it.
	Expired Reason = "expired"
	// Stale: the metadata is older than the policy's max-age, or does not say
	// how old it is.
	Stale Reason = "stale"
	// Rollback: somebody offers older metadata than was seen before.
	Rollback Reason = "rollback"
	// Threshold: a file is not signed by enough of its keys.
	Threshold Reason = "threshold"
	// InvalidMetadata: a file breaks the format, contradicts another, or is
	// not the file that signed metadata describes.
	InvalidMetadata Reason = "invalid-metadata"
	// BelowFloor: the metadata is older than a floor, one that the caller gave
	// or one that a promoter's signature recorded.
	BelowFloor Reason = "below-floor"
	// ClaimMismatch: a claim that the policy demands is not made, or has
	// another value.
	ClaimMismatch Reason = "claim-mismatch"
	// Disagreement: publishers vouch for different digests of one tag, or too
	// few of a publisher's roles list the same where it demands that several
	// agree.
	Disagreement Reason = "disagreement"
	// UnknownPublisher: no such publisher is pinned.
	UnknownPublisher Reason = "unknown-publisher"
	// NoPolicy: no rule matches the reference.
	NoPolicy Reason = "no-policy"
	// Unreachable: it could not be found out. This is no verdict.
	Unreachable Reason = "unreachable"
)

// reasonOf says what an error of the TUF client means. What it does not know
// could not be found out: an error is never taken for a verdict by accident.
func reasonOf(err error) Reason {
	for _, k := range []struct {
		err    error
		reason Reason
	}{
		{tuf.ErrRollback, Rollback},
		{tuf.ErrThreshold, Threshold},
		{errBelowFloor, BelowFloor},
		{tuf.ErrExpired, Expired},
		{tuf.ErrUnreachable, Unreachable},
		{tuf.ErrInvalid, InvalidMetadata},
	} {
		if errors.Is(err, k.err) {
			return k.reason
		}
	}
	return Unreachable
}
