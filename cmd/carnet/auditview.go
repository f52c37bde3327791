package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/revocation"
	"github.com/carnet-project/carnet/tuf"
)

// auditAnswer is the answer of audit key.
type auditAnswer struct {
	Key         string         `json:"key"`
	History     historyView    `json:"history"`
	Vouched     []vouchedView  `json:"vouched"`
	Carried     map[string]int `json:"carried"`
	Withdrawals []noticeView   `json:"withdrawals"`
	Delegations []trustedView  `json:"delegations"`
	GaveUp      []momentView   `json:"gaveUp"`
	Roots       []int64        `json:"roots"`
	Sealed      []int64        `json:"sealed"`
	Withdraw    *withdrawView  `json:"withdraw"`
	Published   *published     `json:"published"`
}

type historyView struct {
	States int          `json:"states"`
	Oldest int64        `json:"oldest"`
	Newest int64        `json:"newest"`
	Unread []unreadView `json:"unread"`
}

type unreadView struct {
	Tag     string `json:"tag"`
	Error   string `json:"error"`
	Garbage bool   `json:"garbage"` // signed by nobody of this publisher
}

// momentView is where in the history something first appeared.
type momentView struct {
	State      int64  `json:"state"`
	Identity   string `json:"identity"`
	AtOrBefore bool   `json:"atOrBefore"` // it may have happened earlier, but
	After      *int64 `json:"after"`      // after that state, if one is known
	Aside      bool   `json:"aside"`      // the present state does not descend from it
	Role       string `json:"role"`
}

type vouchedView struct {
	momentView
	Path      string        `json:"path"`
	Digest    digest.Digest `json:"digest"`
	Alone     bool          `json:"alone"`
	Listed    bool          `json:"listed"`
	Withdrawn bool          `json:"withdrawn"`
	Before    *beforeView   `json:"before"` // who vouched for the digest earlier
}

type beforeView struct {
	momentView
	Path string `json:"path"`
}

type noticeView struct {
	momentView
	Digest digest.Digest `json:"digest"`
	Reason string        `json:"reason"`
	Lifted bool          `json:"lifted"`
}

type trustedView struct {
	momentView
	To   string `json:"to"`
	What string `json:"what"`
}

// withdrawView is what was, or would be, withdrawn.
type withdrawView struct {
	Since   string          `json:"since"`
	Reason  string          `json:"reason"`
	Digests []digest.Digest `json:"digests"`
	Paths   []string        `json:"paths"`
	Spared  []sparedView    `json:"spared"`
}

type sparedView struct {
	Path   string        `json:"path"`
	Digest digest.Digest `json:"digest"`
	Why    string        `json:"why"`
}

func momentOf(m revocation.Moment) momentView {
	v := momentView{State: m.State.Version(), Identity: m.State.Identity(), AtOrBefore: m.AtOrBefore, Aside: m.State.Aside, Role: m.Role}
	if n := len(m.State.Parents); m.AtOrBefore && n > 0 {
		after := m.State.Parents[n-1].Version()
		v.After = &after
	}
	return v
}

// fill takes in what was found, since a state if one is named.
func (a *auditAnswer) fill(found *revocation.Audit, since string) error {
	*a = auditAnswer{
		Key: a.Key, History: historyOf(found), Carried: found.Carried, Vouched: []vouchedView{}, Withdrawals: []noticeView{},
		Delegations: []trustedView{}, GaveUp: []momentView{}, Roots: append([]int64{}, found.Roots...), Sealed: append([]int64{}, found.Sealed...),
	}
	after := func(revocation.Moment) bool { return true }
	if since != "" {
		good, err := lastGood(found.Past, since)
		if err != nil {
			return err
		}
		after = found.After(good)
		a.Withdraw = withdrawOf(found, since, good)
	}
	for _, v := range found.Vouched {
		if after(v.Moment) {
			a.Vouched = append(a.Vouched, vouchedOf(v))
		}
	}
	for _, w := range found.Withdrawals {
		if after(w.Moment) {
			a.Withdrawals = append(a.Withdrawals, noticeView{momentOf(w.Moment), w.Digest, w.Reason, w.Lifted})
		}
	}
	for _, d := range found.Delegations {
		if after(d.Moment) {
			a.Delegations = append(a.Delegations, trustedView{momentOf(d.Moment), d.To, d.What})
		}
	}
	for _, m := range found.GivenUp {
		if after(m) {
			a.GaveUp = append(a.GaveUp, momentOf(m))
		}
	}
	return nil
}

// lastGood returns the state that is meant, nil for 0: before all.
func lastGood(past *tuf.Past, name string) (*tuf.Kept, error) {
	if name == "0" {
		return nil, nil
	}
	return past.At(name)
}

