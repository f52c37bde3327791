package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/metadata"
)

// carried is a copy that another tool makes of a shipment.
type carried struct {
	t    *testing.T
	p    *peers
	s    shipment
	tag  string
	desk *desk              // of who copies
	at   *fixtures.Registry // where it arrives
	repo *remote.Repository // there
	now  digest.Digest      // what the tag names there

	found peerRow
}

func newCarried(t *testing.T, p *peers, row peerRow, kind, from string, to *fixtures.Registry) *carried {
	c := &carried{t: t, p: p, at: to, found: peerRow{command: row.command, of: kind, from: "any"}}
	for tag, s := range p.shipments {
		if s.kind == kind {
			c.s, c.tag = s, tag
		}
	}
	require.NotEmpty(t, c.tag, "nothing is %q", kind)
	between := to
	if strings.Contains(row.command, "$C/") {
		between = fixtures.Registry11(t)
	}
	c.desk = newDesk(t, p, "A="+from, "B="+local(between.Host), "C="+local(to.Host), "TAG="+c.tag, "EVIDENCE="+p.evidenceTag(c.s.top.Digest))
	c.desk.must("carnet trust add wabbit " + p.dev.Host + "/trust --root-digest " + p.root)
	name := "net-monitor"
	if m := regexp.MustCompile(`\$[BC]/([a-z/-]+):\$TAG$`).FindStringSubmatch(row.command); m != nil {
		name = m[1]
	}
	c.repo = repositoryAt(t, to.Host+"/"+name)
	return c
}

func repositoryAt(t *testing.T, name string) *remote.Repository {
	r, err := remote.NewRepository(name)
	require.NoError(t, err)
	r.PlainHTTP = true
	return r
}

// publisherHash returns what ends the tags of the evidence in a repository
// that has but one publisher's.
func publisherHash(t *testing.T, repo *remote.Repository) (hash string) {
	evidence := regexp.MustCompile(`^trust\.[0-9a-f]{64}\.([0-9a-f]{12})$`)
	require.NoError(t, repo.Tags(t.Context(), "", func(tags []string) error {
		for _, tag := range tags {
			if m := evidence.FindStringSubmatch(tag); m != nil {
				hash = m[1]
			}
		}
		return nil
	}))
	require.NotEmpty(t, hash)
	return hash
}

// evidenceTag is the tag of the evidence for subject.
func (p *peers) evidenceTag(subject digest.Digest) string {
	return "trust." + subject.Encoded() + "." + p.hash
}

// measure finds out what arrived, with oras-go: what Carnet would find is not
// asked.
func (c *carried) measure() {
	ctx := c.t.Context()
	got, err := c.repo.Resolve(ctx, c.tag)
	require.NoError(c.t, err)
	c.now = got.Digest
	c.found.digest = "another"
	switch {
	case c.now == c.s.top.Digest:
		c.found.digest = "same"
	case slices.Contains(c.s.subjects(), c.now):
		c.found.digest = "one platform's"
	}
	var referrers, all, vouched []digest.Digest
	for _, s := range c.s.subjects() {
		for _, d := range c.listed(s) {
			if c.s.referrers[d] == s {
				referrers = append(referrers, d)
			}
			if c.isTrust(d, s) {
				vouched = append(vouched, s)
			}
		}
		if d, err := c.repo.Resolve(ctx, c.p.evidenceTag(s)); err == nil && c.isTrust(d.Digest, s) {
			vouched = append(vouched, s)
		}
	}
	for d := range c.s.referrers {
		all = append(all, d)
	}
	c.found.referrers = some(referrers, all, "")
	c.found.evidence = some(vouched, c.s.subjects(), c.s.top.Digest)
	c.found.needs = c.needs()
}

// listed returns the referrers of subject that any client finds.
func (c *carried) listed(subject digest.Digest) []digest.Digest {
	list, err := registry.Referrers(c.t.Context(), c.repo, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject}, "")
	require.NoError(c.t, err)
	var out []digest.Digest
	for _, d := range list {
		out = append(out, d.Digest)
	}
	return out
}

