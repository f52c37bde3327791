package registrystore

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"sync"

	"oras.land/oras-go/v2/registry/remote/auth"
)

// Options say how registries are reached. The zero value reads docker's
// configuration for credentials and speaks TLS, except with this machine.
type Options struct {
	PlainHTTP bool   // no TLS
	Insecure  bool   // TLS without checking the certificate
	CAFile    string // PEM file of an own certificate authority
	Username  string
	Password  string
	// CredentialHost is the only registry ("host:port") that Username and
	// Password are given to. It must be set where Username is.
	CredentialHost string
	RegistryConfig string // path of a docker config.json; "" for docker's default
	LayoutRoot     string // folder below which image layouts have their names
	UserAgent      string
	// Offline opens no socket: registries answer from the cache only, image
	// layouts are read as ever.
	Offline bool
	// Trace, if not nil, is told of every request that was sent, by several at
	// once: method, URL without its query, answer, time. No secret is in it.
	Trace func(string)
	// Transport, if not nil, carries every request: for tests.
	Transport http.RoundTripper
}

// Registries opens repositories. It keeps one client, so that connections and
// tokens are shared; it is safe for concurrent use.
type Registries struct {
	opts   Options
	base   http.RoundTripper
	client *auth.Client
	cache  *Cache

	mu      sync.Mutex
	remotes map[Repository]*remoteBackend // what is known of a repository is asked once

	viewed map[string]backend // of a view: all that there is, by absolute name; nil for none
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
	carrier := base
	if opts.Trace != nil {
		base = &tracing{base, opts.Trace}
	}
	r := &Registries{opts: opts, base: carrier, cache: cache, remotes: map[Repository]*remoteBackend{}}
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

// CloseIdleConnections closes connections that are kept for later requests,
// like that of http.Client: for programs that open registries again and again.
func (r *Registries) CloseIdleConnections() {
	if c, ok := r.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Fresh returns the same way to the same registries for somebody who has no
// cache and remembers nothing of any repository.
func (r *Registries) Fresh() *Registries {
	return &Registries{opts: r.opts, client: r.client, base: r.base, remotes: map[Repository]*remoteBackend{}}
}

// HTTPClient returns a client for plain web servers: it reaches them as
// registries are reached, repeats reads as they are, and knows no credentials.
func (r *Registries) HTTPClient() *http.Client {
	return &http.Client{Transport: &introduced{r.client.Client.Transport, r.opts.userAgent()}}
}

// introduced says in every request who asks.
type introduced struct {
	base  http.RoundTripper
	agent string
}

func (n *introduced) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", n.agent)
	return n.base.RoundTrip(req)
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

func (o Options) plainHTTP(host string) bool {
	return o.PlainHTTP || isLoopback(host) && o.CAFile == "" && !o.Insecure
}
