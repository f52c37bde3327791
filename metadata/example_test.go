package metadata_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/carnet-project/carnet/metadata"
)

// Example writes a role's file and reads it: an entry that binds a tag to a
// digest, with a claim, signed with an Ed25519 key.
func Example() {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	key := metadata.Key{Type: "ed25519", Scheme: "ed25519", Public: fmt.Sprintf("%x", private.Public())}

	role := metadata.Targets{Targets: map[string]metadata.Target{}}
	role.Version, role.Expires = 1, time.Date(2027, 11, 23, 0, 0, 0, 0, time.UTC)
	artifact := metadata.NewTarget(1042, "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")
	role.Targets[metadata.TagPath("net-monitor", "1.0")] = artifact.WithStatement(metadata.Statement{Claims: map[string]string{"stage": "prod"}})

	signed := role.Canonical()
	raw := metadata.Seal(signed, []metadata.Signature{{KeyID: key.ID(), Sig: ed25519.Sign(private, signed)}})

	f, err := metadata.Decode("releases", raw)
	if err != nil {
		fmt.Println(err)
		return
	}
	entry := f.Targets.Targets["net-monitor:1.0"]
	said, err := entry.Statement()
	fmt.Println(entry.Hashes.Digest(), entry.Length, said.Claims["stage"], err)
	fmt.Println("signature fits:", ed25519.Verify(private.Public().(ed25519.PublicKey), f.Signed, f.Signatures[0].Sig))

	_, err = metadata.Decode("releases", bytes.Replace(raw, []byte(`"version":1`), []byte(`"version":0`), 1))
	fmt.Println(err)
	// Output:
	// sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae 1042 prod <nil>
	// signature fits: true
	// invalid metadata: releases.signed: version: want an integer from 1, found 0
}

func ExamplePatterns() {
	patterns, err := metadata.Patterns("networking/monitors/a/b/c/d/**")
	fmt.Println(patterns, err)
	_, err = metadata.Patterns("team-*/**")
	fmt.Println(err)
	// Output:
	// [networking/monitors/a/b/c/d:* networking/monitors/a/b/c/d@* networking/monitors/a/b/c/d/* networking/monitors/a/b/c/d/*/*] <nil>
	// invalid target path: "team-*/**": "**" stands alone or after NAME/ only: in a pattern of TUF no wildcard crosses a slash
}

func ExampleNotice_Entry() {
	n := &metadata.Notice{
		Digest: "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
		Reason: "signed by a stolen key", ReplacedBy: "net-monitor:1.1", At: time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC),
	}
	entry := n.Entry()
	fmt.Println(metadata.WithdrawnPath(n.Digest))
	fmt.Println(entry.Length == int64(len(n.Canonical())), entry.Hashes.Verify(n.Canonical()))
	// Output:
	// withdrawn@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
	// true <nil>
}
