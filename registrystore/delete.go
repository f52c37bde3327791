package registrystore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"golang.org/x/sync/errgroup"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// remove deletes tags: by tag, which leaves other tags of the same manifest
// alone, or where a registry refuses that (distribution-spec 1.1, "Deleting
// tags"), by the manifest's digest if may allows that.
func (b *remoteBackend) remove(ctx context.Context, tags []string, may func(tag string, manifest []byte) bool) error {
	var g errgroup.Group
	g.SetLimit(parallel)
	errs := make([]error, len(tags))
	for i, tag := range tags {
		g.Go(func() error {
			errs[i] = b.wrap("delete "+tag, b.removeTag(ctx, tag, may))
			return nil
		})
	}
	_ = g.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) > 1 {
		return fmt.Errorf("%w (and %d more tags stay)", errs[0], len(errs)-1)
	}
	return errors.Join(errs...)
}

func (b *remoteBackend) removeTag(ctx context.Context, tag string, may func(string, []byte) bool) error {
	err := b.delete(ctx, tag)
	var resp *errcode.ErrorResponse
	if !errors.As(err, &resp) || resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusMethodNotAllowed {
		return ignoreNotFound(err)
	}
	desc, raw, rerr := b.manifest(ctx, tag)
	if rerr != nil {
		return ignoreNotFound(rerr)
	}
	if !may(tag, raw) {
		return fmt.Errorf("%w: the registry deletes manifests only, with all their tags, and this one has another's: delete the tag %s by hand", ErrReadOnly, tag)
	}
	if err := b.delete(ctx, desc.Digest.String()); err != nil {
		return ignoreNotFound(err)
	}
	if _, err := b.resolve(ctx, tag); !errors.Is(err, ErrNotFound) {
		return errors.Join(err, fmt.Errorf("%w: the registry deleted the manifest and keeps its tag", ErrReadOnly))
	}
	return nil
}

func ignoreNotFound(err error) error {
	if kind(err) == ErrNotFound {
		return nil
	}
	return err
}

// delete deletes what a tag or digest names (distribution-spec, end-9).
func (b *remoteBackend) delete(ctx context.Context, ref string) error {
	resp, err := b.do(ctx, http.MethodDelete, "manifests/"+ref, nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	return errorResponse(resp)
}

// do sends a request for which oras-go has no method. Path is relative to the
// repository.
func (b *remoteBackend) do(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	actions := map[string][]string{
		http.MethodGet: {auth.ActionPull}, http.MethodHead: {auth.ActionPull},
		http.MethodPut: {auth.ActionPull, auth.ActionPush}, http.MethodDelete: {auth.ActionPull, auth.ActionDelete},
	}
	ctx = auth.AppendRepositoryScope(ctx, b.repo.Reference, actions[method]...)
	scheme := "https"
	if b.repo.PlainHTTP {
		scheme = "http"
	}
	url := fmt.Sprintf("%s://%s/v2/%s/%s", scheme, b.repo.Reference.Host(), b.repo.Reference.Repository, path)
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	return b.repo.Client.Do(req)
}

// errorResponse reads a registry's refusal, at most 8 KiB of it.
func errorResponse(resp *http.Response) error {
	out := &errcode.ErrorResponse{Method: resp.Request.Method, URL: resp.Request.URL, StatusCode: resp.StatusCode}
	var body struct {
		Errors errcode.Errors `json:"errors"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 8<<10)).Decode(&body) == nil {
		out.Errors = body.Errors
	}
	return out
}
