package promotion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
	"github.com/carnet-project/carnet/verify"
)

// Promoter copies verified artifacts with what is attached to them, and with
// the evidence of those who vouch. Promote may be called by several goroutines:
// what they all copy is copied once.
type Promoter struct {
	// From and To open the source and the destination, each with credentials
	// of its own. They may be the same.
	From, To *registrystore.Registries
	// Verify decides about the source, by Policy.
	Verify *verify.Verifier
	Policy *verify.Policy
	// Attach adds a trust attachment for each publisher whose word counted.
	Attach bool
	// Move lets a tag move that is at another artifact.
	Move bool
	// DryRun writes nothing.
	DryRun bool
	// Sign, if not nil, signs the new name, and returns who verifies that. It is
	// called by one goroutine at a time, and not at all with DryRun.
	Sign func(ctx context.Context, s Signing) (*verify.Verifier, error)
	// Step, if not nil, is told of each blob and manifest that is done, by
	// several goroutines; Note, of what was left out.
	Step func()
	Note func(text string)

	signing sync.Mutex // held while Sign runs
	mu      sync.Mutex
	copies  map[[2]string]*registrystore.Copy // between two repositories; guarded by mu
	one     map[digest.Digest]*sync.Mutex     // held while evidence is attached to it; guarded by mu
}

// Signing is what a promoter signs.
type Signing struct {
	Artifact tuf.Artifact
	// Origin is what was verified, nil if nobody's word counted.
	Origin *metadata.Origin
}

// Promoted is what became of one reference.
type Promoted struct {
	Source      registrystore.Reference
	Destination registrystore.Reference
	Decision    verify.Decision // about the source
	// There is what the policy will say about the destination, decided before
	// anything is copied; nil with Sign: that depends on what will be signed.
	There     *verify.Decision
	Digest    digest.Digest
	Manifests int      // of an index
	Referrers int      // that were copied
	Sent      int      // blobs and manifests that were not there
	Attached  []string // publishers whose evidence is attached
}

var (
	// ErrNotTrusted says that the source is not vouched for: nothing was copied.
	ErrNotTrusted = errors.New("not promoted: the source is not trusted")
	// ErrNotTrustedThere says that nobody vouches for the name, or the tag, that
	// the artifact would have at the destination: nothing was copied.
	ErrNotTrustedThere = errors.New("not promoted: the destination would not be trusted")
	// ErrUndecided says that it could not be found out: nothing was copied.
	ErrUndecided = errors.New("not promoted: whether the source is trusted could not be found out")
)

// Promote verifies src, copies it to dst with all that refers to it, attaches
// evidence, signs, and lets dst's tag name it, in this order: what is half
// promoted has no tag. What was verified is what is copied, by its digest. To
// promote again after a failure sends only what is missing.
func (p *Promoter) Promote(ctx context.Context, src, dst registrystore.Reference) (*Promoted, error) {
	out := &Promoted{Source: src, Destination: dst}
	e, err := p.Verify.Examine(ctx, src)
	if err != nil {
		return out, err
	}
	if out.Decision = e.Decision; !e.Decision.Allowed() {
		return out, notTrusted(e.Decision)
	}
	if out.Digest = e.Decision.Digest; out.Digest == "" {
		return out, fmt.Errorf("%w: %s has no digest", ErrUndecided, src)
	}
	if dst.Tag == "" {
		dst.Digest = out.Digest
		out.Destination = dst
	}
	to, err := p.To.Artifacts(dst.Repository)
	if err != nil {
		return out, err
	}
	var there bool // the tag is at the artifact already
	asking := async(func() (err error) { there, err = p.free(ctx, to, dst, out.Digest); return err })
	g, err := p.read(ctx, e, to, out)
	free := asking()
	if out.Decision = e.Decision; errors.Is(err, ErrNotTrusted) || errors.Is(err, ErrUndecided) {
		return out, err
	}
	if err != nil {
		return out, at(Source, err)
	}
	out.Manifests, out.Referrers = len(g.listed), len(g.referrers)
	if free != nil {
		return out, at(Destination, free)
	}
	if err := permitted(out); err != nil || p.DryRun {
		return out, err
	}
	c := p.copier(g.from, to)
	c.Step = p.Step
	err = p.copy(ctx, c, g)
	out.Sent = c.Sent()
	if err != nil {
		return out, at(side(err, g.from), err)
	}
	if err := p.vouch(ctx, e, g, to, out); err != nil {
		return out, err
	}
	if dst.Tag == "" || there {
		return out, nil
	}
	if _, err := p.free(ctx, to, dst, out.Digest); err != nil {
		return out, at(Destination, err)
	}
	return out, at(Destination, to.Tag(ctx, dst.Tag, g.top))
}

