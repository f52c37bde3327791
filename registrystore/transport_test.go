package registrystore_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/fixtures"
	"github.com/carnet-project/carnet/registrystore"
)

// Both kinds of registries are reached in every way, and the credentials may
// come from the command line, from docker's file, or from a helper.
func TestWaysToARegistry(t *testing.T) {
	for kind, start := range map[string]start{"distribution": fixtures.Distribution, "1.1": fixtures.Registry11} {
		for name, opts := range map[string][]fixtures.Option{
			"plain": nil, "tls": {fixtures.WithTLS()}, "basic": {fixtures.WithBasicAuth()}, "token": {fixtures.WithTokenAuth()},
			"tls and token": {fixtures.WithTLS(), fixtures.WithTokenAuth()},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				p := onRegistry(start(t, opts...))
				roundTrip(t, p)
				if p.reg.Username == "" {
					return
				}
				for from, config := range map[string]string{"file": dockerFile(t, p.reg, p.reg.Password), "helper": helperFile(t, p.reg)} {
					t.Run(from, func(t *testing.T) {
						p.opts = registrystore.Options{CAFile: p.reg.CAFile, RegistryConfig: config}
						require.NoError(t, p.trust(t, nil).Open(ctx))
					})
				}
				for wrong, opts := range map[string]registrystore.Options{
					"no credentials":     {CAFile: p.reg.CAFile, RegistryConfig: emptyConfig(t)},
					"a wrong password":   {CAFile: p.reg.CAFile, Username: p.reg.Username, Password: "hunter2", CredentialHost: p.reg.Host},
					"another registry's": {CAFile: p.reg.CAFile, Username: p.reg.Username, Password: p.reg.Password, CredentialHost: "registry.example"},
				} {
					t.Run(wrong, func(t *testing.T) {
						p.opts = opts
						err := p.trust(t, nil).Open(ctx)
						require.ErrorIs(t, err, registrystore.ErrUnauthorized)
						require.ErrorContains(t, err, "log in with")
						require.NotContains(t, err.Error(), "hunter2")
						require.NotContains(t, err.Error(), p.reg.Password)
					})
				}
			})
		}
	}
}

func roundTrip(t *testing.T, p *place) {
	t.Helper()
	commit(t, p.trust(t, nil), publication(1))
	trust := p.trust(t, nil)
	require.NoError(t, trust.Open(ctx))
	list, err := trust.List(ctx)
	require.NoError(t, err)
	require.NoError(t, trust.Delete(ctx, list...))
}

func configFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func emptyConfig(t *testing.T) string { return configFile(t, "{}") }

func dockerFile(t *testing.T, reg *fixtures.Registry, password string) string {
	t.Helper()
	auth := base64.StdEncoding.EncodeToString([]byte(reg.Username + ":" + password))
	return configFile(t, fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, reg.Host, auth))
}

// helperFile installs a credential helper, as docker names and asks them.
func helperFile(t *testing.T, reg *fixtures.Registry) string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nread host\necho '{\"ServerURL\":\"'$host'\",\"Username\":\"%s\",\"Secret\":\"%s\"}'\n", reg.Username, reg.Password)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker-credential-fixture"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return configFile(t, fmt.Sprintf(`{"credHelpers":{%q:"fixture"}}`, reg.Host))
}

