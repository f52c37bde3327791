package main

import (
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/opencontainers/go-digest"
)

// scan is what a look at a program's build information finds. It says where
// the parts came from and asks no database: it knows nothing of
// vulnerabilities, and says so.
type scan struct {
	Scanner  string        `json:"scanner"`
	Scope    string        `json:"scope"`
	Program  digest.Digest `json:"program"`
	Go       string        `json:"go"`
	Modules  int           `json:"modules"`
	Findings []finding     `json:"findings"`
}

type finding struct {
	Rule    string `json:"rule"`
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
}

// pseudo matches versions that name a commit that was never released
// (go.dev/ref/mod#pseudo-versions).
var pseudo = regexp.MustCompile(`[.-](?:0\.)?[0-9]{14}-[0-9a-f]{12}(?:\+incompatible)?$`)

// newScan looks at the program with that digest.
func newScan(info *debug.BuildInfo, program digest.Digest) scan {
	out := scan{
		Scanner: "carnet-demo", Scope: "Go build information only: origin of modules and build settings, no vulnerabilities",
		Program: program, Go: info.GoVersion, Modules: len(info.Deps), Findings: []finding{},
	}
	for _, m := range info.Deps {
		out.Findings = append(out.Findings, moduleFindings(m)...)
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.modified" && s.Value == "true" {
			out.Findings = append(out.Findings, finding{"modified-source", info.Main.Path, "built from a working tree with changes"})
		}
	}
	return out
}

func moduleFindings(m *debug.Module) (out []finding) {
	name, used := m.Path+"@"+m.Version, m
	if m.Replace != nil {
		used = m.Replace
		out = append(out, finding{"replaced-module", name, strings.TrimSuffix("replaced by "+used.Path+"@"+used.Version, "@")})
	}
	if used.Sum == "" {
		out = append(out, finding{"no-checksum", name, "no go.sum checksum stands for what was built"})
	}
	if pseudo.MatchString(used.Version) {
		out = append(out, finding{"unreleased-module", name, "version " + used.Version + " is a commit, not a release"})
	}
	return out
}
