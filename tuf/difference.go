package tuf

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/carnet-project/carnet/delegations"
	"github.com/carnet-project/carnet/metadata"
)

// ErrNotShown says that a difference holds more than its preview can show: a
// member that Carnet does not know, a line too long to read. Who signs it does
// not know what; a signer refuses.
var ErrNotShown = errors.New("not all that would change can be shown")

// Difference is what changes between two versions of the file of one role:
// root, targets, or a delegated role. It is complete: what has no field of its
// own here is named in Hidden (docs/spec.md, "Previews"). Its JSON form is
// for programs, [Difference.Text] for people.
type Difference struct {
	Role       string          `json:"role"`
	Withdrawal bool            `json:"withdrawal"` // the role withdraws: its entries deny
	New        bool            `json:"new"`        // the role's first file
	Version    Span[int64]     `json:"version"`    // before: 0 if new
	Expires    Span[time.Time] `json:"expires"`    // before: zero if new

	SpecVersion        Span[string] `json:"specVersion,omitzero"`
	Publisher          Span[string] `json:"publisher,omitzero"` // root's publisher id
	Name               Span[string] `json:"name,omitzero"`      // root's display name
	ConsistentSnapshot Span[bool]   `json:"consistentSnapshot,omitzero"`
	// Refreshers are the keys whose timestamps settle a withdrawal.
	Refreshers KeysChange `json:"refreshers,omitzero"`
	// Lifetimes are how long new files of a role live, as Go writes durations;
	// "": the default.
	Lifetimes map[string]Span[string] `json:"lifetimes,omitempty"`

	// Trust is what changes for roles that the file lists: root's four, or
	// delegations in order of search, those that are gone last.
	Trust []TrustChange `json:"trust,omitempty"`
	// Order has the delegations that stay, in order of search, if that changes.
	Order ListSpan `json:"order,omitzero"`
	// SpareKeys are keys that the file lists and no role of it uses.
	SpareKeys KeysChange `json:"spareKeys,omitzero"`
	// NoDelegations tells an empty list of delegations from none, if that is
	// all that changes in it.
	NoDelegations Span[string]  `json:"noDelegations,omitzero"`
	Entries       []EntryChange `json:"entries,omitempty"` // by target path
	Revoked       Span[bool]    `json:"revoked,omitzero"`  // the role gives itself up

	// Hidden names what changes and cannot be described. It is not empty only
	// for files that something other than this version of Carnet made.
	Hidden []string `json:"hidden,omitempty"`
}

// Span is a value before and after a change.
type Span[T comparable] struct {
	Before T `json:"before"`
	After  T `json:"after"`
}

// IsZero reports whether nothing changes.
func (s Span[T]) IsZero() bool { return s.Before == s.After }

// ListSpan is a list before and after a change of its order.
type ListSpan struct {
	Before []string `json:"before"`
	After  []string `json:"after"`
}

// IsZero reports whether nothing changes.
func (s ListSpan) IsZero() bool { return len(s.Before) == 0 }

// Compare says what changes from before to after, two versions of the file of
// the role at the end of e; of e only the role's name and whether it withdraws
// are used. Before is nil for the first file of a role. It fails on files that
// are not root, targets or a delegated role's; that a file may not be signed
// blindly is [Difference.Err].
func Compare(e delegations.Edge, before, after *metadata.File) (*Difference, error) {
	if before == nil {
		before = &metadata.File{}
	}
	var d *Difference
	switch {
	case after.Root != nil && before.Targets == nil:
		d = CompareRoot(before.Root, after.Root)
	case after.Targets != nil && before.Root == nil:
		d = CompareTargets(e, before.Targets, after.Targets)
	default:
		return nil, fmt.Errorf("%w: %q: want two files of one type, root or targets, to compare", ErrInvalid, e.Role)
	}
	d.form(before, after)
	return d, nil
}