// permitted refuses what the policy will not let pass at the destination. What
// the promoter signs itself is known when it is signed.
func permitted(out *Promoted) error {
	if out.There == nil || out.There.Allowed() {
		return nil
	}
	if out.There.Verdict == verify.Undecided {
		return fmt.Errorf("%w: %s", ErrUndecided, out.Destination)
	}
	return fmt.Errorf("%w: %s", ErrNotTrustedThere, out.Destination)
}

// copier copies from one repository to another, each thing once for all
// promotions.
func (p *Promoter) copier(from, to *registrystore.Artifacts) *registrystore.Copy {
	p.mu.Lock()
	defer p.mu.Unlock()
	ends := [2]string{from.String(), to.String()}
	c := p.copies[ends]
	if c == nil {
		if p.copies == nil {
			p.copies = map[[2]string]*registrystore.Copy{}
		}
		c = registrystore.NewCopy(from, to)
		p.copies[ends] = c
	}
	return c.Another()
}

// side tells which end of a copy an error is about.
func side(err error, from *registrystore.Artifacts) Side {
	var e *registrystore.Error
	if errors.As(err, &e) && e.Repository == from.String() {
		return Source
	}
	return Destination
}

func notTrusted(d verify.Decision) error {
	if d.Verdict == verify.Undecided {
		return at(Source, fmt.Errorf("%w: %s", ErrUndecided, d.Reference))
	}
	return fmt.Errorf("%w: %s", ErrNotTrusted, d.Reference)
}

// free fails if the tag is at another artifact and must not move.
func (p *Promoter) free(ctx context.Context, to *registrystore.Artifacts, dst registrystore.Reference, d digest.Digest) (bool, error) {
	if dst.Tag == "" {
		return false, nil
	}
	there, err := to.Free(ctx, dst.Tag, d)
	if p.Move && isTaken(err) {
		return false, nil
	}
	return there, err
}

func isTaken(err error) bool { return errors.Is(err, registrystore.ErrTagTaken) }

// graph is what is promoted.
type graph struct {
	from      *registrystore.Artifacts
	top       *registrystore.Artifact
	listed    []registrystore.Child // by an index, and the indexes in it
	referrers []*registrystore.Artifact
}

// read reads what is to be copied and refuses what is withdrawn: an index's
// manifest takes the whole along, a referrer is left out with what refers to it.
func (p *Promoter) read(ctx context.Context, e *verify.Examination, to *registrystore.Artifacts, out *Promoted) (*graph, error) {
	from, err := p.From.Artifacts(out.Source.Repository)
	if err != nil {
		return nil, err
	}
	g := &graph{from: from}
	if p.Sign == nil {
		e.At(ctx, out.Destination) // who has a say there is asked from now on
	}
	// What the destination says is asked for while the source is read.
	reading := async(func() (err error) {
		if g.top, err = from.Read(ctx, registrystore.Reference{Repository: out.Source.Repository, Digest: out.Digest}); err == nil {
			g.listed, err = from.Manifests(ctx, g.top)
		}
		return err
	})
	learnt := p.hear(ctx, e, to, out.Digest)
	if err := reading(); err != nil {
		return nil, err
	}
	if learnt != nil {
		return nil, learnt
	}
	below := g.subjects()
	var all []*registrystore.Artifact
	listing := async(func() (err error) { all, err = from.ReferrerGraph(ctx, below...); return err })
	learnt = p.hear(ctx, e, to, below[1:]...)
	if learnt == nil {
		learnt = p.refuseWithdrawn(ctx, e, g)
	}
	if err := listing(); learnt != nil || err != nil {
		return nil, cmp.Or(learnt, err)
	}
	if p.Sign == nil {
		d := e.At(ctx, out.Destination)
		out.There = &d
	}
	g.referrers, err = p.withoutWithdrawn(ctx, e, from, all)
	return g, err
}

