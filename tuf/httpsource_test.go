package tuf_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/tuf"
)

// answer is a web server that answers everything in one way.
func answer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func httpSource(t *testing.T, base string, client *http.Client) *tuf.HTTPSource {
	s, err := tuf.NewHTTPSource(base, client)
	require.NoError(t, err)
	return s
}

func TestHTTPSourceNames(t *testing.T) {
	var asked []string
	server := answer(t, func(w http.ResponseWriter, req *http.Request) {
		asked = append(asked, req.Method+" "+req.RequestURI)
		_, _ = w.Write([]byte("x"))
	})
	s := httpSource(t, server.URL+"/a%2Fb/../?token=1", server.Client())
	_, err := s.Root(t.Context(), 7)
	require.NoError(t, err)
	_, err = s.Timestamp(t.Context())
	require.NoError(t, err)
	want := metadata.MetaFile{Version: 3, Length: -1}
	for _, consistent := range []bool{true, false} {
		s.SetConsistentSnapshot(consistent)
		for _, role := range []string{"snapshot", "../a b?#%:@&=+$,;é"} {
			raw, err := s.File(t.Context(), role, want)
			require.NoError(t, err)
			require.Equal(t, "x", string(raw))
		}
	}
	require.Equal(t, []string{
		"GET /a%2Fb/../7.root.json?token=1", "GET /a%2Fb/../timestamp.json?token=1",
		"GET /a%2Fb/../3.snapshot.json?token=1", "GET /a%2Fb/../3...%2Fa%20b%3F%23%25%3A%40%26%3D%2B%24%2C%3B%C3%A9.json?token=1",
		"GET /a%2Fb/../snapshot.json?token=1", "GET /a%2Fb/../..%2Fa%20b%3F%23%25%3A%40%26%3D%2B%24%2C%3B%C3%A9.json?token=1",
	}, asked)
}

func TestHTTPSourceStatus(t *testing.T) {
	for status, missing := range map[int]bool{404: true, 403: true, 401: false, 410: false, 429: false, 500: false, 503: false, 204: false} {
		server := answer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		s := httpSource(t, server.URL, nil)
		_, err := s.Root(t.Context(), 2)
		require.Error(t, err)
		require.Equal(t, missing, errors.Is(err, tuf.ErrNotFound), "%d", status)
	}
}

func TestHTTPSourceIsBounded(t *testing.T) {
	for name, announced := range map[string]bool{"announced": true, "not announced": false} {
		t.Run(name, func(t *testing.T) {
			length := 0
			server := answer(t, func(w http.ResponseWriter, _ *http.Request) {
				if announced {
					w.Header().Set("Content-Length", strconv.Itoa(length))
				}
				_, _ = w.Write([]byte(strings.Repeat("x", length)))
			})
			s := httpSource(t, server.URL, nil)
			ask := func(n int, limit int64, get func() ([]byte, error)) {
				length = n
				raw, err := get()
				if int64(n) > limit {
					require.Error(t, err)
					return
				}
				require.NoError(t, err)
				require.Len(t, raw, n)
			}
			for _, more := range []int{-1, 0, 1, 5000} {
				ask(metadata.MaxRoot+more, metadata.MaxRoot, func() ([]byte, error) { return s.Root(t.Context(), 1) })
				ask(metadata.MaxTimestamp+more, metadata.MaxTimestamp, func() ([]byte, error) { return s.Timestamp(t.Context()) })
				ask(100+more, 100, func() ([]byte, error) {
					return s.File(t.Context(), "targets", metadata.MetaFile{Version: 1, Length: 100})
				})
				ask(metadata.MaxSnapshot+more, metadata.MaxSnapshot, func() ([]byte, error) {
					return s.File(t.Context(), "snapshot", metadata.MetaFile{Version: 1, Length: 1 << 40})
				})
			}
		})
	}
}

func TestHTTPSourceWaitsNoLongerThanItsContext(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	server := answer(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{"))
		w.(http.Flusher).Flush()
		close(started)
		<-release // no byte more
	})
	defer close(release)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	_, err := httpSource(t, server.URL, nil).Timestamp(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// A file may have moved, within bounds; nothing is told to where it moved.
func TestHTTPSourceRedirects(t *testing.T) {
	var told http.Header
	elsewhere := answer(t, func(w http.ResponseWriter, req *http.Request) {
		told = req.Header
		_, _ = w.Write([]byte("moved"))
	})
	to := elsewhere.URL + "/x"
	hops := 0
	move := func(w http.ResponseWriter, req *http.Request) {
		if hops++; req.URL.Query().Get("hop") == "" {
			http.Redirect(w, req, to, http.StatusFound)
			return
		}
		http.Redirect(w, req, "/?hop="+strconv.Itoa(hops), http.StatusFound)
	}
	server := answer(t, move)
	base := strings.Replace(server.URL, "http://", "http://user:secret@", 1) + "/?token=secret"
	raw, err := httpSource(t, base, nil).Timestamp(t.Context())
	require.NoError(t, err)
	require.Equal(t, "moved", string(raw))
	require.Empty(t, told.Get("Referer"))
	require.Empty(t, told.Get("Authorization"))

	to, hops = "file:///etc/passwd", 0
	_, err = httpSource(t, server.URL, nil).Timestamp(t.Context())
	require.ErrorContains(t, err, "unsupported protocol scheme")
	to, hops = "/?hop=1", 0
	_, err = httpSource(t, server.URL, nil).Timestamp(t.Context())
	require.ErrorContains(t, err, "more than 5 redirects")
	require.Equal(t, 6, hops)

	secure := httptest.NewTLSServer(http.HandlerFunc(move))
	t.Cleanup(secure.Close)
	to = elsewhere.URL + "/x"
	_, err = httpSource(t, secure.URL, secure.Client()).Timestamp(t.Context())
	require.ErrorContains(t, err, "from https to http")
}

// Compressed or not, no more is read than a file may have.
func TestHTTPSourceIsNoBomb(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write(make([]byte, 64<<20))
	require.NoError(t, errors.Join(err, z.Close()))
	server := answer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	_, err = httpSource(t, server.URL, nil).Timestamp(t.Context())
	require.ErrorContains(t, err, "longer than is allowed")
}

func TestHTTPSourceURL(t *testing.T) {
	for _, bad := range []string{"", "/relative", "ftp://host/", "file:///etc", "http://", ":"} {
		_, err := tuf.NewHTTPSource(bad, nil)
		require.Error(t, err, bad)
		_, err = tuf.NewDownloads(bad, nil, t.TempDir())
		require.Error(t, err, bad)
	}
	require.Equal(t, "https://user:xxxxx@host/path", httpSource(t, "https://user:secret@host/path", nil).String())
}
