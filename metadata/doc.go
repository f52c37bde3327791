// Package metadata holds Carnet's formats and nothing else: TUF's files with
// Carnet's signed extensions, target paths, notices, media types and limits.
// It is pure: bytes in, values or an error out. It verifies no signature and
// decides nothing.
//
// [Decode] turns the bytes of one file into a [File]. It is strict: UTF-8, no
// duplicate names, integers only, TUF's types and ranges, no extension that
// says a newer reader is needed. Members that are not known are kept, so that
// a file of another tool can be edited and signed again without loss.
//
//	f, err := metadata.Decode(metadata.RoleTargets, raw)
//	if err != nil { … }                // wraps ErrInvalid, says which field
//	entry, ok := f.Targets.Targets["net-monitor:1.0"]
//
// To write, change a [Root], [Timestamp], [Snapshot] or [Targets], take its
// Canonical bytes, have them signed, and [Seal] both into a file. The bytes to
// verify are [File.Signed]: the canonical form of what was received, in place
// where it was canonical already.
//
// What Carnet adds stands in members called "carnet": [RootExtension],
// [TimestampExtension], [SnapshotExtension], [Delegation.Purpose],
// [Targets.Revoked], and the [Statement] and [Notice] of a target. Other TUF
// clients pass over them, and verify the files all the same.
//
// The formats are described in docs/spec.md.
package metadata
