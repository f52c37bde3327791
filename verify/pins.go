package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
)

var (
	// ErrUnknownPublisher says that no publisher of that name is pinned.
	ErrUnknownPublisher = errors.New("unknown publisher")
	// ErrPinned says that a pin stands in the way: the name has another root,
	// or the publisher is pinned under another name.
	ErrPinned = errors.New("already pinned")
)

// lockWait bounds the wait for another process that writes a small file.
const lockWait = 10 * time.Second

// Pins are the publishers pinned on this machine, one file each in a folder.
// Methods may be called by several goroutines and processes.
type Pins struct{ dir string }

// OpenPins returns the pins in dir, which is made when the first is added.
func OpenPins(dir string) *Pins { return &Pins{dir: dir} }

// pinFile is a pin as it is stored.
type pinFile struct {
	Version      int      `json:"version"`
	Root         []byte   `json:"root"`
	Repositories []string `json:"repositories"`
}

const pinSuffix = ".json"

// Add pins a publisher, or replaces the repositories of one that is pinned
// with the same root. There is no trust on first use: the caller had p.Root
// from a person, or compared its digest with one that a person gave. It
// refuses a root that is none (ErrRoot), a name that has another root and a
// publisher that is pinned under another name (ErrPinned).
func (p *Pins) Add(pin Pin) error {
	if err := CheckPinName(pin.Name); err != nil {
		return err
	}
	if len(pin.Repositories) == 0 {
		return fmt.Errorf("publisher %s: no repository is given", pin.Name)
	}
	repos, err := repositories(pin.Repositories, "")
	if err != nil {
		return fmt.Errorf("publisher %s: %w", pin.Name, err)
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	return withLock(filepath.Join(p.dir, ".lock"), func() error {
		if err := p.free(pin); err != nil {
			return err
		}
		raw, err := json.MarshalIndent(pinFile{Version: 1, Root: pin.Root, Repositories: repos}, "", "  ")
		if err != nil {
			return err
		}
		return registrystore.WriteFile(p.path(pin.Name), append(raw, '\n'), 0o600)
	})
}

// free refuses a pin that another one stands in the way of.
func (p *Pins) free(pin Pin) error {
	id, err := pin.ID()
	if err != nil {
		return err
	}
	others, err := p.List()
	if err != nil {
		return err
	}
	for _, other := range others {
		if strings.EqualFold(other.Name, pin.Name) { // some file systems ignore case
			if other.Name != pin.Name || other.Digest() != pin.Digest() {
				return fmt.Errorf("publisher %s: %w with root %s: remove that pin first", other.Name, ErrPinned, other.Digest())
			}
			continue
		}
		otherID, err := other.ID()
		if err != nil {
			return err
		}
		if otherID == id {
			return fmt.Errorf("publisher %s: %w as %s: both roots carry the publisher id %s", pin.Name, ErrPinned, other.Name, id)
		}
	}
	return nil
}

// Get returns a pinned publisher, or an error that wraps ErrUnknownPublisher.
func (p *Pins) Get(name string) (Pin, error) {
	if err := CheckPinName(name); err != nil {
		return Pin{}, fmt.Errorf("%w: %w", ErrUnknownPublisher, err)
	}
	raw, err := readBounded(p.path(name), maxPinFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Pin{}, fmt.Errorf("%w: %s: pin it with trust add", ErrUnknownPublisher, name)
	}
	if err != nil {
		return Pin{}, err
	}
	return decodePin(name, p.path(name), raw)
}

func decodePin(name, path string, raw []byte) (Pin, error) {
	var f pinFile
	err := json.Unmarshal(raw, &f)
	if err == nil && f.Version != 1 {
		err = fmt.Errorf("version %d where 1 is known", f.Version)
	}
	if err == nil {
		_, err = OpenRoot(f.Root)
	}
	if err != nil {
		return Pin{}, fmt.Errorf("pinned publisher %s: %s is damaged: pin it again: %w", name, path, err)
	}
	return Pin{Name: name, Root: f.Root, Repositories: f.Repositories}, nil
}

// List returns all pinned publishers, by name.
func (p *Pins) List() ([]Pin, error) {
	entries, err := os.ReadDir(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Pin
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), pinSuffix)
		if !ok || CheckPinName(name) != nil {
			continue
		}
		pin, err := p.Get(name)
		if err != nil {
			return nil, err
		}
		out = append(out, pin)
	}
	slices.SortFunc(out, func(a, b Pin) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Remove takes a pin away. What was seen of the publisher stays remembered
// ([States]): pinned again, it cannot be rolled back.
func (p *Pins) Remove(name string) error {
	if err := CheckPinName(name); err != nil {
		return fmt.Errorf("%w: %w", ErrUnknownPublisher, err)
	}
	err := os.Remove(p.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s is not pinned", ErrUnknownPublisher, name)
	}
	return err
}

func (p *Pins) path(name string) string { return filepath.Join(p.dir, name+pinSuffix) }

// maxPinFile holds a root of the greatest size in base64, and its repositories.
const maxPinFile = metadata.MaxRoot*4/3 + 64<<10

// repositories checks trust repositories and makes the folders of layouts
// absolute, seen from dir ("" for the working directory).
func repositories(list []string, dir string) ([]string, error) {
	out := make([]string, len(list))
	for i, s := range list {
		repo, err := registrystore.ParseRepository(s, "")
		if err != nil {
			return nil, err
		}
		if out[i], err = absolute(repo, dir); err != nil {
			return nil, err
		}
		if slices.Contains(out[:i], out[i]) {
			return nil, fmt.Errorf("the repository %s stands twice", s)
		}
	}
	return out, nil
}

func absolute(repo registrystore.Repository, dir string) (string, error) {
	if repo.IsLayout() && !filepath.IsAbs(repo.Dir) {
		abs, err := filepath.Abs(filepath.Join(dir, repo.Dir))
		if err != nil {
			return "", err
		}
		repo.Dir = abs
	}
	return repo.String(), nil
}

// withLock runs f while no other process holds the lock file at path.
func withLock(path string, f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	l := flock.New(path)
	if ok, err := l.TryLockContext(ctx, 5*time.Millisecond); err != nil || !ok {
		return fmt.Errorf("%s: wait for another process: %w", path, err)
	}
	return errors.Join(f(), l.Unlock())
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return raw, err
}
