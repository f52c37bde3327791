package tuf

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
)

// Ballot is where proposals wait for signatures, beside a publisher's
// publications. What is put in stays: each approval is an entry of its own,
// so that none overwrites another. It moves bytes and believes none.
type Ballot interface {
	// Proposals lists what is there, in no order.
	Proposals(ctx context.Context) ([]Nomination, error)
	// ReadProposal returns the files of a listed entry. Small ones come with
	// their data. One request.
	ReadProposal(ctx context.Context, n Nomination) ([]File, error)
	// Fetch returns the bytes of a file, checked against its digest.
	Fetch(ctx context.Context, f File) ([]byte, error)
	// PushProposal stores the files, which all have data, and then an entry
	// under the name of the role and version. To push the same again is safe.
	PushProposal(ctx context.Context, role string, version int64, files []File) (Nomination, error)
	// DropProposals removes entries. Registries that cannot say so.
	DropProposals(ctx context.Context, n ...Nomination) error
}

// Nomination is a listed entry of a [Ballot]: a tag taken apart. Nothing about
// it is believed before the proposal is read and checked.
type Nomination struct {
	Tag     string
	Role    string // [RoleHash] of the leading role
	Version int64  // of that role's file
	Digest  string // first 12 hexadecimal digits of the entry's digest
}

// RoleHash is how a tag names a role, whatever characters its name has: the
// first 12 hexadecimal digits of the SHA-256 of the name.
func RoleHash(role string) string {
	sum := sha256.Sum256([]byte(role))
	return hex.EncodeToString(sum[:])[:12]
}

// MaxProposals is how many entries of a ballot are read at most: those of the
// next versions, in the order of their tags.
const MaxProposals = 64

// ErrProposal says that a proposal breaks the rules (docs/spec.md,
// "Proposals"): nobody can take it in, and nobody should sign it.
var ErrProposal = errors.New("not a valid proposal")

// errStale says that a proposal is not made for the state that is now.
var errStale = fmt.Errorf("%w: it is not based on the newest state", ErrProposal)

// Proposals returns the open proposals of a state: what is listed in the exact
// next version of a role, can be read, and passes [Repository.Review]. Entries
// that say the same are one proposal with the signatures of all. What does not
// pass is reported and left out.
func (r *Repository) Proposals(ctx context.Context, s *State) ([]*Review, error) {
	if r.opts.Ballot == nil {
		return nil, nil
	}
	v, err := r.survey(ctx, s)
	if err != nil {
		return nil, err
	}
	return v.reviews, nil
}

// survey is what a ballot holds for one state.
type survey struct {
	reviews []*Review
	over    []Nomination // of versions that are, or were, in effect
	garbage []Nomination // of a next version, and no valid proposal
}

func (r *Repository) survey(ctx context.Context, s *State) (*survey, error) {
	listed, err := r.opts.Ballot.Proposals(ctx)
	if err != nil {
		return nil, err
	}
	out := &survey{}
	var open []Nomination
	open, out.over = sortNominations(s, listed)
	if len(open) > MaxProposals {
		r.report("%d proposals are listed, of which %d are read: take those away that are none with `carnet prune`", len(open), MaxProposals)
		open = open[:MaxProposals]
	}
	read, err := r.readProposals(ctx, open, out)
	if err != nil {
		return nil, err
	}
	return out, r.reviewAll(ctx, s, open, read, out)
}

