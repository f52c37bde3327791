// Package delegations is the graph of delegated roles, pure: which role is
// trusted with which target path, in which order a search opens roles, where
// it stops, and how hash bins are named. It opens no file and checks no
// signature: its caller does, and feeds what it verified to a [Search].
//
// The rules are those of the TUF specification, 4.5 and 5.6.7, and TAP 15,
// with two additions: the first delegation of targets may be the withdrawal
// role, whose entries deny and never vouch (docs/spec.md, "Withdrawal"), and a
// delegator may demand that several roles list the same (TAP 3's meaning;
// docs/spec.md, "Agreement").
package delegations
