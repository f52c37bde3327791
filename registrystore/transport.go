package registrystore

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// Options say how registries are reached. The zero value reads docker's
// configuration for credentials and speaks TLS, except with this machine.
type Options struct {
	PlainHTTP      bool   // no TLS
	Insecure       bool   // TLS without checking the certificate
	CAFile         string // PEM file of an own certificate authority
	Username       string
	Password       string
	RegistryConfig string // path of a docker config.json; "" for docker's default
	LayoutRoot     string // folder below which image layouts have their names
	UserAgent      string
	// Transport, if not nil, carries every request: for tests.
	Transport http.RoundTripper
}

// Registries opens repositories. It keeps one client, so that connections and
// tokens are shared; it is safe for concurrent use.
type Registries struct {
	opts   Options
	client *auth.Client
	cache  *Cache
}

// New prepares for opening repositories. Cache may be nil: nothing is kept.
func New(opts Options, cache *Cache) (*Registries, error) {
	base := opts.Transport
	if base == nil {
		t, err := opts.transport()
		if err != nil {
			return nil, err
		}
		base = t
	}
	r := &Registries{opts: opts, cache: cache}
	r.client = &auth.Client{
		Client: &http.Client{Transport: &conditional{&retrying{base: base}}},
		Cache:  auth.NewCache(),
	}
	r.client.SetUserAgent(opts.userAgent())
	if err := r.credentials(); err != nil {
		return nil, err
	}
	return r, nil
}

// Cache returns what New was given, or nil.
func (r *Registries) Cache() *Cache { return r.cache }

func (o Options) userAgent() string {
	if o.UserAgent != "" {
		return o.UserAgent
	}
	return "carnet"
}

func (o Options) transport() (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.MaxResponseHeaderBytes = 256 << 10
	if o.CAFile == "" && !o.Insecure {
		return t, nil
	}
	t.TLSClientConfig = &tls.Config{InsecureSkipVerify: o.Insecure, MinVersion: tls.VersionTLS12} //nolint:gosec // asked for by --insecure
	if o.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authority: %s holds no PEM certificate", o.CAFile)
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}

// credentials takes those of the command line, else docker's: its file and
// its helpers. A configuration that cannot be read is an error only if it was
// named.
func (r *Registries) credentials() error {
	if r.opts.Username != "" {
		cred := auth.Credential{Username: r.opts.Username, Password: r.opts.Password}
		r.client.Credential = func(context.Context, string) (auth.Credential, error) { return cred, nil }
		return nil
	}
	store, err := r.credentialStore()
	if err != nil {
		if r.opts.RegistryConfig == "" {
			return nil
		}
		return fmt.Errorf("registry configuration %s: %w", r.opts.RegistryConfig, err)
	}
	r.client.Credential = credentials.Credential(store)
	return nil
}

func (r *Registries) credentialStore() (credentials.Store, error) {
	if r.opts.RegistryConfig != "" {
		if _, err := os.Stat(r.opts.RegistryConfig); err != nil {
			return nil, err
		}
		return credentials.NewStore(r.opts.RegistryConfig, credentials.StoreOptions{})
	}
	return credentials.NewStoreFromDocker(credentials.StoreOptions{})
}

func (o Options) plainHTTP(host string) bool {
	return o.PlainHTTP || isLoopback(host) && o.CAFile == "" && !o.Insecure
}

type contextKey int

const (
	knownKey   contextKey = iota // *known: a manifest we hold
	noRetryKey                   // bool: this write must not be sent twice
)

// known is a manifest that the caller holds already.
type known struct {
	digest    digest.Digest
	mediaType string
	body      []byte
}

func withKnown(ctx context.Context, k *known) context.Context {
	return context.WithValue(ctx, knownKey, k)
}

// conditional asks for a manifest that is known only if it changed, and plays
// "not modified" back as the known manifest, so that the layers above need
// not know. Registries that ignore the condition answer in full.
type conditional struct{ base http.RoundTripper }

func (c *conditional) RoundTrip(req *http.Request) (*http.Response, error) {
	k, _ := req.Context().Value(knownKey).(*known)
	if k == nil || req.Method != http.MethodGet {
		return c.base.RoundTrip(req)
	}
	req = req.Clone(req.Context())
	req.Header.Set("If-None-Match", strconv.Quote(k.digest.String()))
	resp, err := c.base.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusNotModified {
		return resp, err
	}
	resp.Body.Close()
	resp.StatusCode, resp.Status = http.StatusOK, "200 OK"
	resp.Header = resp.Header.Clone()
	resp.Header.Set("Content-Type", k.mediaType)
	resp.Header.Set("Docker-Content-Digest", k.digest.String())
	resp.ContentLength = int64(len(k.body))
	resp.Body = io.NopCloser(bytes.NewReader(k.body))
	return resp, nil
}

// retrying repeats what is safe to repeat while the context allows: reads,
// and writes of content under its own digest. It honours Retry-After to the
// full, bounded by the command's deadline and not by a ceiling of its own.
type retrying struct{ base http.RoundTripper }

const maxAttempts = 5

func (r *retrying) RoundTrip(req *http.Request) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		resp, err := r.base.RoundTrip(req)
		wait, again := retryAfter(req, resp, err, attempt)
		if !again {
			return resp, err
		}
		next, ok := rewind(req)
		if !ok || !waitable(req.Context(), wait) {
			return resp, err
		}
		if resp != nil {
			_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
			resp.Body.Close()
		}
		if err := sleep(req.Context(), wait); err != nil {
			return nil, err
		}
		req = next
	}
}

func retryAfter(req *http.Request, resp *http.Response, err error, attempt int) (time.Duration, bool) {
	if attempt >= maxAttempts || req.Context().Err() != nil {
		return 0, false
	}
	noRetry, _ := req.Context().Value(noRetryKey).(bool)
	backoff := time.Duration(1<<attempt)*50*time.Millisecond + time.Duration(rand.Int64N(int64(50*time.Millisecond)))
	if err != nil {
		// A write whose answer is lost is for the caller to settle.
		read := req.Method == http.MethodGet || req.Method == http.MethodHead
		return backoff, read && !isPermanent(err)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return max(backoff, serverWait(resp)), true // refused unseen: safe for writes too
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return max(backoff, serverWait(resp)), !noRetry && req.Method != http.MethodPost
	}
	return 0, false
}

// isPermanent reports errors that another attempt meets again.
func isPermanent(err error) bool {
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	return errors.As(err, &unknownCA) || errors.As(err, &host) || errors.As(err, &record)
}

func serverWait(resp *http.Response) time.Duration {
	h := resp.Header.Get("Retry-After")
	if s, err := strconv.Atoi(h); err == nil && s >= 0 && s < 1<<20 {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(h); err == nil {
		return time.Until(t)
	}
	return 0
}

func rewind(req *http.Request) (*http.Request, bool) {
	next := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return next, true
	}
	if req.GetBody == nil {
		return nil, false
	}
	body, err := req.GetBody()
	next.Body = body
	return next, err == nil
}

// waitable reports whether the wait ends before the deadline. Without a
// deadline a minute is the most.
func waitable(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline) > d
	}
	return d <= time.Minute
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