// CompareRoot is [Compare] for roots that need not be signed yet.
func CompareRoot(before, after *metadata.Root) *Difference {
	d := &Difference{Role: metadata.RoleRoot, New: before == nil}
	if before == nil {
		before = &metadata.Root{}
	}
	d.header(before.Header, after.Header)
	a, b := extensionOf(before), extensionOf(after)
	d.Publisher, d.Name = Span[string]{a.ID, b.ID}, Span[string]{a.Name, b.Name}
	d.ConsistentSnapshot = Span[bool]{before.ConsistentSnapshot, after.ConsistentSnapshot}
	d.Refreshers = compareKeys(before.Keys, a.Refreshers, after.Keys, b.Refreshers)
	d.Lifetimes = compareLifetimes(a.Expiry, b.Expiry)
	d.rootRoles(before, after)
	d.hide("", rootResidue(before).Value(), rootResidue(after).Value())
	d.unnamed(before.Value(), after.Value())
	return d
}

// CompareTargets is [Compare] for files that need not be signed yet.
func CompareTargets(e delegations.Edge, before, after *metadata.Targets) *Difference {
	d := &Difference{Role: e.Role, Withdrawal: e.Withdrawal, New: before == nil}
	if before == nil {
		before = &metadata.Targets{}
	}
	d.header(before.Header, after.Header)
	d.Revoked = Span[bool]{before.Revoked, after.Revoked}
	d.delegations(before.Delegations, after.Delegations)
	d.entries(before.Targets, after.Targets)
	a, b := targetsResidue(before), targetsResidue(after)
	d.hide("", a.Value(), b.Value())
	if d.Empty() && !before.SameContent(after) {
		d.unnamed(before.Value(), after.Value())
	}
	return d
}

// header compares what every file has.
func (d *Difference) header(a, b metadata.Header) {
	d.Version, d.Expires = Span[int64]{a.Version, b.Version}, Span[time.Time]{a.Expires, b.Expires}
	d.SpecVersion = Span[string]{specVersion(a), specVersion(b)}
}

func specVersion(h metadata.Header) string {
	if h.SpecVersion == "" {
		return metadata.SpecVersion
	}
	return h.SpecVersion
}

func extensionOf(r *metadata.Root) metadata.RootExtension {
	if r.Carnet == nil {
		return metadata.RootExtension{}
	}
	return *r.Carnet
}

func compareLifetimes(a, b map[string]time.Duration) map[string]Span[string] {
	out := map[string]Span[string]{}
	text := func(m map[string]time.Duration, role string) string {
		if d, ok := m[role]; ok {
			return d.String()
		}
		return ""
	}
	for _, m := range []map[string]time.Duration{a, b} {
		for role := range m {
			if s := (Span[string]{text(a, role), text(b, role)}); !s.IsZero() {
				out[role] = s
			}
		}
	}
	return out
}

// Empty reports whether nothing changes but version and expiry.
func (d *Difference) Empty() bool {
	return !d.New && d.SpecVersion.IsZero() && d.Publisher.IsZero() && d.Name.IsZero() && d.ConsistentSnapshot.IsZero() &&
		d.Refreshers.IsZero() && len(d.Lifetimes) == 0 && len(d.Trust) == 0 && d.Order.IsZero() && d.SpareKeys.IsZero() &&
		d.NoDelegations.IsZero() && len(d.Entries) == 0 && d.Revoked.IsZero() && len(d.Hidden) == 0
}

// Err returns an error that wraps ErrNotShown if something changes that
// cannot be described.
func (d *Difference) Err() error {
	if len(d.Hidden) == 0 {
		return nil
	}
	list, more := d.Hidden, ""
	if len(list) > 10 {
		list, more = list[:10], fmt.Sprintf(" and %d more", len(list)-10)
	}
	return fmt.Errorf("%w: %s: %s%s", ErrNotShown, Printable(d.Role), strings.Join(list, "; "), more)
}
