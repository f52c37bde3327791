package tuf

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/carnet-project/carnet/metadata"
)

// staged is a file that is written beside its place.
type staged struct{ temp, name string }

// Publish makes the folder serve a publication, whose files must all have
// their data: what [Client.Gather] returns. It writes what is not there, and
// returns the names of what it wrote; those of roles that no web server finds
// are told to report, which may be nil. All is written beside its place before
// anything is put there; roles come first, then snapshot, then roots, and
// timestamp is the last. So a client sees the publication before or this one,
// and what was there stays whole where this fails. Old files stay for those who
// are reading them. Writers of one folder take turns: it waits until ctx ends.
//
// It refuses to go back behind a root or a timestamp that is there
// ([RollbackError]), to write over another publisher's metadata
// ([ErrOtherRepository]), and to put two files where the file system has one.
func (f *Folder) Publish(ctx context.Context, pub *Publication, report func(string)) (written []string, err error) {
	unlock, err := f.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	chain, err := chainOf(pub)
	if err != nil {
		return nil, err
	}
	f.consistent = chain.newest().Root.ConsistentSnapshot
	if err := f.checkSuccessor(chain, pub.Timestamp.Data); err != nil {
		return nil, err
	}
	files, err := f.named(pub, chain.files, report)
	if err != nil {
		return nil, err
	}
	todo, err := f.stage(ctx, files)
	if err == nil {
		written, err = f.place(todo, twins(files))
	}
	for _, s := range todo[len(written):] {
		_ = f.root.Remove(s.temp)
	}
	if err != nil {
		return written, err
	}
	return written, f.sync(written)
}

// place puts what is staged where it belongs, in order.
func (f *Folder) place(todo []staged, twins map[string][]string) (written []string, err error) {
	for _, s := range todo {
		if err := f.checkApart(s.name, twins[s.name]); err != nil {
			return written, err
		}
		if err := f.root.Rename(s.temp, s.name); err != nil {
			return written, err
		}
		written = append(written, s.name)
	}
	return written, nil
}

// namedFile is a file and its name in the folder.
type namedFile struct {
	name string
	raw  []byte
}

// named names the files in the order in which they are put in place.
func (f *Folder) named(pub *Publication, roots []File, report func(string)) ([]namedFile, error) {
	var out []namedFile
	taken := map[string]string{}
	add := func(name string, file File) error {
		if other, ok := taken[name]; ok {
			return fmt.Errorf("%q and %q would have one name in a folder, %s", other, file.Role, name)
		}
		taken[name] = file.Role
		if file.Data == nil {
			return fmt.Errorf("%s version %d has no data", file.Role, file.Version)
		}
		out = append(out, namedFile{name, file.Data})
		return nil
	}
	for _, file := range append(append([]File{}, pub.Roles...), pub.Targets, pub.Snapshot) {
		name := fileName(file.Role, file.Version, f.consistent)
		if report != nil && name != plainName(file.Role, file.Version, f.consistent) {
			report(fmt.Sprintf("the role name %q cannot be a file's name as it is: %s holds it, and a web server has to be told so", file.Role, name))
		}
		if err := add(name, file); err != nil {
			return nil, err
		}
	}
	for _, file := range roots {
		if err := add(versioned(file.Version, metadata.RoleRoot), file); err != nil {
			return nil, err
		}
	}
	return out, add(metadata.RoleTimestamp+".json", pub.Timestamp)
}

// stageParallel is how many files are written at the same time.
const stageParallel = 8

// stage writes what is not there beside its place, durably. It returns what it
// wrote also where it fails.
func (f *Folder) stage(ctx context.Context, files []namedFile) ([]staged, error) {
	if err := f.removePartial(); err != nil {
		return nil, err
	}
	all := make([]staged, len(files))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(stageParallel)
	for i, file := range files {
		g.Go(func() error {
			if err := ctx.Err(); err != nil || f.holds(file) {
				return err
			}
			if dir := path.Dir(file.name); dir != "." {
				if err := f.root.MkdirAll(dir, 0o755); err != nil {
					return err
				}
			}
			all[i] = staged{partial + strconv.Itoa(i), file.name}
			return f.write(all[i].temp, file.raw)
		})
	}
	err := g.Wait()
	out := all[:0]
	for _, s := range all {
		if s.temp != "" {
			out = append(out, s)
		}
	}
	return out, err
}

// holds reports whether a file is there as it is.
func (f *Folder) holds(file namedFile) bool {
	raw, err := f.read(file.name, int64(len(file.raw)))
	return err == nil && bytes.Equal(raw, file.raw)
}

func (f *Folder) write(name string, raw []byte) error {
	file, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(raw)
	return errors.Join(err, file.Sync(), file.Close())
}

// sync makes what was put in place durable.
func (f *Folder) sync(names []string) error {
	dirs := map[string]bool{}
	for _, name := range names {
		for dir := path.Dir(name); !dirs[dir]; dir = path.Dir(dir) {
			dirs[dir] = true
		}
	}
	for dir := range dirs {
		d, err := f.root.Open(strings.TrimPrefix(dir, "/"))
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}
