package registrystore

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

var update = flag.Bool("update", false, "write the examples of docs/spec.md anew")

const specFile = "../docs/spec.md"

// block is one example: its marker, and below it the fenced text, if it is
// there already.
var block = regexp.MustCompile("(?s)<!-- example: ([a-z]+) -->\n(```[a-z]*\n(.*?)\n```\n)?")

// The worked example of docs/spec.md is what the code writes.
func TestSpecificationExampleIsWritten(t *testing.T) {
	want := example(t)
	raw, err := os.ReadFile(specFile)
	require.NoError(t, err)
	found := 0
	out := block.ReplaceAllStringFunc(string(raw), func(s string) string {
		found++
		m := block.FindStringSubmatch(s)
		text, ok := want[m[1]]
		require.True(t, ok, m[1])
		if !*update {
			assert.Equal(t, text, m[3], "%s: run the test with -update", m[1])
		}
		return fmt.Sprintf("<!-- example: %s -->\n```json\n%s\n```\n", m[1], text)
	})
	assert.Equal(t, len(want), found)
	if *update {
		require.NoError(t, os.WriteFile(specFile, []byte(out), 0o644))
	}
}

// The worked example of docs/spec.md, as it stands there, is read: the
// manifest is a state, and a client that pins the root verifies all of it.
func TestSpecificationExampleIsRead(t *testing.T) {
	raw, err := os.ReadFile(specFile)
	require.NoError(t, err)
	blocks := map[string]string{}
	for _, m := range block.FindAllStringSubmatch(string(raw), -1) {
		blocks[m[1]] = m[3]
	}
	compact := func(name string) []byte {
		var b bytes.Buffer
		require.NoError(t, json.Compact(&b, []byte(blocks[name])), name)
		return b.Bytes()
	}
	pub, err := decodeState(compact("manifest"))
	require.NoError(t, err)
	for _, f := range pub.Files() {
		assert.Equal(t, f.Digest, digest.FromBytes(compact(f.Role)), f.Role)
		assert.Equal(t, f.Length, int64(len(compact(f.Role))), f.Role)
	}
	tag, ok := parseTag(strings.Trim(blocks["tag"], `"`))
	require.True(t, ok)
	assert.Equal(t, tuf.Entry{Tag: tag.Tag, Root: 1, Version: 3, Digest: pub.Identity()[:12]}, tag)

	c, err := tuf.NewClient(tuf.Options{
		Root: compact("root"), Store: tuf.MemoryStore{}, Sources: []tuf.Source{&files{compact}}, Now: exampleTime.Add(time.Minute),
	})
	require.NoError(t, err)
	require.NoError(t, c.Refresh(t.Context()))
	found, err := c.Lookup(t.Context(), "net-monitor:1.0")
	require.NoError(t, err)
	assert.True(t, found.Listed)
	assert.Equal(t, []string{"root", "targets", "releases"}, found.Chain)
	assert.Equal(t, exampleDigest, found.Target.Hashes.Digest())
	notice, err := c.Withdrawn(t.Context(), exampleWithdrawn)
	require.NoError(t, err)
	require.NotNil(t, notice)
	assert.Equal(t, string(compact("notice")), string(notice.Canonical()))
}

// files serves the example's blocks by role.
type files struct{ block func(name string) []byte }

func (*files) String() string { return specFile }
func (f *files) Root(context.Context, int64) ([]byte, error) {
	return nil, tuf.ErrNotFound
}
func (f *files) Timestamp(context.Context) ([]byte, error) { return f.block("timestamp"), nil }
func (f *files) File(_ context.Context, role string, _ metadata.MetaFile) ([]byte, error) {
	return f.block(role), nil
}

const (
	exampleDigest    = digest.Digest("sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae")
	exampleWithdrawn = digest.Digest("sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9")
)

var exampleTime = time.Date(2026, 11, 23, 15, 4, 5, 0, time.UTC)

// exampleKey is made from a seed of 32 equal bytes.
type exampleKey byte

func (k exampleKey) private() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(k)}, ed25519.SeedSize))
}

func (k exampleKey) public() metadata.Key {
	return metadata.Key{Type: "ed25519", Scheme: "ed25519", Public: fmt.Sprintf("%x", k.private().Public())}
}

func (k exampleKey) alone() metadata.RoleKeys {
	return metadata.RoleKeys{KeyIDs: []string{k.public().ID()}, Threshold: 1}
}

func (k exampleKey) file(role string, version int64, signed []byte) tuf.File {
	sig := metadata.Signature{KeyID: k.public().ID(), Sig: ed25519.Sign(k.private(), signed)}
	return tuf.NewFile(role, version, metadata.Seal(signed, []metadata.Signature{sig}))
}

func keysOf(keys ...exampleKey) metadata.Keys {
	out := metadata.Keys{}
	for _, k := range keys {
		out[k.public().ID()] = k.public()
	}
	return out
}

