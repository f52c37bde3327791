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
//
// A publication is read and written by [Trust], artifacts and their referrers
// are read by [Artifacts], and [Registries.Doctor] finds out what a registry
// can do. Reading costs one request when nothing changed ([Trust.Open]), and
// one parallel batch when something did ([Trust.Prefetch]); resolving a tag
// costs one HEAD.
//
// Reads, and writes that may be made twice, are repeated within the context's
// deadline, and Retry-After is waited for as long as that lets. A write whose
// answer is lost is looked for before it is made again. The tag latest is
// written once, since a late second write could move it back.
//
// With [Options].Offline no socket is opened: a registry is what the cache
// remembers of it, and image layouts are read as ever.
package registrystore