// isTrust reports whether a manifest is there, and is evidence for subject.
func (c *carried) isTrust(d, subject digest.Digest) bool {
	desc, err := c.repo.Resolve(c.t.Context(), d.String())
	if err != nil {
		return false
	}
	rc, err := c.repo.Fetch(c.t.Context(), desc)
	require.NoError(c.t, err)
	defer rc.Close()
	m := ocispec.Manifest{Subject: &ocispec.Descriptor{}}
	require.NoError(c.t, json.NewDecoder(rc).Decode(&m))
	return m.ArtifactType == metadata.ArtifactTypeTrust && m.Annotations[metadata.AnnotationPublisher] == c.p.hash && m.Subject.Digest == subject
}

// Words of the last column.
const (
	needsRoot       = "the root"
	needsStrip      = "the root, and `strip`"
	needsRepository = "a trust repository"
	needsDigest     = "a trust repository, and the digest"
	needsSignature  = "a new signature"
)

// needs finds out what a verifier needs that knows nothing: the first that
// suffices.
func (c *carried) needs() string {
	const renamed = "  - {name: renamed, "
	require.Contains(c.t, c.p.policy, renamed)
	before, _, _ := strings.Cut(c.p.policy, renamed)
	repository := c.knows(c.p.dev.Host + "/trust")
	switch {
	case c.allows(c.alone(before), "--policy policy.yaml", c.byTag()):
		return needsRoot
	case c.allows(c.alone(c.p.policy), "--policy policy.yaml", c.byTag()):
		return needsStrip
	case c.allows(repository, "--publisher wabbit", c.byTag()):
		return needsRepository
	case c.allows(repository, "--publisher wabbit", c.byDigest()):
		return needsDigest
	}
	return needsSignature
}

func (c *carried) byTag() string { return c.name() + ":" + c.tag }

func (c *carried) byDigest() string { return c.name() + "@" + c.now.String() }

func (c *carried) name() string { return c.at.Host + "/" + c.repo.Reference.Repository }

// alone is a verifier that has the publisher's root and the policy, and knows
// of no trust repository.
func (c *carried) alone(policy string) *desk {
	d := newDesk(c.t, c.p)
	root, err := os.ReadFile(filepath.Join(c.p.home.home, "site", "metadata", "1.root.json"))
	require.NoError(c.t, err)
	d.write("wabbit-root.json", string(root))
	d.write("policy.yaml", strings.ReplaceAll(policy, "registry.example", c.at.Host))
	return d
}

// knows is a verifier that pins the publisher with one trust repository.
func (c *carried) knows(trust string) *desk {
	d := newDesk(c.t, c.p)
	d.must("carnet trust add wabbit " + trust + " --root-digest " + c.p.root)
	return d
}

func (c *carried) allows(d *desk, flags, ref string) bool {
	out, err := d.run("carnet verify " + flags + " " + ref)
	c.t.Log(out)
	return err == nil
}

// verify verifies in every way that what is needed can be had in, and sees
// that without it nothing passes.
func (c *carried) verify(needs string) {
	switch needs {
	case needsRoot, needsStrip:
		f := c.at.Inject(fixtures.Fault{On: evidence, Then: fixtures.Status(http.StatusNotFound)})
		defer f.Remove()
		require.False(c.t, c.allows(c.alone(c.p.policy), "--policy policy.yaml", c.byTag()), "without the evidence")
	case needsRepository:
		require.True(c.t, c.allows(c.knows(c.p.mirror), "--publisher wabbit", c.byTag()), "by a mirror")
		require.True(c.t, c.allows(c.p.remembers.of(c.t), "--offline --publisher wabbit", c.byDigest()), "by what the machine remembers")
	case needsDigest:
		require.True(c.t, c.allows(c.knows(c.p.mirror), "--publisher wabbit", c.byDigest()), "by a mirror")
	}
}

// of lends a desk to a test.
func (d *desk) of(t *testing.T) *desk { return &desk{t: t, home: d.home, env: d.env} }

// evidence matches the requests by which attachments are found.
func evidence(r *http.Request) bool {
	for _, part := range []string{"/referrers/", "/manifests/sha256-", "/manifests/trust."} {
		if strings.Contains(r.URL.Path, part) {
			return true
		}
	}
	return false
}
