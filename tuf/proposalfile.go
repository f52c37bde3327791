package tuf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// MaxProposalFile is how many bytes a file with a proposal may have.
const MaxProposalFile = 256 << 20

// ProposalFile is a proposal in a file, with all that a machine without network
// needs to check it from its own pinned root and rollback state: the state that
// it is based on, as far as the check reads it. Nothing in it is believed.
type ProposalFile struct {
	state    *archive
	stored   storedProposal
	proposal *Proposal
}

// storedProposal is the file's form: JSON, each metadata file in base64 so that
// it keeps its bytes.
type storedProposal struct {
	Type      string       `json:"type"`
	Version   int          `json:"version"`
	Roots     [][]byte     `json:"roots"` // from version 1
	Timestamp []byte       `json:"timestamp"`
	Snapshot  []byte       `json:"snapshot"`
	Roles     [][]byte     `json:"roles"` // files that the snapshot lists
	Proposal  []storedFile `json:"proposal"`
}

type storedFile struct {
	Role string `json:"role"`
	File []byte `json:"file"`
}

const proposalFileType = "application/vnd.carnet.proposal-file.v1+json"

// ExportProposal writes a proposal with the state that it is based on.
func (r *Repository) ExportProposal(ctx context.Context, s *State, p *Proposal) ([]byte, error) {
	a := &archive{pub: s.rev.pub, files: map[digest.Digest][]byte{}, from: r.opts.Journal}
	out := storedProposal{Type: proposalFileType, Version: 1}
	for v := int64(1); v <= s.Root().Version; v++ {
		raw, err := a.Root(ctx, v)
		if err != nil {
			return nil, err
		}
		out.Roots = append(out.Roots, raw)
	}
	// What a reader without any memory asks for is what the file must hold.
	opts := r.opts
	opts.Store, opts.Journal, opts.Sources, opts.Ballot = MemoryStore{}, a, []Source{a}, nil
	blank := NewRepository(opts)
	before, err := blank.Load(ctx)
	if err != nil {
		return nil, err
	}
	v, err := blank.Review(ctx, before, p)
	if err != nil {
		return nil, err
	}
	out.Timestamp, out.Snapshot = before.Timestamp().Raw, before.Snapshot().Raw
	for _, f := range append([]File{a.pub.Targets}, a.pub.Roles...) {
		if raw := a.files[f.Digest]; raw != nil {
			out.Roles = append(out.Roles, raw)
		}
	}
	return out.with(v.Proposal)
}

// with returns the bytes of the file with p in it.
func (s storedProposal) with(p *Proposal) ([]byte, error) {
	s.Proposal = nil
	for _, role := range p.Roles() {
		s.Proposal = append(s.Proposal, storedFile{role, p.File(role).Raw})
	}
	raw, err := json.Marshal(s)
	if err == nil && len(raw) > MaxProposalFile {
		err = fmt.Errorf("the proposal's file would have %d bytes where %d are allowed", len(raw), MaxProposalFile)
	}
	return raw, err
}

// ReadProposalFile reads what [Repository.ExportProposal] wrote, at most
// [MaxProposalFile] bytes. It fails with ErrProposal on what is cut off or of another form.
func ReadProposalFile(raw []byte) (*ProposalFile, error) {
	f := &ProposalFile{}
	if err := f.read(raw); err != nil {
		return nil, fmt.Errorf("%w: the file is cut off, edited, or not from `carnet propose export`: %w", ErrProposal, err)
	}
	return f, nil
}

func (f *ProposalFile) read(raw []byte) error {
	if len(raw) > MaxProposalFile {
		return fmt.Errorf("more than %d bytes", MaxProposalFile)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f.stored); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON")
	}
	if f.stored.Type != proposalFileType || f.stored.Version != 1 {
		return fmt.Errorf("type %.100q version %d, want %s version 1", f.stored.Type, f.stored.Version, proposalFileType)
	}
	var err error
	if f.state, err = f.stored.archive(); err != nil {
		return err
	}
	files := map[string]*metadata.File{}
	for _, s := range f.stored.Proposal {
		if files[s.Role] != nil {
			return fmt.Errorf("%.100q stands twice", s.Role)
		}
		if files[s.Role], err = metadata.Decode(s.Role, s.File); err != nil {
			return err
		}
	}
	f.proposal, err = NewProposal(files)
	return err
}

// archive makes the publication that the file claims to hold. Its snapshot
// says which roles there are.
func (s storedProposal) archive() (*archive, error) {
	a := &archive{pub: &Publication{}, files: map[digest.Digest][]byte{}}
	add := func(role string, version int64, raw []byte) {
		f := NewFile(role, version, raw)
		a.files[f.Digest] = raw
		a.pub.Add(f)
	}
	for i, raw := range s.Roots {
		add(metadata.RoleRoot, int64(i+1), raw)
	}
	snapshot, err := metadata.Decode(metadata.RoleSnapshot, s.Snapshot)
	if err != nil {
		return nil, err
	}
	if len(s.Roots) == 0 || len(s.Timestamp) == 0 {
		return nil, errors.New("it has no root or no timestamp")
	}
	add(metadata.RoleTimestamp, 0, s.Timestamp)
	add(metadata.RoleSnapshot, snapshot.Version, s.Snapshot)
	for _, role := range slices.Sorted(maps.Keys(snapshot.Snapshot.Meta)) {
		m := snapshot.Snapshot.Meta[role]
		a.pub.Add(File{Role: role, Version: m.Version, Length: m.Length, Digest: m.Hashes.Digest()})
	}
	for _, raw := range s.Roles {
		a.files[digest.FromBytes(raw)] = raw
	}
	return a, nil
}

// Journal returns the state in the file, to be read only: a [Source] and [Holder] too.
func (f *ProposalFile) Journal() interface {
	Journal
	Source
} {
	return f.state
}

// Proposal returns what the file proposes.
func (f *ProposalFile) Proposal() *Proposal { return f.proposal }

// With returns the bytes of the file with p in place of its proposal.
func (f *ProposalFile) With(p *Proposal) ([]byte, error) { return f.stored.with(p) }

// ReviewFile checks the proposal of a file against a state. A signature that
// does not count is an error there: somebody edited the file, or the state
// that it was made for is no more.
func (r *Repository) ReviewFile(ctx context.Context, s *State, f *ProposalFile) (*Review, error) {
	v, err := r.Review(ctx, s, f.proposal)
	if err != nil {
		return nil, err
	}
	for _, role := range f.proposal.Roles() {
		if n := len(f.proposal.File(role).Signatures) - len(v.Proposal.File(role).Signatures); n > 0 {
			return nil, fmt.Errorf("%w: %d signatures of its %s do not verify: somebody edited the file", ErrProposal, n, role)
		}
	}
	return v, nil
}