func historyOf(found *revocation.Audit) historyView {
	h := historyView{States: len(found.Past.States), Unread: []unreadView{}}
	if n := len(found.Past.States); n > 0 {
		h.Oldest, h.Newest = found.Past.States[0].Version(), found.Past.States[n-1].Version()
	}
	for _, u := range found.Unread {
		h.Unread = append(h.Unread, unreadView{u.Tag, u.Err.Error(), u.Garbage})
	}
	return h
}

func vouchedOf(v revocation.Vouched) vouchedView {
	out := vouchedView{
		momentView: momentOf(v.Moment), Path: v.Path, Digest: v.Digest, Alone: v.Alone, Listed: v.Listed, Withdrawn: v.Withdrawn,
	}
	if v.Before != nil {
		out.Before = &beforeView{momentOf(v.Before.Moment), v.Before.Path}
	}
	return out
}

func withdrawOf(found *revocation.Audit, since string, good *tuf.Kept) *withdrawView {
	bad, spared := found.Since(good)
	w := &withdrawView{Since: since, Digests: append([]digest.Digest{}, bad...), Paths: []string{}, Spared: []sparedView{}}
	for _, s := range spared {
		w.Spared = append(w.Spared, sparedView{s.Path, s.Digest, s.Why})
	}
	return w
}

func (m momentView) String() string {
	s := fmt.Sprintf("state %d", m.State)
	if m.AtOrBefore {
		s = "at or before " + s
		if m.After != nil {
			s += fmt.Sprintf(" and after state %d", *m.After)
		}
	}
	if m.Aside {
		s += " (aside: the present state does not descend from it)"
	}
	return s
}

func (a auditAnswer) text(w io.Writer) {
	h := a.History
	fmt.Fprintf(w, "%s kept, %d to %d\n", count(h.States, "state is", "states are"), h.Oldest, h.Newest)
	for _, u := range h.Unread {
		fmt.Fprintln(w, printable(fmt.Sprintf("  not read: %s: %s", u.Tag, u.Error)))
	}
	fmt.Fprintf(w, "the key %s vouched for %s\n", a.Key, count(len(a.Vouched), "entry", "entries"))
	bounded(w, a.Vouched, vouchedView.line)
	for _, role := range sortedKeys(a.Carried) {
		fmt.Fprintf(w, "it signed up to %s of %s again, for which others had vouched first\n", count(a.Carried[role], "entry", "entries"), role)
	}
	a.others(w)
	if a.Withdraw != nil {
		a.Withdraw.text(w, a.Published)
	}
	if a.Published != nil {
		fmt.Fprintln(w, a.Published)
	}
}

func (v vouchedView) line() string {
	s := fmt.Sprintf("  %s  %s  %s  %s", v.momentView, v.Role, v.Path, v.Digest)
	switch {
	case v.Withdrawn:
		s += "  withdrawn"
	case !v.Listed:
		s += "  not listed any more"
	}
	if !v.Alone {
		s += "  with enough other keys"
	}
	if v.Before != nil {
		s += fmt.Sprintf("  the digest was vouched for %s by %s as %s", v.Before.momentView, v.Before.Role, v.Before.Path)
	}
	return s
}

// others lists what the key did besides vouching.
func (a auditAnswer) others(w io.Writer) {
	bounded(w, a.Withdrawals, func(n noticeView) string {
		if n.Lifted {
			return fmt.Sprintf("  %s  lifted the withdrawal of %s", n.momentView, n.Digest)
		}
		return fmt.Sprintf("  %s  withdrew %s: %s", n.momentView, n.Digest, n.Reason)
	})
	bounded(w, a.Delegations, func(d trustedView) string {
		return fmt.Sprintf("  %s  the delegation of %s to %s was %s", d.momentView, d.Role, d.To, d.What)
	})
	bounded(w, a.GaveUp, func(m momentView) string { return fmt.Sprintf("  %s  %s gave itself up", m, m.Role) })
	if len(a.Roots) > 0 {
		fmt.Fprintf(w, "it signed root versions %v\n", a.Roots)
	}
	if n := len(a.Sealed); n > 0 {
		fmt.Fprintf(w, "it sealed %s, %d to %d\n", count(n, "state"), slices.Min(a.Sealed), slices.Max(a.Sealed))
	}
}

func (v withdrawView) text(w io.Writer, pub *published) {
	word := "to withdraw"
	if pub != nil {
		word = "withdrawn"
	}
	fmt.Fprintf(w, "%s, by the key alone since state %s: %s\n", word, v.Since, count(len(v.Digests), "artifact"))
	bounded(w, v.Digests, func(d digest.Digest) string { return "  " + d.String() })
	if len(v.Spared) > 0 {
		fmt.Fprintf(w, "left alone: %s should say\n", count(len(v.Spared), "entry: look whether it says what it", "entries: look whether they say what they"))
		bounded(w, v.Spared, func(s sparedView) string { return "  " + s.Path + ": " + s.Why })
	}
	if pub == nil {
		fmt.Fprintln(w, "nothing was changed")
	}
}
