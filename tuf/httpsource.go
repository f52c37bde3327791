package tuf

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// HTTPSource is a plain TUF repository on a web server, by TUF's own file
// names: VERSION.root.json, timestamp.json, VERSION.ROLE.json, or ROLE.json
// where root says that there are no consistent snapshots (TUF 6.2). It sends
// GET requests only, each once, reads no more than a file may have, and waits
// no longer than its context. Role names are percent-encoded.
type HTTPSource struct {
	base       httpBase
	consistent bool
}

// NewHTTPSource returns the repository whose metadata is below base, an
// absolute URL that is taken as it is. Client may be nil.
func NewHTTPSource(base string, client *http.Client) (*HTTPSource, error) {
	b, err := newHTTPBase(base, client)
	if err != nil {
		return nil, err
	}
	return &HTTPSource{base: b, consistent: true}, nil
}

func (s *HTTPSource) String() string { return s.base.url.Redacted() }

// SetConsistentSnapshot says whether names carry versions.
func (s *HTTPSource) SetConsistentSnapshot(on bool) { s.consistent = on }

// Root returns root file version. Stores that do not list their content
// answer 403 for what is not there; that and 404 are ErrNotFound.
func (s *HTTPSource) Root(ctx context.Context, version int64) ([]byte, error) {
	return s.base.get(ctx, versioned(version, metadata.RoleRoot), metadata.MaxRoot)
}

// Timestamp returns the newest timestamp file.
func (s *HTTPSource) Timestamp(ctx context.Context) ([]byte, error) {
	return s.base.get(ctx, metadata.RoleTimestamp+".json", metadata.MaxTimestamp)
}

// File returns the file of role that want describes.
func (s *HTTPSource) File(ctx context.Context, role string, want metadata.MetaFile) ([]byte, error) {
	name := role + ".json"
	if s.consistent {
		name = versioned(want.Version, role)
	}
	limit := metadata.Limit(role)
	if want.Length >= 0 {
		limit = min(limit, want.Length)
	}
	return s.base.get(ctx, name, limit)
}

func versioned(version int64, role string) string {
	return strconv.FormatInt(version, 10) + "." + role + ".json"
}

// httpBase is a URL below which files are.
type httpBase struct {
	url    *url.URL
	client *http.Client
}

func newHTTPBase(base string, client *http.Client) (httpBase, error) {
	u, err := url.Parse(base)
	if err != nil {
		return httpBase{}, err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return httpBase{}, fmt.Errorf("want an http or https URL, found %q", base)
	}
	if client == nil {
		client = http.DefaultClient
	}
	if client.CheckRedirect == nil {
		careful := *client
		careful.CheckRedirect = checkRedirect
		client = &careful
	}
	return httpBase{u, client}, nil
}

// maxRedirects is how often one file may have moved.
const maxRedirects = 5

// checkRedirect follows a file that moved, but out of TLS, and tells the new
// place nothing about the old one: its query may hold a secret. Where a file
// comes from decides nothing.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("a redirect from https to %s is not followed", req.URL.Scheme)
	}
	req.Header.Del("Referer")
	return nil
}

// get reads one file of metadata, of at most limit bytes.
func (b httpBase) get(ctx context.Context, name string, limit int64) ([]byte, error) {
	var out []byte
	err := b.open(ctx, name, percentEncode(name), limit, func(body io.Reader) (err error) {
		out, err = io.ReadAll(body)
		return err
	})
	return out, err
}

// open requests a file and gives its body to read, which ends with an error
// where it is longer than limit bytes.
func (b httpBase) open(ctx context.Context, name, escaped string, limit int64, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.join(name, escaped), nil)
	if err != nil {
		return err
	}
	res, err := b.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: GET %s: %s", ErrNotFound, req.URL.Redacted(), res.Status)
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s", req.URL.Redacted(), res.Status)
	case res.ContentLength > limit:
		return fmt.Errorf("GET %s: %d bytes where at most %d are allowed", req.URL.Redacted(), res.ContentLength, limit)
	}
	if err := read(&bounded{res.Body, limit}); err != nil {
		return fmt.Errorf("GET %s: %w", req.URL.Redacted(), err)
	}
	return nil
}

// join appends a name to the base without cleaning either.
func (b httpBase) join(name, escaped string) string {
	u := *b.url
	path, raw := u.Path, u.EscapedPath()
	if !strings.HasSuffix(raw, "/") {
		path, raw = path+"/", raw+"/"
	}
	u.Path, u.RawPath = path+name, raw+escaped
	return u.String()
}

// bounded reads up to left bytes and fails on the next one.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		return 0, fmt.Errorf("longer than is allowed")
	}
	b.left -= int64(n)
	return n, err
}