// async starts f, and returns what waits for it.
func async(f func() error) func() error {
	var g errgroup.Group
	g.Go(f)
	return g.Wait
}

// hear takes into account what is attached to digests at the destination, which
// may be newer than what was seen here and say no.
func (p *Promoter) hear(ctx context.Context, e *verify.Examination, to *registrystore.Artifacts, digests ...digest.Digest) error {
	if p.Attach && len(digests) > 0 {
		if err := e.Learn(ctx, to, digests...); err != nil {
			return at(Destination, err)
		}
	}
	if !e.Decision.Allowed() {
		return notTrusted(e.Decision)
	}
	return nil
}

// learn hears what is attached now, and refuses what was withdrawn.
func (p *Promoter) learn(ctx context.Context, e *verify.Examination, g *graph, to *registrystore.Artifacts) error {
	if err := p.hear(ctx, e, to, g.subjects()...); err != nil {
		return err
	}
	return p.refuseWithdrawn(ctx, e, g)
}

// subjects are the artifact and what an index and the indexes in it list.
func (g *graph) subjects() []digest.Digest {
	out := []digest.Digest{g.top.Digest}
	for _, m := range g.listed {
		out = append(out, m.Digest)
	}
	return out
}

// refuseWithdrawn fails if the artifact, a manifest of an index, or a referrer
// that is to be copied was withdrawn.
func (p *Promoter) refuseWithdrawn(ctx context.Context, e *verify.Examination, g *graph) error {
	for _, m := range append([]*registrystore.Artifact{g.top}, g.referrers...) {
		said, err := withdrawn(ctx, e, g.from, m)
		if err != nil {
			return err
		}
		if said != "" {
			return fmt.Errorf("%w: %s", ErrNotTrusted, said)
		}
	}
	return nil
}

// withdrawn tells who withdrew a manifest or, of an index, one below, however
// deep; "" for nobody.
func withdrawn(ctx context.Context, e *verify.Examination, from *registrystore.Artifacts, m *registrystore.Artifact) (string, error) {
	below, err := from.Manifests(ctx, m)
	if err != nil {
		return "", err
	}
	list := []digest.Digest{m.Digest}
	for _, child := range below {
		list = append(list, child.Digest)
	}
	for _, d := range list {
		n, who, err := e.Withdrawn(ctx, d)
		if err != nil {
			return "", err
		}
		if n != nil {
			return notice(who, d, n), nil
		}
	}
	return "", nil
}

func notice(who string, d digest.Digest, n *metadata.Notice) string {
	return fmt.Sprintf("%s withdrew %s: %s", who, d, n.Reason)
}

// notTaken says that a referrer does not come along.
func notTaken(d digest.Digest, said string) string { return fmt.Sprintf("%s is left out: %s", d, said) }

func (p *Promoter) withoutWithdrawn(ctx context.Context, e *verify.Examination, from *registrystore.Artifacts, all []*registrystore.Artifact) ([]*registrystore.Artifact, error) {
	dropped := map[digest.Digest]bool{}
	for _, r := range all {
		said, err := withdrawn(ctx, e, from, r)
		if err != nil {
			return nil, err
		}
		if said != "" {
			dropped[r.Digest] = true
			p.note(notTaken(r.Digest, said))
		}
	}
	return without(all, dropped), nil
}

