package revocation

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// judge decides as a verifier does that has no policy but the publisher.
type judge struct {
	open  delegations.Open
	now   time.Time
	fresh func(role string) bool // the role's file will be signed again
	head  bool                   // root, timestamp or snapshot are expired

	asked bool
	list  *metadata.Targets // of the withdrawal role, once it was asked for; nil: none
}

// judgeBefore judges by the state that d started from.
func judgeBefore(ctx context.Context, d *tuf.Draft) *judge {
	s := d.State()
	j := &judge{now: d.Now(), fresh: func(string) bool { return false }}
	j.open = func(e delegations.Edge) (*metadata.Targets, error) { return s.Client().Open(ctx, e) }
	for _, f := range []*metadata.File{s.Root(), s.Timestamp(), s.Snapshot()} {
		j.head = j.head || f.ExpiredAt(j.now)
	}
	return j
}

// judgeAfter judges by d as if it were published: snapshot and timestamp are
// always new.
func judgeAfter(ctx context.Context, d *tuf.Draft) *judge {
	j := &judge{now: d.Now(), fresh: d.Edited}
	j.open = func(e delegations.Edge) (*metadata.Targets, error) { return d.Open(ctx, e) }
	j.head = !d.Edited(metadata.RoleRoot) && d.State().Root().ExpiredAt(j.now)
	return j
}

// word returns the first reason against, in the order of verify.
func (j *judge) word(l Listing) (Word, error) {
	if reason, err := j.denied(l.Digest); reason != OK || err != nil {
		return Word{Reason: reason}, err
	}
	if j.head {
		return Word{Reason: Expired}, nil
	}
	hit, reason, err := j.take(l.Path)
	if reason != OK || err != nil {
		return Word{Reason: reason}, err
	}
	signed := hit.Target.Hashes.Digest()
	if reason, err := j.denied(signed); reason != OK || err != nil {
		return Word{Reason: reason}, err
	}
	if signed != l.Digest {
		return Word{Reason: DigestMismatch, Role: hit.Role}, nil
	}
	return Word{Reason: OK, Role: hit.Role}, nil
}

// take returns the entry that decides about path, or a reason against it.
func (j *judge) take(path string) (delegations.Hit, string, error) {
	hit, reason, err := j.search(path)
	if reason != OK || err != nil {
		return hit, reason, err
	}
	signed := hit.Target.Hashes.Digest()
	p, err := metadata.ParsePath(path)
	if err != nil { // no reference leads to it: Carnet is never asked for it
		return hit, OK, nil
	}
	if signed == "" || p.Digest != "" && p.Digest != signed {
		return hit, InvalidMetadata, nil
	}
	if p.Digest != "" {
		return hit, OK, nil
	}
	return j.contradicted(hit, metadata.DigestPath(p.Name, signed))
}

// contradicted refuses a tag's entry that the digest's entry contradicts.
func (j *judge) contradicted(hit delegations.Hit, path string) (delegations.Hit, string, error) {
	other, reason, err := j.search(path)
	switch {
	case err != nil || reason == NotListed:
		return hit, OK, err
	case reason != OK:
		return hit, reason, nil
	case other.Target.Length != hit.Target.Length || other.Target.Hashes.Digest() != hit.Target.Hashes.Digest():
		return hit, InvalidMetadata, nil
	}
	return hit, OK, nil
}

// search looks a path up, and refuses what a file on the way refuses.
func (j *judge) search(path string) (delegations.Hit, string, error) {
	s := delegations.NewSearch(path)
	for e, ok := s.Next(); ok; e, ok = s.Next() {
		t, err := j.open(e)
		if err != nil {
			reason, err := reasonOf(err)
			return delegations.Hit{}, reason, err
		}
		if !j.fresh(e.Role) && t.ExpiredAt(j.now) {
			return delegations.Hit{}, Expired, nil
		}
		if s.Visit(e, t) != nil {
			return delegations.Hit{}, InvalidMetadata, nil
		}
	}
	hit, ok := s.Found()
	if s.Disagreed() != nil {
		return hit, Disagreement, nil
	}
	if !ok {
		return hit, NotListed, nil
	}
	return hit, OK, nil
}

// reasonOf returns the reason that an error gives a verifier, or the error if
// it decides nothing.
func reasonOf(err error) (string, error) {
	switch {
	case errors.Is(err, tuf.ErrThreshold):
		return Threshold, nil
	case errors.Is(err, tuf.ErrInvalid):
		return InvalidMetadata, nil
	}
	return "", err
}

// denied looks d up in the withdrawal role. An expired one denies too.
func (j *judge) denied(d digest.Digest) (string, error) {
	if err := j.withdrawals(); err != nil {
		return reasonOf(err)
	}
	if j.list != nil && tuf.NoticeIn(j.list, d) != nil {
		return Revoked, nil
	}
	return OK, nil
}

func (j *judge) withdrawals() error {
	if j.asked {
		return nil
	}
	top, err := j.open(delegations.Edge{Role: metadata.RoleTargets})
	if err != nil {
		return err
	}
	if e, ok := delegations.Withdrawal(top); ok {
		if j.list, err = j.open(e); err != nil {
			return err
		}
	}
	j.asked = true
	return nil
}
