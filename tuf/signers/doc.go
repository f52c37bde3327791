// Package signers opens private keys that are named by URI, wherever they
// are. It is for programs that publish; those that verify need nothing of it.
//
//	file:PATH       a file, plain or encrypted; PATH is taken as it stands
//	env:NAME        an environment variable: what a file would hold, or its base64
//	pkcs11:…        an object of a token, by RFC 7512; needs the build tag pkcs11
//	NAME://…        whatever the program sigstore-kms-NAME on PATH makes of it
//
// An [Opener] looks a URI up. What it finds is a public key, and where there
// is a private one also a [tuf.Signer]. A key is what its material is: who
// keeps a URI must keep the public key beside it and compare, as
// [tuf.Keystore] does, for an alias can be moved to another key.
//
// No secret is ever part of an error. What other programs and files say is
// bounded before it is read, and contexts end what does not answer.
package signers