// header is that of a file that lives for days from the example's time.
func header(version int64, days int) metadata.Header {
	return metadata.Header{Version: version, Expires: exampleTime.AddDate(0, 0, days)}
}

// example builds the publication and returns the texts of its blocks.
func example(t *testing.T) map[string]string {
	t.Helper()
	const rootKey, onlineKey, withdrawalKey, releaseKey = exampleKey(1), exampleKey(2), exampleKey(3), exampleKey(4)
	everything, err := metadata.Patterns("**")
	require.NoError(t, err)
	monitor, err := metadata.Patterns("net-monitor")
	require.NoError(t, err)
	pub := &tuf.Publication{}
	pub.Add(rootKey.file("root", 1, (&metadata.Root{
		Header: header(1, 365), ConsistentSnapshot: true, Keys: keysOf(rootKey, onlineKey),
		Roles: map[string]metadata.RoleKeys{
			"root": rootKey.alone(), "targets": rootKey.alone(), "snapshot": onlineKey.alone(), "timestamp": onlineKey.alone(),
		},
		Carnet: &metadata.RootExtension{
			ID: "6d1f3a0c9b8e47d2a5c6e7f801234567", Name: "Wabbit Networks", Refreshers: onlineKey.alone().KeyIDs,
			Expiry: map[string]time.Duration{"timestamp": 24 * time.Hour},
		},
	}).Canonical()))
	pub.Add(rootKey.file("targets", 1, (&metadata.Targets{
		Header: header(1, 365),
		Delegations: &metadata.Delegations{Keys: keysOf(withdrawalKey, releaseKey), Roles: []metadata.Delegation{
			{Name: "revocations", RoleKeys: withdrawalKey.alone(), Paths: everything, Purpose: metadata.PurposeWithdrawal},
			{Name: "releases", RoleKeys: releaseKey.alone(), Paths: monitor},
		}},
	}).Canonical()))
	entry := metadata.NewTarget(1042, exampleDigest).WithStatement(metadata.Statement{
		ArtifactType: "application/vnd.oci.image.config.v1+json", MediaType: "application/vnd.oci.image.manifest.v1+json",
		Signed: exampleTime, Claims: map[string]string{"stage": "prod"},
	})
	releases := releaseKey.file("releases", 2, (&metadata.Targets{Header: header(2, 365), Targets: map[string]metadata.Target{
		metadata.TagPath("net-monitor", "1.0"): entry, metadata.DigestPath("net-monitor", exampleDigest): entry,
	}}).Canonical())
	releases.Patterns = monitor
	notice := &metadata.Notice{
		Digest: exampleWithdrawn, Reason: "built on a compromised machine", By: "security team", At: exampleTime,
		Advisory: "CVE-2026-1234", ReplacedBy: "net-monitor:1.0",
	}
	revocations := withdrawalKey.file("revocations", 2, (&metadata.Targets{Header: header(2, 365), Targets: map[string]metadata.Target{
		metadata.WithdrawnPath(exampleWithdrawn): notice.Entry(),
	}}).Canonical())
	revocations.Patterns = everything
	pub.Add(releases)
	pub.Add(revocations)
	meta := map[string]metadata.MetaFile{}
	for _, f := range append(pub.Roles, pub.Targets) {
		meta[f.Role] = metadata.NewMetaFile(f.Version, f.Data)
	}
	pub.Add(onlineKey.file("snapshot", 3, (&metadata.Snapshot{
		Header: header(3, 7), Meta: meta,
		Carnet: &metadata.SnapshotExtension{Parents: []metadata.Parent{
			{Version: 2, ID: strings.Repeat("2b", 32)}, {Version: 1, ID: strings.Repeat("1a", 32)},
		}, Root: metadata.Parent{Version: 1, ID: pub.Roots[0].Digest.Encoded()}},
	}).Canonical()))
	pub.Add(onlineKey.file("timestamp", 3, (&metadata.Timestamp{
		Header: header(3, 1), Snapshot: metadata.NewMetaFile(3, pub.Snapshot.Data), Carnet: &metadata.TimestampExtension{Issued: exampleTime},
	}).Canonical()))
	return texts(t, pub, notice)
}

func texts(t *testing.T, pub *tuf.Publication, notice *metadata.Notice) map[string]string {
	t.Helper()
	bare := *pub
	out := map[string]string{
		"notice": string(notice.Canonical()), "tag": fmt.Sprintf("%q", stateTag(1, 3, pub.Identity())),
	}
	for _, f := range pub.Files() {
		out[f.Role] = indented(t, f.Data)
	}
	for _, f := range []*tuf.File{&bare.Timestamp, &bare.Snapshot, &bare.Targets, &bare.Roots[0], &bare.Roles[0], &bare.Roles[1]} {
		f.Data = nil
	}
	manifest, err := encodeState(&bare)
	require.NoError(t, err)
	out["manifest"] = indented(t, manifest)
	return out
}

func indented(t *testing.T, raw []byte) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, raw, "", "  "))
	return b.String()
}
