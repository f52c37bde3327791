package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/carnet-project/carnet/verify"
)

func newTrust(c *command) *cobra.Command {
	return group("trust", "Pin the publishers that are trusted", `A publisher is pinned by a root file, or by its digest, that came from the
publisher by a way of its own: nothing is trusted on first use.`, groupVerifier,
		newTrustAdd(c), newTrustList(c), newTrustRemove(c))
}

// pinView is a pinned publisher as it is shown.
type pinView struct {
	Name         string   `json:"name"`
	ID           string   `json:"id"`
	DisplayName  *string  `json:"displayName"`
	Root         string   `json:"root"`
	RootVersion  int64    `json:"rootVersion"`
	Repositories []string `json:"repositories"`
}

func viewPin(p verify.Pin) (pinView, error) {
	root, err := verify.OpenRoot(p.Root)
	if err != nil {
		return pinView{}, err
	}
	v := pinView{
		Name: p.Name, ID: verify.PublisherID(root), Root: p.Digest().String(),
		RootVersion: root.Version, Repositories: p.Repositories,
	}
	if x := root.Root.Carnet; x != nil && x.Name != "" {
		v.DisplayName = &x.Name
	}
	return v, nil
}

func (v pinView) text(w io.Writer) {
	fmt.Fprintf(w, "publisher  %s\nid         %s\n", v.Name, v.ID)
	if v.DisplayName != nil {
		fmt.Fprintf(w, "calls itself %q\n", *v.DisplayName)
	}
	fmt.Fprintf(w, "root       version %d, %s\n", v.RootVersion, v.Root)
	for _, r := range v.Repositories {
		fmt.Fprintf(w, "repository %s\n", r)
	}
}

func (c *command) answerPins(pins []verify.Pin) error {
	views := make([]pinView, len(pins))
	for i, p := range pins {
		var err error
		if views[i], err = viewPin(p); err != nil {
			return err
		}
	}
	return c.answer(views, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for _, v := range views {
			for i, r := range v.Repositories {
				if i == 0 {
					fmt.Fprintf(t, "%s\troot %d\t%s\t%s\n", v.Name, v.RootVersion, v.Root, r)
				} else {
					fmt.Fprintf(t, "\t\t\t%s\n", r)
				}
			}
		}
		_ = t.Flush() // to memory
	})
}
