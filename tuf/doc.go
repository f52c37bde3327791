// Package tuf has the two workflows of The Update Framework for one publisher:
// the client, which turns untrusted bytes into trusted metadata, and the
// repository, in which a publisher edits, signs and publishes. Both run over
// whatever serves and keeps files: a registry or image layout (package
// registrystore), plain HTTP ([HTTPSource]), or a [Source] of your own.
//
// # Client
//
// A [Client] starts from a root that was pinned out of band, never from what
// a network says, and from what a [Store] kept of earlier updates. Refresh
// asks all sources, walks the chain of roots to its end, takes the newest
// timestamp that is valid under it, then the snapshot and the targets that
// follow from it (TUF 5.3 to 5.6). [Client.Lookup] searches the delegations for
// a target path; each delegation is verified with the keys of the role that
// makes it. Every rule is on: nothing here can switch off a check but
// AllowExpired and MaxStaleness, which say what they do.
//
//	store, err := tuf.NewFolderStore(dir)
//	source, err := tuf.NewHTTPSource("https://example.com/metadata/", nil)
//	client, err := tuf.NewClient(tuf.Options{Root: pinned, Store: store, Sources: []tuf.Source{source}, Now: time.Now()})
//	if err := client.Refresh(ctx, "net-monitor:1.0"); err != nil { … }
//	found, err := client.Lookup(ctx, "net-monitor:1.0")
//
// What an update ends with says what to do. [ErrUnreachable] is no verdict: ask
// again. [ErrRollback], [ErrThreshold] and [ErrInvalid] say that somebody offers
// what the publisher did not sign or took back; [ErrExpired] that nobody refreshed
// it, or that newer metadata is held back. What went wrong with one source while
// another was good is in [Client.Notes]. A client never tells what a path's
// absence means: that nobody vouches for it is a [Finding], not an error.
//
// # Repository
//
// A [Repository] reads like a client, lets the caller change a [Draft] (targets,
// delegations, keys), signs what changed with the keys at hand, and commits a
// [Publication] to a [Journal]. Writers need no lock and no server: a writer
// announces its draft, looks for others', joins what it lacks, and seals the
// result with a timestamp; what was acknowledged is never lost. Before anything
// is committed the client's own rules judge it.
//
// Keys are [Signer] values from a [Keyring]; [SoftKey] is one in memory. Where
// each rule of the specification is enforced is in docs/spec-coverage.md.
package tuf
