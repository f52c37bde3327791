package main

import (
	"net/url"
	"runtime/debug"
	"strings"

	"github.com/opencontainers/go-digest"
)

// sbom is a CycloneDX 1.6 bill of materials, as far as a Go program's build
// information (what go version -m prints) can fill it. That information lists
// modules and not who needs whom, so there is no dependency graph; nothing in
// it is random, so that the same program has the same SBOM.
type sbom struct {
	Format     string       `json:"bomFormat"`
	Spec       string       `json:"specVersion"`
	Version    int          `json:"version"`
	Metadata   sbomMetadata `json:"metadata"`
	Components []component  `json:"components"`
}

type sbomMetadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Hashes     []sbomHash `json:"hashes,omitempty"`
	PURL       string     `json:"purl"`
	Properties []property `json:"properties,omitempty"`
}

type sbomHash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// newSBOM describes the program with that digest.
func newSBOM(info *debug.BuildInfo, program digest.Digest) sbom {
	main := library(&info.Main)
	main.Type = "application"
	main.Hashes = []sbomHash{{"SHA-256", program.Encoded()}}
	for _, s := range info.Settings {
		main.Properties = append(main.Properties, property{"go:build:" + s.Key, s.Value})
	}
	std := library(&debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")})
	out := sbom{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: sbomMetadata{main}, Components: []component{std}}
	for _, m := range info.Deps {
		out.Components = append(out.Components, dependency(m))
	}
	return out
}

// library describes one module. Its checksum in go.sum's form is no hash of a
// file, so it is a property.
func library(m *debug.Module) component {
	c := component{Type: "library", Name: m.Path, Version: m.Version, PURL: purl(m)}
	c.Ref = c.PURL
	if m.Sum != "" {
		c.Properties = append(c.Properties, property{"go:sum", m.Sum})
	}
	return c
}

// dependency describes what stands in the program for m: m itself, the module
// that replaces it, or a folder, which has no name but m's.
func dependency(m *debug.Module) component {
	if m.Replace == nil {
		return library(m)
	}
	if m.Replace.Version != "" {
		return library(m.Replace)
	}
	c := library(m)
	c.Properties = append(c.Properties, property{"go:replaced-by", m.Replace.Path})
	return c
}

// purl names a module as package-url's type golang does: in lower case.
func purl(m *debug.Module) string {
	segments := strings.Split(strings.ToLower(m.Path), "/")
	for i, s := range segments {
		segments[i] = url.PathEscape(s)
	}
	out := "pkg:golang/" + strings.Join(segments, "/")
	if m.Version != "" {
		out += "@" + strings.ReplaceAll(url.PathEscape(m.Version), "+", "%2B")
	}
	return out
}

// platform returns what the program was built for.
func platform(info *debug.BuildInfo) (goos, goarch string) {
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS":
			goos = s.Value
		case "GOARCH":
			goarch = s.Value
		}
	}
	return goos, goarch
}