func TestRegistryConfiguration(t *testing.T) {
	_, err := registrystore.New(registrystore.Options{RegistryConfig: filepath.Join(t.TempDir(), "missing.json")}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = registrystore.New(registrystore.Options{RegistryConfig: configFile(t, "{")}, nil)
	require.ErrorContains(t, err, "registry configuration")
	_, err = registrystore.New(registrystore.Options{CAFile: configFile(t, "no certificate")}, nil)
	require.ErrorContains(t, err, "holds no PEM certificate")
	_, err = registrystore.New(registrystore.Options{CAFile: filepath.Join(t.TempDir(), "missing.pem")}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A token is asked for once, and shared by repositories of one registry.
func TestTokensAreShared(t *testing.T) {
	p := onRegistry(fixtures.Distribution(t, fixtures.WithTokenAuth()))
	commit(t, p.trust(t, nil), publication(1))
	p.reg.Reset()
	cache := registrystore.OpenCache(t.TempDir())
	require.NoError(t, p.trust(t, cache).Open(ctx))
	p.reg.Reset()
	trust := p.trust(t, cache)
	for range 3 {
		require.NoError(t, trust.Open(ctx))
	}
	auth := 0
	for _, r := range p.reg.Log() {
		isManifest := strings.Contains(r.Path, "/manifests/")
		require.Equal(t, isManifest, r.Header.Get("If-None-Match") != "", "only a manifest can be unchanged: %s", r)
		if r.Auth {
			auth++
		}
	}
	require.Equal(t, 2, auth, "one refusal that says what is wanted, one token")
}

// A certificate by an unknown authority is refused at once; --insecure takes it.
func TestCertificates(t *testing.T) {
	reg := fixtures.Distribution(t, fixtures.WithTLS())
	p := onRegistry(reg)
	roundTrip(t, p)
	p.opts = registrystore.Options{Insecure: true}
	roundTrip(t, p)
	p.opts = registrystore.Options{CAFile: filepath.Join("testdata", "other-authority.pem")}
	began := time.Now()
	err := p.trust(t, nil).Open(ctx)
	require.ErrorContains(t, err, "certificate signed by unknown authority")
	require.Less(t, time.Since(began), time.Second, "trying again does not help")
}

func TestUnreachable(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	p.name = "127.0.0.1:1/trust"
	began := time.Now()
	err := p.trust(t, nil).Open(ctx)
	require.ErrorContains(t, err, "connection refused")
	var own *registrystore.Error
	require.ErrorAs(t, err, &own)
	require.Nil(t, own.Kind, "a network that fails says nothing about content")
	require.Less(t, time.Since(began), time.Second)
}

// Reads are repeated, a bounded number of times.
func TestReadsAreRepeated(t *testing.T) {
	for name, then := range map[string]fixtures.Action{"500": fixtures.Status(500), "503": fixtures.Status(503), "429": fixtures.RateLimit(0), "lost": fixtures.DropBefore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := fixtures.Distribution(t)
			p := onRegistry(reg)
			commit(t, p.trust(t, nil), publication(1))
			fault := reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), First: 2, Then: then})
			reg.Reset()
			require.NoError(t, p.trust(t, nil).Open(ctx))
			require.Len(t, reg.Requests(), 3)
			fault.Remove()
			always := reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Then: then})
			_, err := p.trust(t, nil).List(ctx)
			require.Error(t, err)
			require.Equal(t, name == "429", strings.Contains(err.Error(), "rate limited"))
			require.LessOrEqual(t, always.Hits(), 10)
		})
	}
	reg := fixtures.Distribution(t)
	fault := reg.Inject(fixtures.Fault{Then: fixtures.Status(400)})
	_, err := onRegistry(reg).trust(t, nil).List(ctx)
	require.Error(t, err)
	require.Equal(t, 1, fault.Hits(), "what was answered is answered")
}

// Retry-After is waited for as long as the deadline lets, and not begun if it
// would not.
func TestRetryAfter(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	commit(t, p.trust(t, nil), publication(1))
	fault := reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), First: 1, Then: fixtures.RateLimit(1)})
	began := time.Now()
	long, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	require.NoError(t, p.trust(t, nil).Open(long))
	require.GreaterOrEqual(t, time.Since(began), time.Second)
	fault.Remove()

	reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), Then: fixtures.RateLimit(3600)})
	began = time.Now()
	err := p.trust(t, nil).Open(long)
	require.ErrorIs(t, err, registrystore.ErrRateLimited)
	require.Less(t, time.Since(began), time.Second)
}

// A pause that the context ends is left.
func TestPausesEndWithTheContext(t *testing.T) {
	reg := fixtures.Distribution(t)
	reg.Inject(fixtures.Fault{Then: fixtures.RateLimit(30)})
	short, cancel := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := onRegistry(reg).trust(t, nil).List(short)
	require.ErrorIs(t, err, context.Canceled)
}

