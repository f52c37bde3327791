package tuf

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// ExpiryDelegated is the name under which root lists how long files of
// delegated roles live; the others are the names of the top-level roles.
const ExpiryDelegated = "delegated"

// DefaultExpiry is how long a file lives from its signing where root does not
// say otherwise.
func DefaultExpiry(role string) time.Duration {
	switch role {
	case metadata.RoleTimestamp:
		return 24 * time.Hour
	case metadata.RoleSnapshot:
		return 7 * 24 * time.Hour
	}
	return 365 * 24 * time.Hour
}

func expiry(root *metadata.Root, role string) time.Duration {
	name := role
	if !metadata.IsTopLevel(role) {
		name = ExpiryDelegated
	}
	if root.Carnet != nil {
		if d, ok := root.Carnet.Expiry[name]; ok {
			return d
		}
	}
	return DefaultExpiry(role)
}

// MissingKeysError says that a file cannot be signed by enough keys.
type MissingKeysError struct {
	Role   string
	Want   int            // signatures by that many different keys
	Have   int            // keys that are at hand
	Absent []metadata.Key // keys of the role that are not at hand
	Why    error          // why keys that should be at hand are not; nil if nothing is known
}

func (e *MissingKeysError) Error() string {
	ids := make([]string, len(e.Absent))
	for i, k := range e.Absent {
		ids[i] = k.ID()[:12]
	}
	of := ""
	if len(ids) > 0 {
		of = ": missing of " + strings.Join(ids, ", ")
	}
	why := ""
	if e.Why != nil {
		why = ": " + strings.ReplaceAll(e.Why.Error(), "\n", "; ")
	}
	return fmt.Sprintf("the role %q needs signatures by %d of its keys and %d are at hand%s%s", e.Role, e.Want, e.Have, of, why)
}

// Is makes errors.Is(err, ErrNoKey) true.
func (e *MissingKeysError) Is(target error) bool { return target == ErrNoKey }

// demand is what one delegator asks of a role's signatures.
type demand struct {
	keys metadata.Keys
	metadata.RoleKeys
}

