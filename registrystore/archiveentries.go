package registrystore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxEntry bounds one entry of an archive's index.json, in bytes.
const maxEntry = 64 << 10

// eachEntry calls do for every entry of index.json, one after the other: what
// many of them take in memory is for do to say, before there are too many. It
// ends with the first error.
func eachEntry(raw []byte, do func(indexEntry) error) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := delim(dec, '{'); err != nil {
		return err
	}
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		if key != "manifests" {
			if err := dec.Decode(&json.RawMessage{}); err != nil {
				return err
			}
			continue
		}
		if found {
			return errors.New("manifests stands twice in it")
		}
		found = true
		if err := entries(dec, do); err != nil {
			return err
		}
	}
	if err := delim(dec, '}'); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows its end")
	}
	return nil
}

func entries(dec *json.Decoder, do func(indexEntry) error) error {
	if err := delim(dec, '['); err != nil {
		return err
	}
	for dec.More() {
		var e indexEntry
		if err := dec.Decode(&e.raw); err != nil {
			return err
		}
		if len(e.raw) > maxEntry {
			return fmt.Errorf("%w: an entry of %d bytes where at most %d are allowed", ErrTooLarge, len(e.raw), maxEntry)
		}
		if err := json.Unmarshal(e.raw, &e.Descriptor); err != nil {
			return err
		}
		if err := do(e); err != nil {
			return err
		}
	}
	return delim(dec, ']')
}

// delim reads the bracket that must come next.
func delim(dec *json.Decoder, want json.Delim) error {
	found, err := dec.Token()
	if err == nil && found != want {
		err = fmt.Errorf("want %s, found %.40q", want, fmt.Sprint(found))
	}
	return err
}
