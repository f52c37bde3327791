package tuf

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
)

// File is one TUF file of a publication.
type File struct {
	Role    string // "root", "snapshot", "timestamp", "targets" or a delegated role
	Version int64
	Length  int64
	Digest  digest.Digest // SHA-256 of the bytes
	// Data are the bytes, or nil: then they are in the registry, by digest.
	Data []byte
	// Patterns are the delegated path patterns of the role, an unsigned hint
	// written for readers (nil for roles that are not delegated).
	Patterns []string
}

// Publication is every file of a publisher at one moment: what one state or
// draft manifest holds. A draft has no timestamp.
type Publication struct {
	// RootPack holds the roots older than Roots, or is the zero File.
	RootPack File
	// Roots from the oldest that has a file of its own to the newest, without
	// a gap.
	Roots []File
	// Timestamp is the zero File in a draft.
	Timestamp File
	Snapshot  File
	// Targets is the top-level targets file.
	Targets File
	// Roles are the delegated roles' files, sorted by name.
	Roles []File
}

// RootPack is the Role of the file that holds old roots, as a JSON array.
const RootPack = metadata.RootPack

// FileLimit returns how many bytes a file of a publication may have.
func FileLimit(role string) int64 {
	if role == RootPack {
		return metadata.MaxTargets
	}
	return metadata.Limit(role)
}

// Files returns all files, those that every reader needs first.
func (p *Publication) Files() []File {
	var out []File
	for _, f := range []File{p.Timestamp, p.Snapshot, p.Targets} {
		if f.Digest != "" {
			out = append(out, f)
		}
	}
	out = append(out, p.Roles...)
	if p.RootPack.Digest != "" {
		out = append(out, p.RootPack)
	}
	return append(out, p.Roots...)
}

// Add puts f in its place.
func (p *Publication) Add(f File) {
	switch f.Role {
	case metadata.RoleRoot:
		p.Roots = append(p.Roots, f)
	case RootPack:
		p.RootPack = f
	case metadata.RoleTimestamp:
		p.Timestamp = f
	case metadata.RoleSnapshot:
		p.Snapshot = f
	case metadata.RoleTargets:
		p.Targets = f
	default:
		p.Roles = append(p.Roles, f)
	}
}

// Role returns the file of targets or of a delegated role.
func (p *Publication) Role(role string) (File, bool) {
	if role == metadata.RoleTargets {
		return p.Targets, true
	}
	i, ok := slices.BinarySearchFunc(p.Roles, role, func(f File, r string) int { return strings.Compare(f.Role, r) })
	if !ok {
		return File{}, false
	}
	return p.Roles[i], true
}

// SetRole replaces or adds the file of targets or of a delegated role.
func (p *Publication) SetRole(f File) {
	p.DropRole(f.Role)
	p.Add(f)
	slices.SortFunc(p.Roles, func(a, b File) int { return strings.Compare(a.Role, b.Role) })
}

// DropRole removes the file of a delegated role.
func (p *Publication) DropRole(role string) {
	p.Roles = slices.DeleteFunc(p.Roles, func(f File) bool { return f.Role == role })
}

// NewFile describes raw as a file of role.
func NewFile(role string, version int64, raw []byte) File {
	return File{Role: role, Version: version, Length: int64(len(raw)), Digest: digest.FromBytes(raw), Data: raw}
}

// Identity returns what names the publication, a draft like the state that is
// committed from it: the SHA-256 of its snapshot in lower-case hexadecimal.
func (p *Publication) Identity() string { return p.Snapshot.Digest.Encoded() }

// newestRoot is the version of the newest root that is listed, by nobody's
// signature.
func (p *Publication) newestRoot() int64 {
	if len(p.Roots) == 0 {
		return 0
	}
	return p.Roots[len(p.Roots)-1].Version
}

// IsDraft reports whether no timestamp seals the publication yet.
func (p *Publication) IsDraft() bool { return p.Timestamp.Digest == "" }

// Entry is a listed state or draft: a tag taken apart. Nothing about it is
// believed before the publication is read and verified.
type Entry struct {
	Tag     string
	Draft   bool
	Root    int64  // 0 for a draft
	Version int64  // timestamp's version, which is snapshot's
	Digest  string // first 12 hexadecimal digits of the identity
}

// ErrUnreadable is what a Journal wraps when an entry is listed but cannot be
// read, breaks a limit or is no publication. A writer passes such an entry by.
var ErrUnreadable = errors.New("unreadable publication")

// Journal is where a publisher's publications are kept, in a registry or an
// image layout: append-only states, drafts that announce them, and one
// moving hint, latest. It moves bytes and believes none.
type Journal interface {
	String() string
	// Latest returns the publication that the tag latest names, or
	// ErrNotFound if there is none. Small files come with their data.
	Latest(ctx context.Context) (*Publication, error)
	// List returns all states and drafts, in no order. An empty or new
	// repository has none.
	List(ctx context.Context) ([]Entry, error)
	// Read returns a listed publication. One request.
	Read(ctx context.Context, e Entry) (*Publication, error)
	// Fetch returns the bytes of a file, checked against its digest.
	Fetch(ctx context.Context, f File) ([]byte, error)
	// PushDraft stores every file that has data and was not stored before,
	// then the manifest under its draft tag.
	PushDraft(ctx context.Context, p *Publication) (Entry, error)
	// Commit stores timestamp and the state manifest under its append-only
	// tag. When it returns nil the publication is acknowledged. If the answer
	// is lost it reads the tag back, and returns nil only if the state is
	// there. An error that wraps ErrOutcomeUnknown says that could not be told;
	// one that wraps ErrOccupied, that the tag is taken and does not move: by
	// another writer that sealed the same snapshot, or by garbage.
	Commit(ctx context.Context, p *Publication) (Entry, error)
	// Advance moves latest to p, one PUT without retry.
	Advance(ctx context.Context, p *Publication) error
	// Delete removes tags (prune). Registries that cannot say so.
	Delete(ctx context.Context, e ...Entry) error
}

// ErrOccupied says that a state's tag exists and holds other bytes.
var ErrOccupied = errors.New("the state's tag is taken")

// ErrOutcomeUnknown says that a write may or may not have taken effect. To
// repeat the command is safe.
var ErrOutcomeUnknown = errors.New("the outcome is unknown: to repeat the command is safe")

// Locker is a Journal that keeps other processes out by a lock, so that a
// publication needs no draft: an image layout.
type Locker interface {
	Journal
	// Lock waits for the lock until ctx ends. Unlock releases it.
	Lock(ctx context.Context) (unlock func() error, err error)
}

// Repairer is a Journal that can look after what it stores.
type Repairer interface {
	Journal
	// Repair asks for every file of p, stores again what is gone and still at
	// hand, and returns what is gone for good.
	Repair(ctx context.Context, p *Publication) (gone []File, err error)
}

// CompareEntries orders states as readers do: by root version, then by
// timestamp version, then by digest.
func CompareEntries(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Root, b.Root), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Digest, b.Digest))
}