// sign signs the canonical bytes of role with every key at hand that some
// demand lists. All demands must be met: a root has that of its predecessor
// beside its own.
func (r *Repository) sign(ctx context.Context, role string, signed []byte, demands ...demand) (*metadata.File, error) {
	signatures, absent, why, err := r.signatures(ctx, role, signed, demands)
	if err != nil {
		return nil, err
	}
	f, err := metadata.Decode(role, metadata.Seal(signed, signatures))
	if err != nil {
		return nil, err
	}
	for _, d := range demands {
		err := VerifyThreshold(role, f, d.keys, d.RoleKeys)
		var short *ThresholdError
		if errors.As(err, &short) && len(absent) > 0 {
			return nil, &MissingKeysError{Role: role, Want: d.Threshold, Have: short.Got, Absent: d.listed(absent), Why: why}
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// signatures signs with every listed key that is at hand, once under each ID,
// and returns the keys that are not, and why those that should be are not.
func (r *Repository) signatures(ctx context.Context, role string, signed []byte, demands []demand) (out []metadata.Signature, absent metadata.Keys, why, err error) {
	absent, done := metadata.Keys{}, map[string]bool{}
	for _, d := range demands {
		for _, id := range d.KeyIDs {
			key, ok := d.keys[id]
			if !ok || done[id] {
				continue
			}
			done[id] = true
			s, err := r.opts.Keys.Signer(ctx, key)
			if errors.Is(err, ErrNoKey) || errors.Is(err, ErrUnknownKey) {
				absent[id] = key
				if r.opts.Keys.Has(key) {
					why = errors.Join(why, err)
				}
				continue
			}
			if err != nil {
				return nil, nil, nil, err
			}
			sig, err := s.Sign(ctx, signed)
			if err != nil {
				return nil, nil, nil, fmt.Errorf("sign %s: %w", role, err)
			}
			out = append(out, metadata.Signature{KeyID: id, Sig: sig})
		}
	}
	return out, absent, why, nil
}

// listed returns those of keys that the demand lists, in its order.
func (d demand) listed(keys metadata.Keys) (out []metadata.Key) {
	for _, id := range d.KeyIDs {
		if k, ok := keys[id]; ok {
			out = append(out, k)
		}
	}
	return out
}

// topDemand is what root asks of a top-level role.
func topDemand(root *metadata.Root, role string) demand {
	return demand{root.Keys, root.Roles[role]}
}

// signRole signs a delegated role's or targets' file.
func (r *Repository) signRole(ctx context.Context, root *metadata.Root, e delegations.Edge, t *metadata.Targets, version int64) (*metadata.File, error) {
	return r.signOnce(ctx, r.roleFile(root, e, t, version))
}

// roleFile makes the file that t becomes.
func (r *Repository) roleFile(root *metadata.Root, e delegations.Edge, t *metadata.Targets, version int64) unsigned {
	out := *t
	out.Version, out.Expires = version, r.expires(root, e.Role)
	want := quorum{e.Parent, demand{e.Keys, e.RoleKeys}}
	if e.Role == metadata.RoleTargets {
		want = quorum{metadata.RoleRoot, topDemand(root, e.Role)}
	}
	return unsigned{role: e.Role, version: version, expires: out.Expires, signed: out.Canonical(), targets: &out, quorums: []quorum{want}}
}

func (r *Repository) expires(root *metadata.Root, role string) time.Time {
	return r.opts.Now().UTC().Truncate(time.Second).Add(expiry(root, role))
}

// next is what a new publication is made of.
type next struct {
	root    *metadata.File
	keep    *revision                 // whose files stay where nothing else is said
	files   map[string]*metadata.File // targets and delegated roles that differ from keep's
	hints   map[string][]string       // delegated patterns of new roles
	version int64
	parents []metadata.Parent
}

// assemble signs a snapshot over n and returns the draft.
func (r *Repository) assemble(ctx context.Context, n next) (*revision, error) {
	s := *n.keep.snapshot.Snapshot
	s.Meta = maps.Clone(s.Meta)
	s.Version, s.Expires = n.version, r.expires(n.root.Root, metadata.RoleSnapshot)
	x := metadata.SnapshotExtension{}
	if s.Carnet != nil {
		x = *s.Carnet
	}
	x.Parents, x.Root, s.Carnet = n.parents, rootOf(n.root), &x
	pub := n.keep.pub.clone()
	pub.Timestamp = File{}
	for _, role := range slices.Sorted(maps.Keys(n.files)) {
		f := fileOf(role, n.files[role])
		f.Patterns = n.hints[role]
		if was, ok := pub.Role(role); ok && f.Patterns == nil {
			f.Patterns = was.Patterns
		}
		pub.SetRole(f)
		s.Meta[role] = metadata.NewMetaFile(f.Version, f.Data)
	}
	if n.version < 1 {
		return nil, tooHigh(metadata.RoleSnapshot)
	}
	snapshot, err := r.sign(ctx, metadata.RoleSnapshot, s.Canonical(), topDemand(n.root.Root, metadata.RoleSnapshot))
	if err != nil {
		return nil, err
	}
	pub.Snapshot = fileOf(metadata.RoleSnapshot, snapshot)
	if err := r.addRoot(ctx, pub, n.root); err != nil {
		return nil, err
	}
	rev := newRevision(pub, snapshot, n.root, false)
	maps.Copy(rev.roles, n.files)
	return rev, nil
}

// seal signs a timestamp over a draft (docs/spec.md, "Publication", commit).
func (r *Repository) seal(ctx context.Context, root *metadata.File, rev *revision) (*Publication, error) {
	t := metadata.Timestamp{
		Snapshot: metadata.NewMetaFile(rev.version, rev.snapshot.Raw),
		Carnet:   &metadata.TimestampExtension{Issued: r.opts.Now().UTC().Truncate(time.Second)},
	}
	t.Version, t.Expires = rev.version, r.expires(root.Root, metadata.RoleTimestamp)
	f, err := r.sign(ctx, metadata.RoleTimestamp, t.Canonical(), topDemand(root.Root, metadata.RoleTimestamp))
	if err != nil {
		return nil, err
	}
	pub := rev.pub.clone()
	pub.Timestamp = fileOf(metadata.RoleTimestamp, f)
	return pub, nil
}

// draw signs what d changed and returns the draft publication.
func (r *Repository) draw(ctx context.Context, d *Draft) (*revision, error) {
	base := d.state.rev
	root, err := r.signRoot(ctx, d)
	if err == nil {
		err = d.state.checkSpoilt(root)
	}
	if err != nil {
		return nil, err
	}
	n := next{
		root: root, keep: base, files: map[string]*metadata.File{}, hints: map[string][]string{},
		version: base.version + 1, parents: lineage(base),
	}
	restart := leapt(root, base)
	if restart {
		if n.version, err = r.restart(ctx, root); err != nil {
			return nil, err
		}
	}
	for _, role := range slices.Sorted(maps.Keys(d.edited)) {
		e, err := d.Edge(ctx, role)
		if err != nil {
			return nil, err
		}
		version, err := nextVersion(base, role, restart)
		if err != nil {
			return nil, err
		}
		f, err := r.signEdited(ctx, d, e, version)
		if err != nil {
			return nil, err
		}
		if f != nil {
			n.files[role] = f
		}
		if n.hints[role], err = d.patterns(ctx, e); err != nil {
			return nil, err
		}
	}
	return r.assemble(ctx, n)
}

// signEdited signs an edited role. Where only the delegation to it changed, the
// keys are not at hand and the signatures that are there suffice, its file
// stands: nil.
func (r *Repository) signEdited(ctx context.Context, d *Draft, e delegations.Edge, version int64) (*metadata.File, error) {
	if f := d.finished[e.Role]; f != nil {
		return f, nil
	}
	f, err := r.signRole(ctx, d.Root(), e, d.edited[e.Role], version)
	if errors.Is(err, ErrNoKey) && r.stands(ctx, d, e) {
		return nil, nil
	}
	return f, err
}

// stands reports whether the present file of an edited role may stay: it says
// the same, and has the signatures that it needs.
func (r *Repository) stands(ctx context.Context, d *Draft, e delegations.Edge) bool {
	if d.renewed[e.Role] {
		return false
	}
	want := demand{e.Keys, e.RoleKeys}
	if e.Role == metadata.RoleTargets {
		want = topDemand(d.Root(), e.Role)
	}
	was, err := r.role(ctx, d.state.rev, e.Role)
	return err == nil && was != nil && was.Targets.SameContent(d.edited[e.Role]) && VerifyThreshold(e.Role, was, want.keys, want.RoleKeys) == nil
}

// patterns returns the patterns that are delegated to the role at the end of e.
func (d *Draft) patterns(ctx context.Context, e delegations.Edge) ([]string, error) {
	if e.Role == metadata.RoleTargets {
		return nil, nil
	}
	parent, err := d.Edge(ctx, e.Parent)
	if err != nil {
		return nil, err
	}
	t, err := d.Open(ctx, parent)
	if err != nil || t.Delegations == nil {
		return nil, err
	}
	for _, r := range t.Delegations.Roles {
		if r.Name == e.Role {
			return r.Paths, nil
		}
	}
	return nil, nil
}