// without returns what is not dropped, and refers to nothing that is.
func without(all []*registrystore.Artifact, dropped map[digest.Digest]bool) []*registrystore.Artifact {
	for again := true; again; {
		again = false
		for _, r := range all {
			if dropped[r.Subject] && !dropped[r.Digest] {
				dropped[r.Digest], again = true, true
			}
		}
	}
	return slices.DeleteFunc(all, func(r *registrystore.Artifact) bool { return dropped[r.Digest] })
}

func digests(list []*registrystore.Artifact) []digest.Digest {
	out := make([]digest.Digest, len(list))
	for i, a := range list {
		out[i] = a.Digest
	}
	return out
}

func (p *Promoter) note(text string) {
	if p.Note != nil {
		p.Note(text)
	}
}

func (p *Promoter) copy(ctx context.Context, c *registrystore.Copy, g *graph) error {
	under, uctx := errgroup.WithContext(ctx)
	under.Go(func() error { return c.Manifest(uctx, g.top) })
	under.Go(func() error { return c.Ahead(uctx, g.referrers) })
	if err := under.Wait(); err != nil {
		return err
	}
	return c.Referrers(ctx, g.referrers)
}

// maxAttached is how often evidence is attached anew because somebody else
// attached at the same time.
const maxAttached = 4

// vouch signs the new name, and attaches the evidence of all who vouch: anew if
// others attach at the same time, whose evidence may be newer.
func (p *Promoter) vouch(ctx context.Context, e *verify.Examination, g *graph, to *registrystore.Artifacts, out *Promoted) error {
	var own *verify.Examination
	if p.Sign != nil {
		var err error
		if own, err = p.sign(ctx, e, g, to, out); err != nil {
			return err
		}
	}
	if !p.Attach {
		return nil
	}
	defer p.alone(out.Digest)()
	for n := 1; ; n++ {
		evidence, err := p.evidence(ctx, e, own, p.paths(out, g))
		if err != nil {
			return err
		}
		err = p.attach(ctx, to, g, evidence, out)
		if n == maxAttached || !errors.Is(err, registrystore.ErrAttachedMeanwhile) {
			return err
		}
		for _, x := range []*verify.Examination{e, own} {
			if x == nil {
				continue
			}
			if err := p.learn(ctx, x, g, to); err != nil {
				return err
			}
		}
	}
}

