// Package registrystore keeps and finds things in OCI registries and image
// layouts: the publications of trust repositories, and the artifacts that
// they vouch for. It is the only room that knows oras-go.
//
//	regs, err := registrystore.New(registrystore.Options{}, registrystore.OpenCache(dir))
//	trust, err := regs.OpenTrust("registry.example/trust")
//	client, err := tuf.NewClient(tuf.Options{Root: pinned, Sources: []tuf.Source{trust}, …})
//
// It believes nothing that it reads: every read is bounded, every byte that
// has a digest is checked against it, tags and annotations decide nothing.
// What it could not do is an [*Error], which is never a statement about trust.
package registrystore
