package tuf

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// Proposal is a change that is not in effect: all role files that it would
// replace, each with the signatures that were gathered so far. Snapshot and
// timestamp are never among them: who publishes it makes those. Nothing about
// a proposal is believed before [Repository.Review] checked it.
type Proposal struct {
	files map[string]*metadata.File // root, targets, delegated roles
}

// NewProposal makes a proposal of files by role. It fails with ErrProposal if
// there is none, or one that no proposal has.
func NewProposal(files map[string]*metadata.File) (*Proposal, error) {
	if len(files) == 0 {
		return nil, fmt.Errorf("%w: it has no file", ErrProposal)
	}
	for role, f := range files {
		wanted := f.Targets != nil && role != metadata.RoleRoot || f.Root != nil && role == metadata.RoleRoot
		if !wanted {
			return nil, fmt.Errorf("%w: a file of %s, which no proposal has", ErrProposal, role)
		}
	}
	p := &Proposal{files: maps.Clone(files)}
	if p.Leader() == "" {
		return nil, fmt.Errorf("%w: it has new roles and nobody who delegates to them", ErrProposal)
	}
	return p, nil
}

// Roles returns the roles whose files the proposal has: root, targets, then
// the others by name.
func (p *Proposal) Roles() []string {
	return slices.SortedFunc(maps.Keys(p.files), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b))
	})
}

func rank(role string) int {
	switch role {
	case metadata.RoleRoot:
		return 0
	case metadata.RoleTargets:
		return 1
	}
	return 2
}

// File returns the file of a role, or nil.
func (p *Proposal) File(role string) *metadata.File { return p.files[role] }

// Leader returns the role that the proposal is listed under: the first of its
// roles that is not new. A new role comes with the one that delegates to it.
func (p *Proposal) Leader() string {
	for _, role := range p.Roles() {
		if role == metadata.RoleRoot || role == metadata.RoleTargets || p.files[role].Version > 1 {
			return role
		}
	}
	return ""
}

// ID names the proposal by what it says: the SHA-256, in lower-case
// hexadecimal, of the canonical form of an array of pairs, role and SHA-256 of
// its file's signed part, sorted by role. Signatures do not change it.
func (p *Proposal) ID() string { return idOf(p.files) }

func idOf(files map[string]*metadata.File) string {
	list := make([]metadata.Value, 0, len(files))
	for _, role := range slices.Sorted(maps.Keys(files)) {
		list = append(list, metadata.List(metadata.Text(role), metadata.Text(contentOf(files[role]))))
	}
	sum := sha256.Sum256(metadata.List(list...).Canonical())
	return hex.EncodeToString(sum[:])
}

// ShortID is how people name a proposal: the first 12 digits of its ID.
func (p *Proposal) ShortID() string { return p.ID()[:12] }

// contentOf is the SHA-256 of what a file's signatures are over.
func contentOf(f *metadata.File) string {
	sum := sha256.Sum256(f.Signed)
	return hex.EncodeToString(sum[:])
}

// sealed makes a file of what was signed and signatures, in an order that is
// the same for everybody.
func sealed(role string, signed []byte, signatures []metadata.Signature) (*metadata.File, error) {
	slices.SortFunc(signatures, func(a, b metadata.Signature) int { return strings.Compare(a.KeyID, b.KeyID) })
	return metadata.Decode(role, metadata.Seal(signed, signatures))
}
