package registrystore

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

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

// retryAfter decides whether a request is sent again, and when. What may have
// taken effect is repeated only where that does no harm: reads, deletes,
// manifests that go to their own tag, the begin of an upload. An upload's end
// is not: its session may be over. A write whose answer is lost is for the
// caller to settle, who can look.
func retryAfter(req *http.Request, resp *http.Response, err error, attempt int) (time.Duration, bool) {
	once, _ := req.Context().Value(onceKey).(bool)
	if attempt >= maxAttempts || once || req.Context().Err() != nil {
		return 0, false
	}
	backoff := time.Duration(1<<attempt)*50*time.Millisecond + time.Duration(rand.Int64N(int64(50*time.Millisecond)))
	if err != nil {
		read := req.Method == http.MethodGet || req.Method == http.MethodHead
		return backoff, read && !isPermanent(err)
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return max(backoff, serverWait(resp)), true // refused unseen: safe for writes too
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return max(backoff, serverWait(resp)), !endsUpload(req)
	case http.StatusBadRequest:
		return backoff, req.Method == http.MethodPut && !endsUpload(req) && saysDigestInvalid(resp)
	}
	return 0, false
}

// saysDigestInvalid reports that a manifest was refused because of a digest.
// Those that are pushed here are right: Distribution 2.8 says so for a moment
// while another writer pushes the same bytes. The answer can be read again.
func saysDigestInvalid(resp *http.Response) bool {
	head, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), resp.Body), resp.Body}
	return err == nil && bytes.Contains(head, []byte("DIGEST_INVALID"))
}

func endsUpload(req *http.Request) bool {
	return req.Method == http.MethodPut && !strings.Contains(req.URL.Path, "/manifests/")
}

// isPermanent reports errors that another attempt meets again.
func isPermanent(err error) bool {
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	return errors.As(err, &unknownCA) || errors.As(err, &host) || errors.As(err, &invalid) || errors.As(err, &record) ||
		errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, syscall.ECONNREFUSED)
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
