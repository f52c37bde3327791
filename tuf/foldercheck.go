package tuf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// ErrOtherRepository says that a folder holds the metadata of another
// publisher than the one that is to be written there.
var ErrOtherRepository = errors.New("the folder holds another publisher's metadata")

// chain is every root of a publication, in order.
type chain struct {
	files   []File
	decoded []*metadata.File
}

func (c *chain) newest() *metadata.File { return c.decoded[len(c.decoded)-1] }

// chainOf returns the roots of a publication, the pack unpacked.
func chainOf(pub *Publication) (*chain, error) {
	if len(pub.Roots) == 0 {
		return nil, errors.New("a publication without a root")
	}
	c := &chain{}
	if pub.RootPack.Digest != "" {
		packed, err := UnpackRoots(pub.RootPack.Data)
		if err != nil {
			return nil, err
		}
		for v := pub.Roots[0].Version - 1; packed[v] != nil; v-- {
			c.files = append([]File{NewFile(metadata.RoleRoot, v, packed[v])}, c.files...)
		}
	}
	c.files = append(c.files, pub.Roots...)
	for _, file := range c.files {
		root, err := metadata.Decode(metadata.RoleRoot, file.Data)
		if err != nil {
			return nil, err
		}
		c.decoded = append(c.decoded, root)
	}
	return c, nil
}

// checkSuccessor refuses what does not follow on what the folder holds. Files
// that nobody can have signed are damage, and pass.
func (f *Folder) checkSuccessor(c *chain, timestamp []byte) error {
	for _, check := range []func() error{
		func() error { return f.checkRoots(c) },
		func() error { return f.checkNextRoot(c.newest()) },
		func() error { return f.checkTimestamp(c, timestamp) },
	} {
		if err := check(); err != nil {
			return fmt.Errorf("%s: %w", f.dir, err)
		}
	}
	return nil
}

// checkRoots refuses a folder whose roots are others.
func (f *Folder) checkRoots(c *chain) error {
	for _, want := range c.files {
		name := versioned(want.Version, metadata.RoleRoot)
		had, err := f.held(name, metadata.MaxRoot)
		if err != nil {
			return err
		}
		if had == nil || bytes.Equal(had, want.Data) {
			continue
		}
		if _, err := metadata.Decode(metadata.RoleRoot, had); err == nil {
			return fmt.Errorf("%w: %s is another root: give each publisher a folder of its own", ErrOtherRepository, name)
		}
	}
	return nil
}

// checkNextRoot refuses to go back behind a root that follows the newest one.
func (f *Folder) checkNextRoot(newest *metadata.File) error {
	raw, err := f.held(versioned(newest.Version+1, metadata.RoleRoot), metadata.MaxRoot)
	if err != nil || raw == nil {
		return err
	}
	if _, err := NextRoot(newest, raw); err != nil {
		return nil // damaged, or nobody follows it
	}
	return &RollbackError{File: metadata.RoleRoot, Trusted: newest.Version + 1, Offered: newest.Version}
}

// checkTimestamp refuses to replace a timestamp by an older one, if the keys
// that sign timestamps now signed both, and one that no root of this publisher
// vouches for.
func (f *Folder) checkTimestamp(c *chain, raw []byte) error {
	had, err := f.held(metadata.RoleTimestamp+".json", metadata.MaxTimestamp)
	if err != nil || had == nil {
		return err
	}
	was, err := metadata.Decode(metadata.RoleTimestamp, had)
	if err != nil {
		return nil // damaged
	}
	now, err := metadata.Decode(metadata.RoleTimestamp, raw)
	switch {
	case err != nil:
		return err
	case isTimestampOf(was, c.newest()) && now.Version < was.Version:
		return &RollbackError{File: metadata.RoleTimestamp, Trusted: was.Version, Offered: now.Version}
	}
	for _, root := range c.decoded {
		if isTimestampOf(was, root) {
			return nil
		}
	}
	return fmt.Errorf("%w: timestamp.json has no signature by its publisher's keys: give each publisher a folder of its own", ErrOtherRepository)
}

func isTimestampOf(f, root *metadata.File) bool {
	return VerifyThreshold(metadata.RoleTimestamp, f, root.Root.Keys, root.Root.Roles[metadata.RoleTimestamp]) == nil
}

// held reads a file, or returns nil if there is none or it is damaged: longer
// than any such file.
func (f *Folder) held(name string, limit int64) ([]byte, error) {
	raw, err := f.read(name, limit)
	if errors.Is(err, ErrNotFound) || errors.Is(err, errTooLong) {
		return nil, nil
	}
	return raw, err
}

// twins returns for each name that is another's but for case those others:
// some file systems take them for one.
func twins(files []namedFile) map[string][]string {
	alike := map[string][]string{}
	for _, file := range files {
		key := strings.ToLower(strings.ToUpper(file.name))
		alike[key] = append(alike[key], file.name)
	}
	out := map[string][]string{}
	for _, names := range alike {
		for _, name := range names {
			if len(names) > 1 {
				out[name] = names
			}
		}
	}
	return out
}

// checkApart refuses to write a file that is another one's too.
func (f *Folder) checkApart(name string, twins []string) error {
	for _, twin := range twins {
		if twin == name {
			continue
		}
		a, err := f.root.Stat(name)
		b, berr := f.root.Stat(twin)
		if err == nil && berr == nil && os.SameFile(a, b) {
			return fmt.Errorf("%s: %s and %s are one file here: write to a file system that tells upper from lower case", f.dir, twin, name)
		}
	}
	return nil
}
