package registrystore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

func (x *examination) readYourWrites(ctx context.Context, tag string) error {
	tags, err := x.tags(ctx)
	if err != nil {
		return err
	}
	if slices.Contains(tags, tag) {
		x.found(FindingReadWrites, "yes", "", "no acknowledged update is lost among concurrent writers")
		return nil
	}
	x.found(FindingReadWrites, "no", "a tag that was just written is not listed yet",
		"an update that raced with another reappears with the next publication by a holder of the keys; publish one after the other")
	return nil
}

// listedBefore writes tags and looks all the while whether one is listed that
// cannot be read.
func (x *examination) listedBefore(ctx context.Context) error {
	var early string
	for i := range 4 {
		done := make(chan error, 1)
		go func() {
			_, err := x.write(ctx, "l"+strconv.Itoa(i), probe("listed "+strconv.Itoa(i)))
			done <- err
		}()
		tag, err := x.watch(ctx, done)
		if err != nil {
			return err
		}
		if tag != "" {
			early = tag
		}
	}
	if early == "" {
		x.found(FindingListedBefore, "no", "four tags were listed only once they could be read", "nothing is needed")
		return nil
	}
	x.found(FindingListedBefore, "yes", "a tag was listed and could not be read", "what is listed and cannot be read is tried again, then passed by")
	return nil
}

// watch lists until done gives an answer, and returns a tag of this run that
// was listed and not there.
func (x *examination) watch(ctx context.Context, done <-chan error) (early string, err error) {
	for {
		select {
		case err := <-done:
			return early, err
		default:
		}
		tags, terr := x.tags(ctx)
		if terr != nil {
			return early, errors.Join(terr, <-done)
		}
		for _, tag := range tags {
			if !strings.HasPrefix(tag, x.mark) {
				continue
			}
			if _, err := x.resolve(ctx, tag); err != nil {
				early = tag
			}
		}
	}
}

func (x *examination) tagList(ctx context.Context) error {
	tags, err := x.tags(ctx)
	if err != nil {
		return err
	}
	x.found(FindingTags, strconv.Itoa(len(x.listed)), "", "every publication and every reader without a usable latest lists them all; prune keeps them few")
	switch {
	case len(tags) < 2:
		return nil // no order to see
	case slices.IsSorted(tags):
		x.found(FindingTagOrder, "sorted", "", "tags are sorted here in any case")
	default:
		x.found(FindingTagOrder, "unsorted", "", "all tags are read and sorted here")
	}
	return x.paging(ctx)
}

// paging asks for one tag, and for one after that.
func (x *examination) paging(ctx context.Context) error {
	first, _, err := x.page(ctx, url.Values{"n": {"1"}})
	if err != nil {
		return err
	}
	if len(first) != 1 {
		x.found(FindingTagPaging, "no", fmt.Sprintf("asked for one tag it answers %d", len(first)), "lists are read whole")
		return nil
	}
	next, status, err := x.page(ctx, url.Values{"n": {"1"}, "last": {first[0]}})
	if err != nil {
		return err
	}
	switch {
	case status != http.StatusOK || len(next) != 1 || next[0] == first[0]:
		x.found(FindingTagPaging, "last is ignored", "", "Carnet follows links and never asks for tags after a given one")
	default:
		x.found(FindingTagPaging, "yes", "", "lists are read whole, page by page")
	}
	return nil
}

func (x *examination) page(ctx context.Context, q url.Values) ([]string, int, error) {
	resp, err := x.do(ctx, http.MethodGet, "tags/list?"+q.Encode(), nil, nil)
	if err != nil {
		return nil, 0, x.wrap("list tags", err)
	}
	defer resp.Body.Close()
	raw, err := readBounded(resp.Body, metadata.MaxManifest)
	if err != nil {
		return nil, resp.StatusCode, x.wrap("list tags", err)
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	_ = json.Unmarshal(raw, &list) // what is no list has no tags
	return list.Tags, resp.StatusCode, nil
}
