package main

import (
	"runtime/debug"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/assert"
)

// built is the build information of a program that has one of everything.
func built() *debug.BuildInfo {
	return &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Path: "example.com/app", Version: "v1.2.0"},
		Deps: []*debug.Module{
			{Path: "example.com/Good", Version: "v1.0.0+incompatible", Sum: "h1:good="},
			{Path: "example.com/forked", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/fork", Version: "v1.0.1", Sum: "h1:fork="}},
			{Path: "example.com/local", Version: "v1.0.0", Replace: &debug.Module{Path: "../local"}},
			{Path: "example.com/commit", Version: "v0.0.0-20240726163527-a2c0da244d78", Sum: "h1:commit="},
		},
		Settings: []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "arm64"}, {Key: "vcs.modified", Value: "true"}},
	}
}

func TestSBOM(t *testing.T) {
	program := digest.FromString("program")
	s := newSBOM(built(), program)
	assert.Equal(t, "CycloneDX", s.Format)
	assert.Equal(t, "1.6", s.Spec)
	main := s.Metadata.Component
	assert.Equal(t, "application", main.Type)
	assert.Equal(t, "pkg:golang/example.com/app@v1.2.0", main.PURL)
	assert.Equal(t, []sbomHash{{"SHA-256", program.Encoded()}}, main.Hashes)

	var purls []string
	for _, c := range s.Components {
		purls = append(purls, c.PURL)
		assert.Equal(t, "library", c.Type)
		assert.Equal(t, c.PURL, c.Ref)
	}
	assert.Equal(t, []string{
		"pkg:golang/std@1.26.8",
		"pkg:golang/example.com/good@v1.0.0%2Bincompatible",
		"pkg:golang/example.com/fork@v1.0.1",
		"pkg:golang/example.com/local@v1.0.0",
		"pkg:golang/example.com/commit@v0.0.0-20240726163527-a2c0da244d78",
	}, purls)
	assert.Equal(t, []property{{"go:sum", "h1:good="}}, s.Components[1].Properties)
	assert.Equal(t, []property{{"go:replaced-by", "../local"}}, s.Components[3].Properties)
}

func TestScan(t *testing.T) {
	s := newScan(built(), digest.FromString("program"))
	assert.Equal(t, 4, s.Modules)
	var found [][2]string
	for _, f := range s.Findings {
		found = append(found, [2]string{f.Rule, f.Subject})
	}
	assert.Equal(t, [][2]string{
		{"replaced-module", "example.com/forked@v1.0.0"},
		{"replaced-module", "example.com/local@v1.0.0"},
		{"no-checksum", "example.com/local@v1.0.0"},
		{"unreleased-module", "example.com/commit@v0.0.0-20240726163527-a2c0da244d78"},
		{"modified-source", "example.com/app"},
	}, found)
}

func TestPseudoVersions(t *testing.T) {
	for v, want := range map[string]bool{
		"v0.0.0-20240726163527-a2c0da244d78":                true,
		"v1.2.4-0.20240726163527-a2c0da244d78":              true,
		"v2.0.0-rc.1.0.20240726163527-a2c0da244d78":         true,
		"v1.2.4-0.20240726163527-a2c0da244d78+incompatible": true,
		"v1.2.3":      false,
		"v1.2.3-rc.1": false,
	} {
		assert.Equal(t, want, pseudo.MatchString(v), v)
	}
}

func TestPlatform(t *testing.T) {
	goos, goarch := platform(built())
	assert.Equal(t, "linux/arm64", goos+"/"+goarch)
}
