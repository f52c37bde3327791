package verify

import (
	"fmt"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
)

// AttachmentHint is what a trust attachment says of itself, unsigned: to be
// shown, and to be believed by nobody.
type AttachmentHint struct {
	// Publisher is this verifier's name of the publisher, nil if it is none of
	// those that were asked.
	Publisher *string `json:"publisher"`
	// Hash stands for the publisher's id.
	Hash string `json:"publisherHash"`
	// Version is that of its root and of its snapshot, with a dot between.
	Version string `json:"version"`
}

func hintOf(a *registrystore.Artifact) *AttachmentHint {
	return &AttachmentHint{Hash: a.Annotations[metadata.AnnotationPublisher], Version: a.Annotations[metadata.AnnotationVersion]}
}

func (h *AttachmentHint) text() string {
	who := "of " + or(clipped(h.Hash), "nobody known")
	if h.Publisher != nil {
		who = "of " + *h.Publisher
	}
	return fmt.Sprintf(" %s, state %s, by its own account", who, or(clipped(h.Version), "-"))
}

// name names the publishers of attachments as this verifier does.
func (v *Verifier) name(top *Node) {
	names := map[string]string{}
	for _, pin := range v.opts.Policy.Publishers {
		if id, err := pin.ID(); err == nil {
			names[registrystore.PublisherHash(id)] = pin.Name
		}
	}
	for _, n := range top.all() {
		if h := n.Attachment; h != nil && names[h.Hash] != "" {
			name := names[h.Hash]
			h.Publisher = &name
		}
	}
}