// alone keeps others from attaching to d until what it returns is called: two
// tags of one artifact would take each other's role files away.
func (p *Promoter) alone(d digest.Digest) func() {
	p.mu.Lock()
	if p.one == nil {
		p.one = map[digest.Digest]*sync.Mutex{}
	}
	m := p.one[d]
	if m == nil {
		m = &sync.Mutex{}
		p.one[d] = m
	}
	p.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// sign signs the new name. It returns the decision of who verifies that, or nil.
func (p *Promoter) sign(ctx context.Context, e *verify.Examination, g *graph, to *registrystore.Artifacts, out *Promoted) (*verify.Examination, error) {
	p.signing.Lock()
	defer p.signing.Unlock()
	signer, err := p.Sign(ctx, Signing{Artifact: artifact(out.Destination, g), Origin: e.Origin()})
	if err != nil || signer == nil || !p.Attach {
		return nil, err
	}
	own, err := signer.Examine(ctx, registrystore.Reference{Repository: out.Destination.Repository, Digest: out.Digest})
	if err != nil {
		return nil, err
	}
	return own, at(Destination, own.Learn(ctx, to, g.subjects()...))
}

// evidence is what everybody's word rests on who counted, and the promoter's
// own, now that it is published.
func (p *Promoter) evidence(ctx context.Context, e, own *verify.Examination, paths []string) ([]verify.Evidence, error) {
	out, err := e.Evidence(ctx, paths...)
	if err != nil || own == nil {
		return out, err
	}
	mine, err := own.Evidence(ctx, paths...)
	return append(slices.DeleteFunc(out, func(v verify.Evidence) bool {
		return slices.ContainsFunc(mine, func(o verify.Evidence) bool { return o.ID == v.ID })
	}), mine...), err
}

// paths are what verifiers of the destination may look up.
func (p *Promoter) paths(out *Promoted, g *graph) []string {
	var paths []string
	for _, ref := range []registrystore.Reference{out.Source, out.Destination} {
		names := []string{ref.Name}
		if name, ok := p.Policy.TargetName(ref.Repository); ok {
			names = append(names, name)
		}
		for _, name := range names {
			if ref.Tag != "" {
				paths = append(paths, metadata.TagPath(name, ref.Tag))
			}
			paths = append(paths, metadata.DigestPath(name, out.Digest))
			for _, m := range g.listed {
				paths = append(paths, metadata.DigestPath(name, m.Digest))
			}
			for _, r := range g.referrers {
				paths = append(paths, metadata.DigestPath(name, r.Digest))
			}
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func artifact(dst registrystore.Reference, g *graph) tuf.Artifact {
	a := g.top
	out := tuf.Artifact{Name: dst.Name, Tag: dst.Tag, Digest: a.Digest, Size: a.Size, MediaType: a.MediaType, ArtifactType: a.ArtifactType}
	for _, m := range g.listed {
		out.Manifests = append(out.Manifests, tuf.Artifact{Name: dst.Name, Digest: m.Digest, Size: m.Size, MediaType: m.MediaType, ArtifactType: m.ArtifactType})
	}
	return out
}

// attach attaches evidence to the artifact and to an index's manifests, which
// runtimes ask for by digest.
func (p *Promoter) attach(ctx context.Context, to *registrystore.Artifacts, g *graph, evidence []verify.Evidence, out *Promoted) error {
	subjects := []ocispec.Descriptor{{MediaType: g.top.MediaType, Digest: g.top.Digest, Size: g.top.Size}}
	for _, m := range g.listed {
		subjects = append(subjects, m.Descriptor)
	}
	out.Attached = nil
	for _, e := range evidence {
		for _, s := range subjects {
			if err := p.attachTo(ctx, to, g, s, e); err != nil {
				return at(Destination, fmt.Errorf("attach the evidence of %s: %w", e.Publisher, err))
			}
		}
		out.Attached = append(out.Attached, e.Publisher)
	}
	return nil
}

// attachTo attaches evidence in place of what was there before. What came with
// the source's referrers stays, else the next promotion would bring it again.
func (p *Promoter) attachTo(ctx context.Context, to *registrystore.Artifacts, g *graph, s ocispec.Descriptor, e verify.Evidence) error {
	was := e.There[s.Digest]
	wrote, err := to.AttachOver(ctx, s, e.ID, e.Files, was.Digest, g.referrers...)
	if err == nil && wrote && was.Attachment != nil && !slices.ContainsFunc(g.referrers, func(r *registrystore.Artifact) bool { return r.Digest == was.Digest }) {
		to.Supersede(ctx, s.Digest, was.Digest)
	}
	return err
}

// Check verifies the destination as somebody who remembers nothing: once with
// the publishers' repositories, once by what is attached alone.
func (p *Promoter) Check(ctx context.Context, dst registrystore.Reference, opts verify.Options) (decision, alone verify.Decision, err error) {
	opts.Registries, opts.States = p.To.Fresh(), nil
	without := opts
	without.Policy = opts.Policy.WithoutRepositories()
	other := async(func() (err error) { alone, err = verifyOne(ctx, without, dst); return err })
	decision, err = verifyOne(ctx, opts, dst)
	return decision, alone, cmp.Or(err, other())
}

func verifyOne(ctx context.Context, opts verify.Options, ref registrystore.Reference) (verify.Decision, error) {
	v, err := verify.New(opts)
	if err != nil {
		return verify.Decision{}, err
	}
	found, err := v.Verify(ctx, ref)
	if err != nil {
		return verify.Decision{}, err
	}
	return found[0], nil
}
