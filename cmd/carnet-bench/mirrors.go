package main

import (
	"fmt"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/promotion"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

const (
	mirrors       = 5
	syncUnchanged = "sync, nothing new, 5 mirrors"
	syncRelease   = "sync of a release, 5 mirrors"
	attachRelease = "attach trust to each image, 5 mirrors"
	signRelease   = "one signature an image, 5 mirrors"
	signatureType = "application/vnd.example.signature"
)

// mirroring measures how the signatures of a release of many images reach
// mirrors: by its publisher's trust repository, by an attachment to each image,
// and by a signature, a manifest and a blob, for each image. Requests and bytes
// are those of both sides.
func (w *world) mirroring() []row {
	images := w.artifacts[:min(w.opts.images, len(w.artifacts))]
	at := fixtures.Distribution(w)
	regs := w.cached()
	store := tuf.MemoryStore{}
	sync := func() {
		for i := range mirrors {
			m := promotion.Mirror{Root: w.publisher.Root, Store: store, Now: w.publisher.Now, From: w.trust(regs, w.publisher.Trust), To: w.trust(regs, fmt.Sprintf("%s/mirror-%d/trust", at.Host, i))}
			_, err := m.Sync(w.Context())
			require.NoError(w, err)
		}
	}
	sync()
	unchanged := w.moves(syncUnchanged, at, sync)
	_, err := w.publisher.Vouch(tuf.Vouching{Role: "releases", Claims: map[string]string{"release": "2"}}, images...)
	require.NoError(w, err)
	release := w.moves(syncRelease, at, sync)
	return []row{unchanged, release, w.moves(attachRelease, at, w.attaching(regs, at, images)), w.moves(signRelease, at, func() {
		for i := range mirrors {
			repo := at.Repository(w, fmt.Sprintf("mirror-%d/signed", i))
			for _, a := range images {
				repo.PushReferrer(w, ocispec.Descriptor{MediaType: a.MediaType, Digest: a.Digest, Size: a.Size}, signatureType, "a signature of "+a.Digest.String())
			}
		}
	})}
}

// attaching attaches the publisher's newest state to each image.
func (w *world) attaching(regs *registrystore.Registries, at *fixtures.Registry, images []tuf.Artifact) func() {
	trust := w.trust(regs, w.publisher.Trust)
	require.NoError(w, trust.Open(w.Context()))
	p := tuf.Publication{}
	for _, f := range trust.Publication().Files() {
		raw, err := trust.Fetch(w.Context(), f)
		require.NoError(w, err)
		f.Data = raw
		p.Add(f)
	}
	return func() {
		for i := range mirrors {
			repo, err := registrystore.ParseRepository(fmt.Sprintf("%s/mirror-%d/attached", at.Host, i), "")
			require.NoError(w, err)
			to, err := regs.Artifacts(repo)
			require.NoError(w, err)
			for _, a := range images {
				_, _, err := to.Attach(w.Context(), ocispec.Descriptor{MediaType: a.MediaType, Digest: a.Digest, Size: a.Size}, "00000000000000000000000000000000", &p)
				require.NoError(w, err)
			}
		}
	}
}

func (w *world) trust(regs *registrystore.Registries, name string) *registrystore.Trust {
	t, err := regs.OpenTrust(name)
	require.NoError(w, err)
	return t
}

// moves measures f once, at both registries.
func (w *world) moves(name string, at *fixtures.Registry, f func()) row {
	at.Reset()
	w.registry.Reset()
	start := time.Now()
	f()
	r := row{name: name, rounds: -1, wall: []time.Duration{time.Since(start)}, cpu: -1, mallocs: -1, allocated: -1}
	for _, reg := range []*fixtures.Registry{at, w.registry} {
		sent, received := reg.Bytes()
		r.requests, r.bytes = r.requests+int64(len(reg.Requests())), r.bytes+sent+received
	}
	return r
}
