package main

import (
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/revocation"
)

// revokedKey is the answer of revoke key; published is null after a dry run.
type revokedKey struct {
	Key       string       `json:"key"`
	Impact    []impactView `json:"impact"`
	Needs     []needView   `json:"needs"`
	Effects   []effectView `json:"effects"`
	Refused   *string      `json:"refused"` // why it cannot be done
	Published *published   `json:"published"`

	identity string
}

// impactView is what revoking a key means for one role, as it is shown.
type impactView struct {
	Role      string `json:"role"`
	Delegator string `json:"delegator"`
	Threshold int    `json:"threshold"`
	Remaining int    `json:"remaining"`
	AtHand    int    `json:"atHand"`
	Signed    bool   `json:"signed"`
	Alone     bool   `json:"alone"`
	Possible  bool   `json:"possible"`
	// Artifacts are what the role vouches for, and delegates whom it trusts.
	Artifacts []aloneView `json:"artifacts"`
	Delegates []string    `json:"delegates"`
}

// aloneView is an artifact that a role vouches for. Since is the first kept
// state in which it did so by the key's signature and not enough others, null
// if that is not known or others signed.
type aloneView struct {
	Path       string        `json:"path"`
	Digest     digest.Digest `json:"digest"`
	Since      *int64        `json:"since"`
	AtOrBefore bool          `json:"atOrBefore"`
}

// needView is a file that has to be signed.
type needView struct {
	Role   string `json:"role"`
	Want   int    `json:"want"`
	AtHand int    `json:"atHand"`
	Stands bool   `json:"stands"` // the signatures that it has suffice
}

func impactViews(impacts []revocation.Impact) []impactView {
	out := []impactView{}
	for _, i := range impacts {
		v := impactView{
			Role: i.Role, Delegator: i.Delegator, Threshold: i.Threshold, Remaining: i.Remaining, AtHand: i.AtHand,
			Signed: i.Signed, Alone: i.Alone, Possible: i.Possible(), Artifacts: []aloneView{}, Delegates: append([]string{}, i.Delegates...),
		}
		for _, l := range i.Listings {
			v.Artifacts = append(v.Artifacts, aloneView{Path: l.Path, Digest: l.Digest})
		}
		out = append(out, v)
	}
	return out
}

func needViews(needs []revocation.Need) []needView {
	out := []needView{}
	for _, n := range needs {
		out = append(out, needView{n.Role, n.Want, n.Have, n.Stands})
	}
	return out
}

// since adds, from the kept history, since when the key alone vouched. That
// the history cannot be read hinders nothing.
func (r *revokedKey) since(ctx context.Context, p *publisher) {
	found, err := p.audit(ctx, r.Key)
	if err != nil {
		p.c.say("since when is not known, the history cannot be read: %v", err)
		return
	}
	for i := range r.Impact {
		v := &r.Impact[i]
		for j := range v.Artifacts {
			a := &v.Artifacts[j]
			if m, ok := found.AloneSince(v.Role, revocation.Listing{Path: a.Path, Digest: a.Digest}); ok && v.Alone {
				since := m.State.Version()
				a.Since, a.AtOrBefore = &since, m.AtOrBefore
			}
		}
	}
}

// impactText says what the change means, before it is made.
func (r revokedKey) impactText(w io.Writer) {
	for _, i := range r.Impact {
		i.text(w)
	}
	if r.Refused != nil {
		fmt.Fprintf(w, "this cannot be done: %s\n", *r.Refused)
		return
	}
	r.signing(w)
	fmt.Fprintln(w, "what verifiers say of the artifacts concerned:")
	effectText(w, r.Effects)
}

func (r revokedKey) text(w io.Writer) {
	if r.Published == nil {
		r.impactText(w)
		fmt.Fprintln(w, "nothing was changed")
		return
	}
	if r.Published.Changed {
		fmt.Fprintf(w, "the key %s is revoked\n", r.Key)
	}
	fmt.Fprintln(w, r.Published)
}

// signing says what has to be signed, and whether that can be done here.
func (r revokedKey) signing(w io.Writer) {
	for _, n := range r.Needs {
		switch {
		case n.Stands:
			fmt.Fprintf(w, "%s stands as it is signed\n", n.Role)
		case n.AtHand >= n.Want:
			fmt.Fprintf(w, "%s has to be signed again by %s at hand\n", n.Role, count(n.Want, "key, which is", "keys, which are"))
		default:
			fmt.Fprintf(w, "%s has to be signed again by %s, %d of them at hand: others have to sign\n", n.Role, count(n.Want, "key"), n.AtHand)
		}
	}
}

func (i impactView) text(w io.Writer) {
	fmt.Fprintf(w, "role %s, delegated by %s: %s of a threshold of %d, %d of them at hand\n", i.Role, i.Delegator, count(i.Remaining, "key remains", "keys remain"), i.Threshold, i.AtHand)
	for _, name := range i.Delegates {
		fmt.Fprintf(w, "  it delegates to %s\n", name)
	}
	switch {
	case len(i.Artifacts) == 0:
	case i.Alone:
		fmt.Fprintf(w, "  by this key's signature alone it vouches for %s:\n", count(len(i.Artifacts), "artifact"))
		bounded(w, i.Artifacts, aloneView.line)
	case i.Signed:
		fmt.Fprintf(w, "  it vouches for %s, by this key's signature and enough others\n", count(len(i.Artifacts), "artifact"))
	default:
		fmt.Fprintf(w, "  it vouches for %s, without this key's signature\n", count(len(i.Artifacts), "artifact"))
	}
}

func (a aloneView) line() string {
	switch {
	case a.Since == nil:
		return "    " + a.Path
	case a.AtOrBefore:
		return fmt.Sprintf("    %s since state %d, or before", a.Path, *a.Since)
	}
	return fmt.Sprintf("    %s since state %d", a.Path, *a.Since)
}
