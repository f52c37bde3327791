package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/verify"
)

// runCarnet verifies the job's references by a policy, as a program that
// embeds the library does.
func runCarnet(ctx context.Context, j job, dir string) error {
	policy, err := verify.LoadPolicy(filepath.Join(dir, "policy.yaml"), nil)
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	regs, err := registrystore.New(registrystore.Options{Transport: transport}, registrystore.OpenCache(filepath.Join(dir, "cache")))
	if err != nil {
		return err
	}
	v, err := verify.New(verify.Options{
		Registries: regs, Policy: policy, States: verify.OpenStates(filepath.Join(dir, "state")),
		Now: func() time.Time { return j.Now },
	})
	if err != nil {
		return err
	}
	refs := make([]registrystore.Reference, len(j.Refs))
	for i, s := range j.Refs {
		if refs[i], err = registrystore.ParseReference(s, ""); err != nil {
			return err
		}
	}
	decisions, err := v.Verify(ctx, refs...)
	if err != nil {
		return err
	}
	for i, d := range decisions {
		if !d.Allowed() || d.Digest.String() != j.Digests[i] {
			return fmt.Errorf("want %s, found %s", j.Digests[i], d.Text())
		}
	}
	return nil
}

// prepare writes the policy and the pinned root, which a user wrote long ago.
func (j job) prepare(dir string) error {
	age := ""
	if j.MaxAge != "" {
		age = ", max-age: " + j.MaxAge
	}
	text := strings.NewReplacer("TRUST", j.Trust, "HOST", j.Host, "AGE", age).Replace(`
version: 1
publishers:
  wabbit: {root: root.json, repositories: [TRUST]}
rules:
  - {name: all, scope: HOST/**, require: [{publisher: wabbitAGE}]}
`)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "root.json"), j.Root, 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(text), 0o600)
}
