package registrystore_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/registrystore"
)

var (
	hex64     = strings.Repeat("0123456789abcdef", 4)
	hexDigest = digest.Digest("sha256:" + hex64)
)

func TestParseReference(t *testing.T) {
	for in, want := range map[string]registrystore.Reference{
		"registry.example/net-monitor:1.0":          {Repository: registrystore.Repository{Host: "registry.example", Name: "net-monitor"}, Tag: "1.0"},
		"registry.example:443/x:1":                  {Repository: registrystore.Repository{Host: "registry.example:443", Name: "x"}, Tag: "1"},
		"[::1]/x:1":                                 {Repository: registrystore.Repository{Host: "[::1]", Name: "x"}, Tag: "1"},
		"localhost/x:1":                             {Repository: registrystore.Repository{Host: "localhost", Name: "x"}, Tag: "1"},
		"[::1]:5000/x:1":                            {Repository: registrystore.Repository{Host: "[::1]:5000", Name: "x"}, Tag: "1"},
		"registry.example:5000/a/b@sha256:" + hex64: {Repository: registrystore.Repository{Host: "registry.example:5000", Name: "a/b"}, Digest: hexDigest},
		"registry.example/a:1@sha256:" + hex64:      {Repository: registrystore.Repository{Host: "registry.example", Name: "a"}, Tag: "1", Digest: hexDigest},
		"oci:/tmp/dir/net-monitor:1.0":              {Repository: registrystore.Repository{Dir: "/tmp/dir/net-monitor", Name: "net-monitor"}, Tag: "1.0"},
		"oci:dir:1.0@sha256:" + hex64:               {Repository: registrystore.Repository{Dir: "dir", Name: "dir"}, Tag: "1.0", Digest: hexDigest},
		"oci:/tmp/a@b/net-monitor:1.0":              {Repository: registrystore.Repository{Dir: "/tmp/a@b/net-monitor", Name: "net-monitor"}, Tag: "1.0"},
		"oci:/tmp/a@b/net-monitor@sha256:" + hex64:  {Repository: registrystore.Repository{Dir: "/tmp/a@b/net-monitor", Name: "net-monitor"}, Digest: hexDigest},
		"oci:/tmp/a:b/net-monitor:1.0":              {Repository: registrystore.Repository{Dir: "/tmp/a:b/net-monitor", Name: "net-monitor"}, Tag: "1.0"},
	} {
		t.Run(in, func(t *testing.T) {
			got, err := registrystore.ParseReference(in, "")
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, in, got.String())
		})
	}
}

func TestMalformedReferences(t *testing.T) {
	for _, in := range []string{
		"", "net-monitor:1.0", "library/ubuntu:1.0", "registry.example", "registry.example/", "registry.example/x", "registry.example/x:", "registry.example/X:1",
		"registry.example/x:1 0", "registry.example/x:-1", "registry.example/x@sha256:abc", "registry.example/x@sha512:" + hex64 + hex64, "registry.example/x@" + hex64,
		"registry.example/x@sha256:" + strings.ToUpper(hex64), "registry.example/../x:1", "registry.example//x:1", "https://registry.example/x:1", "u:p@registry.example/x:1",
		"oci:", "oci::1", "oci:/:1", "oci:dir", "oci:Dir:1", "registry.example/withdrawn:1", "registry.example/a/b/c/d/e/f/g/h/i:1", "registry.example/x:1@", "registry.example/x:" + strings.Repeat("a", 129),
		"registry.example/x:1\n", "regis try.example/x:1",
		"registry.example./x:1", "registry.example.:5000/x:1", "registry..example/x:1", ".example/x:1", "./x:1", "../x:1", ":5000/x:1",
		"registry.example:/x:1", "registry.example:0443/x:1", "registry.example:http/x:1", "registry.example:65536/x:1", "registry.example:0/x:1", "[::1]:/x:1",
	} {
		_, err := registrystore.ParseReference(in, "")
		require.ErrorIs(t, err, registrystore.ErrReference, "%q", in)
	}
}

func TestLayoutRoot(t *testing.T) {
	root := t.TempDir()
	r, err := registrystore.ParseReference("oci:"+root+"/team/net-monitor:1.0", root)
	require.NoError(t, err)
	require.Equal(t, "team/net-monitor", r.Name)
	require.Equal(t, "oci:team/net-monitor", r.Scope())
	for _, in := range []string{root, root + "/..", root + "/../other"} {
		_, err := registrystore.ParseRepository("oci:"+in, root)
		require.ErrorIs(t, err, registrystore.ErrReference)
	}
	_, err = registrystore.ParseRepository("oci:"+root+"/..names", root)
	require.ErrorIs(t, err, registrystore.ErrReference, "no repository name")
}

func TestScope(t *testing.T) {
	r, err := registrystore.ParseReference("registry.example:5000/a/b:1", "")
	require.NoError(t, err)
	require.Equal(t, "registry.example:5000/a/b", r.Scope())
}
