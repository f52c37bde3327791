package registrystore

import (
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// tracing tells of every request, repeated ones included.
type tracing struct {
	base http.RoundTripper
	tell func(string)
}

func (t *tracing) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.base.RoundTrip(req)
	took := time.Since(began).Round(10 * time.Microsecond)
	// Queries hold names of accounts, and states of uploads.
	shown := url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path}
	if err != nil {
		t.tell(fmt.Sprintf("%s %s: %v", req.Method, &shown, err))
	} else {
		t.tell(fmt.Sprintf("%s %s: %d in %s", req.Method, &shown, resp.StatusCode, took))
	}
	return resp, err
}