// Manifests are asked for by their types, without which some registries do
// not give them.
func TestAcceptHeaders(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	p.raw(t).PushImage(t, "1.0", "hello")
	a := p.artifacts(t)
	reg.Reset()
	_, err := a.Resolve(ctx, p.ref(t, ":1.0"))
	require.NoError(t, err)
	_, err = a.Read(ctx, p.ref(t, ":1.0"))
	require.NoError(t, err)
	for _, r := range reg.Log() {
		accept := strings.Join(r.Header.Values("Accept"), ",")
		for _, want := range []string{"oci.image.manifest.v1+json", "oci.image.index.v1+json", "docker.distribution.manifest.v2+json", "docker.distribution.manifest.list.v2+json"} {
			require.Contains(t, accept, want)
		}
		require.Equal(t, "carnet", r.Header.Get("User-Agent"))
	}
}

// What a registry says is shown on one line, without what a terminal obeys
// and without what a URL may hide.
func TestErrorsAreSafeToShow(t *testing.T) {
	reg := fixtures.Distribution(t)
	p := onRegistry(reg)
	reg.Inject(fixtures.Fault{On: fixtures.Get("/tags/list"), Then: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"errors":[{"code":"X","message":"\u001b[2Jred\nline https://u:pw@h/x?X-Amz-Signature=secret&a=b `+strings.Repeat("long ", 500)+`"}]}`)
	}})
	_, err := p.trust(t, nil).List(ctx)
	require.ErrorContains(t, err, "HTTP 400")
	require.NotContains(t, err.Error(), "\x1b")
	require.NotContains(t, err.Error(), "\n")
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "pw")
	require.Less(t, len(err.Error()), 700)

	// A redirect to a signed URL that cannot be reached.
	reg.Inject(fixtures.Fault{On: fixtures.Get("/manifests/latest"), Then: func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, "http://127.0.0.1:1/blob?X-Amz-Signature=secret", http.StatusTemporaryRedirect)
	}})
	err = p.trust(t, nil).Open(ctx)
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "secret")
}

// Kinds of refusals that the caller and the user can act on.
func TestKindsOfErrors(t *testing.T) {
	message := func(status int, code, text string) fixtures.Action {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, text)
		}
	}
	for name, c := range map[string]struct {
		then fixtures.Action
		want error
	}{
		"denied":           {message(403, "DENIED", "requested access to the resource is denied"), registrystore.ErrReadOnly},
		"not allowed":      {message(405, "UNSUPPORTED", "the registry is read-only"), registrystore.ErrReadOnly},
		"unauthorised":     {message(401, "UNAUTHORIZED", "authentication required"), registrystore.ErrUnauthorized},
		"immutable by 412": {message(412, "PRECONDITION", "configured as immutable"), registrystore.ErrImmutable},
		"immutable by 400": {message(400, "TAG_INVALID", "cannot be overwritten because the repository is immutable"), registrystore.ErrImmutable},
		"immutable by 403": {message(403, "DENIED", "tag immutability is on"), registrystore.ErrImmutable},
		"too large":        {message(413, "SIZE_INVALID", "too large"), registrystore.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			reg := fixtures.Distribution(t)
			p := onRegistry(reg)
			pub := publication(1)
			_, err := p.trust(t, nil).Commit(ctx, pub)
			require.NoError(t, err)
			reg.Inject(fixtures.Fault{On: fixtures.Put("/manifests/latest"), Then: c.then})
			require.ErrorIs(t, p.trust(t, nil).Advance(ctx, pub), c.want)
		})
	}
}

// A registry on this machine is spoken to without TLS unless its authority is
// given: one that wants TLS says no more than 400.
func TestPlainHTTPToARegistryThatWantsTLS(t *testing.T) {
	reg := fixtures.Distribution(t, fixtures.WithTLS())
	regs, err := registrystore.New(registrystore.Options{RegistryConfig: emptyConfig(t)}, nil)
	require.NoError(t, err)
	trust, err := regs.OpenTrust(reg.Host + "/trust")
	require.NoError(t, err)
	require.ErrorContains(t, trust.Open(ctx), "--ca-file")
}
