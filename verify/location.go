package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/registrystore"
)

// location is what the place that a reference names has there. It is asked
// for and never believed.
type location struct {
	asked  bool
	digest digest.Digest
	size   int64 // of the manifest, 0 if that is not known
	err    error // why digest is not known, or how it contradicts the reference
}

// locate resolves the reference's tag. A digest needs no asking.
func (s *subject) locate(ctx context.Context, v *Verifier) {
	s.location.asked = true
	if s.ref.Tag == "" {
		return
	}
	if v.opts.Offline && !s.ref.IsLayout() {
		s.location.err = fmt.Errorf("%s: a registry's tag cannot be resolved offline: name the digest", s.ref)
		return
	}
	repo, err := v.opts.Registries.Artifacts(s.ref.Repository)
	if err != nil {
		s.location.err = err
		return
	}
	desc, err := repo.Locate(ctx, s.ref)
	s.location.digest, s.location.size, s.location.err = desc.Digest, desc.Size, err
}

// contradicts reports whether the location has another digest at the
// reference's tag than the reference names.
func (s *subject) contradicts() bool {
	var disagree *registrystore.DisagreeError
	return errors.As(s.location.err, &disagree)
}

// unknownDigest stands for a digest that is not known yet.
var unknownDigest = digest.Digest("sha256:" + strings.Repeat("0", 64))

func or0(d digest.Digest) digest.Digest {
	if d == "" {
		return unknownDigest
	}
	return d
}