// readProposals reads entries, all at once, as far as together they are of a
// size that a machine bears.
func (r *Repository) readProposals(ctx context.Context, list []Nomination, out *survey) ([]*Proposal, error) {
	files, read := make([][]File, len(list)), make([]*Proposal, len(list))
	err := r.each(ctx, list, out, func(i int) (err error) {
		files[i], err = r.opts.Ballot.ReadProposal(ctx, list[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	left := int64(maxProposalBytes)
	return read, r.each(ctx, list, out, func(i int) (err error) {
		if files[i] == nil {
			return nil
		}
		if size := sizeOf(files[i]); atomic.AddInt64(&left, -size) < 0 {
			return fmt.Errorf("the proposals that are listed have more than %d bytes together", int64(maxProposalBytes))
		}
		read[i], err = r.decodeProposal(ctx, list[i], files[i])
		return err
	})
}

// maxProposalBytes bounds what is read of all open proposals together.
const maxProposalBytes = 256 << 20

func sizeOf(files []File) (n int64) {
	for _, f := range files {
		n += f.Length
	}
	return n
}

// each calls do for every entry, some at a time. What fails concerns that
// entry alone, and is reported, unless the command's time is over.
func (r *Repository) each(ctx context.Context, list []Nomination, out *survey, do func(i int) error) error {
	errs := make([]error, len(list))
	var g errgroup.Group
	g.SetLimit(parallelReads)
	for i := range list {
		g.Go(func() error {
			errs[i] = do(i)
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, err := range errs {
		if err == nil {
			continue
		}
		r.report("%s is passed by: %v", list[i].Tag, err)
		// What could not be read just now may be a proposal.
		if (errors.Is(err, ErrProposal) || errors.Is(err, ErrUnreadable)) && !errors.Is(err, ErrNotFound) {
			out.garbage = append(out.garbage, list[i])
		}
	}
	return nil
}

// parallelReads is how many entries are read at once.
const parallelReads = 8

// reviewAll brings entries together that say the same, and checks each once.
func (r *Repository) reviewAll(ctx context.Context, s *State, list []Nomination, read []*Proposal, out *survey) error {
	same, tags := map[string][]*Proposal{}, map[string][]Nomination{}
	for i, p := range read {
		if p != nil {
			id := p.ID()
			same[id], tags[id] = append(same[id], p), append(tags[id], list[i])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(same)) {
		v, err := r.Review(ctx, s, same[id]...)
		switch {
		case errors.Is(err, ErrProposal):
			r.report("the proposal %.12s is passed by: %v", id, err)
			out.garbage = append(out.garbage, tags[id]...)
		case err != nil:
			return err
		default:
			out.reviews = append(out.reviews, v)
		}
	}
	return nil
}

func (r *Repository) decodeProposal(ctx context.Context, n Nomination, files []File) (*Proposal, error) {
	decoded := map[string]*metadata.File{}
	for _, f := range files {
		raw, err := bytesOf(ctx, f, r.opts.Ballot.Fetch)
		if err != nil {
			return nil, err
		}
		if decoded[f.Role], err = metadata.Decode(f.Role, raw); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProposal, err)
		}
	}
	p, err := NewProposal(decoded)
	if err != nil {
		return nil, err
	}
	if lead := p.Leader(); RoleHash(lead) != n.Role || p.File(lead).Version != n.Version {
		return nil, fmt.Errorf("%w: its tag names another role or version than %s version %d", ErrProposal, lead, p.File(lead).Version)
	}
	return p, nil
}

// sortNominations tells the entries that may be open proposals of a state from
// those that are over: of a version that is, or was, in effect. What is neither, of a role
// that is not known, or of a later version, is left alone.
func sortNominations(s *State, listed []Nomination) (open, over []Nomination) {
	next := map[string]int64{RoleHash(metadata.RoleRoot): s.Root().Version + 1}
	for role, m := range s.Snapshot().Snapshot.Meta {
		next[RoleHash(role)] = m.Version + 1
	}
	for _, n := range listed {
		switch want, known := next[n.Role]; {
		case known && n.Version == want:
			open = append(open, n)
		case known && n.Version < want:
			over = append(over, n)
		}
	}
	slices.SortFunc(open, func(a, b Nomination) int {
		return cmp.Or(strings.Compare(a.Role, b.Role), strings.Compare(a.Tag, b.Tag))
	})
	return open, over
}

// Submit puts a proposal into the ballot, with all signatures that it has.
func (r *Repository) Submit(ctx context.Context, v *Review) error {
	p := v.Proposal
	files := make([]File, 0, len(p.files))
	for _, role := range p.Roles() {
		f := fileOf(role, p.files[role])
		f.Patterns = v.hints[role]
		files = append(files, f)
	}
	lead := p.Leader()
	_, err := r.opts.Ballot.PushProposal(ctx, lead, p.File(lead).Version, files)
	return err
}

// DropOver takes proposals out of the ballot that are in effect or are based on
// a state before s. It returns the tags that are gone.
func (r *Repository) DropOver(ctx context.Context, s *State) ([]string, error) {
	listed, err := r.opts.Ballot.Proposals(ctx)
	if err != nil {
		return nil, err
	}
	_, over := sortNominations(s, listed)
	return r.dropProposals(ctx, over)
}

// pruneProposals is DropOver, and takes also what is none.
func (r *Repository) pruneProposals(ctx context.Context, s *State) ([]string, error) {
	if r.opts.Ballot == nil {
		return nil, nil
	}
	v, err := r.survey(ctx, s)
	if err != nil {
		return nil, err
	}
	return r.dropProposals(ctx, append(v.over, v.garbage...))
}

func (r *Repository) dropProposals(ctx context.Context, list []Nomination) ([]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	tags := make([]string, len(list))
	for i, n := range list {
		tags[i] = n.Tag
	}
	return tags, r.opts.Ballot.DropProposals(ctx, list...)
}
