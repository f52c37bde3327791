package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/revocation"
)

// errDryRun ends a change that was only to be looked at.
var errDryRun = errors.New("nothing was to be changed")

// effectView is what a change does to one artifact at one path, as it is
// shown: what a verifier says before and after.
type effectView struct {
	Path   string        `json:"path"`
	Digest digest.Digest `json:"digest"`
	Before word          `json:"before"`
	After  word          `json:"after"`
}

type word struct {
	Reason string  `json:"reason"`
	Role   *string `json:"role"` // that vouches
}

func wordOf(w revocation.Word) word {
	if w.Role == "" {
		return word{Reason: w.Reason}
	}
	return word{w.Reason, &w.Role}
}

func (w word) String() string {
	if w.Role == nil {
		return w.Reason
	}
	return w.Reason + " by " + *w.Role
}

func effectViews(effects []revocation.Effect) []effectView {
	out := make([]effectView, len(effects))
	for i, e := range effects {
		out[i] = effectView{e.Path, e.Digest, wordOf(e.Before), wordOf(e.After)}
	}
	return out
}

// maxShown is how many lines of one kind a text answer lists; JSON has all.
const maxShown = 20

// effectText groups what changes alike, and lists the beginning of each group.
func effectText(w io.Writer, effects []effectView) {
	groups := map[string][]effectView{}
	var order []string
	for _, e := range effects {
		k := fmt.Sprintf("%s before, %s after", e.Before, e.After)
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], e)
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(len(groups[a]), len(groups[b])) })
	for _, k := range order {
		fmt.Fprintf(w, "  %s: %s\n", count(len(groups[k]), "artifact"), k)
		bounded(w, groups[k], func(e effectView) string { return "    " + e.Path })
	}
	if len(effects) == 0 {
		fmt.Fprintln(w, "  no artifact is concerned")
	}
}

// bounded lists the beginning of a long list, and says how much is left out.
func bounded[T any](w io.Writer, list []T, line func(T) string) {
	for _, v := range list[:min(len(list), maxShown)] {
		fmt.Fprintln(w, printable(line(v)))
	}
	if more := len(list) - maxShown; more > 0 {
		fmt.Fprintf(w, "    … and %d more: -o json lists all\n", more)
	}
}
