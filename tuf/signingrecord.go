package tuf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/carnet-project/carnet/metadata"
)

// Record remembers what this signer signed where others must be able to rely on
// it: root, roles that need several signatures, and everything in proposals.
// One that signed a file never signs another of the same role and version: two
// of them, each with enough signatures, could be shown to different readers.
type Record interface {
	// Signed returns what was signed of a role in a version, or an error that
	// wraps fs.ErrNotExist.
	Signed(role string, version int64) (*SignedFile, error)
	// Add remembers a file. Once it returns nil, that survives a crash. It fails
	// with ErrSignedOther if another of its role and version is there; to add
	// the same again is no change.
	Add(f SignedFile) error
}

// SignedFile is an entry of a [Record].
type SignedFile struct {
	Role     string `json:"role"`
	Version  int64  `json:"version"`
	Proposal string `json:"proposal"` // [Proposal.ID] of what it was part of
	Signed   []byte `json:"signed"`   // what the signature is over
}

// ErrSignedOther says that this signer signed another file of the same role and
// version before.
var ErrSignedOther = errors.New("this machine signed another file of that role and version")

func signedOther(f *SignedFile) error {
	return fmt.Errorf("%w: %s version %d in %.12s: approve that one, wait until it is published, or if everybody gave it up `carnet propose forget %.12s`",
		ErrSignedOther, f.Role, f.Version, f.Proposal, f.Proposal)
}

// FolderRecord is a [Record] in a folder of its own, one file for each role
// and version. It is safe for concurrent use by several processes: of two that
// sign different files at once, one is refused.
type FolderRecord struct{ dir string }

// OpenFolderRecord returns the record in dir, which is made with the first entry.
func OpenFolderRecord(dir string) *FolderRecord { return &FolderRecord{dir} }

func (r *FolderRecord) path(role string, version int64) string {
	return filepath.Join(r.dir, fmt.Sprintf("%d.%s.json", version, safeFileName(role)))
}

// Signed returns an entry.
func (r *FolderRecord) Signed(role string, version int64) (*SignedFile, error) {
	f, err := readSigned(r.path(role, version))
	if err == nil && (f.Role != role || f.Version != version) {
		err = fmt.Errorf("%s: it is of %s version %d", r.path(role, version), f.Role, f.Version)
	}
	return f, err
}

// maxSignedFile holds the largest file in base64.
const maxSignedFile = metadata.MaxTargets*4/3 + 4096

func readSigned(path string) (*SignedFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxSignedFile+1))
	if err != nil {
		return nil, err
	}
	f := &SignedFile{}
	if err := json.Unmarshal(raw, f); err != nil || len(f.Signed) == 0 {
		return nil, fmt.Errorf("%s is damaged, and says what this machine may not sign: restore it from a backup, or delete it if you know that nothing was signed: %w", path, err)
	}
	return f, nil
}

// Add writes the entry beside its place and links it there, which fails if
// another process was first.
func (r *FolderRecord) Add(f SignedFile) error {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(r.dir, ".partial-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(raw)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	err = os.Link(tmp.Name(), r.path(f.Role, f.Version))
	if errors.Is(err, fs.ErrExist) {
		there, err := r.Signed(f.Role, f.Version)
		if err == nil && !bytes.Equal(there.Signed, f.Signed) {
			err = signedOther(there)
		}
		return err
	}
	if err != nil {
		return err
	}
	return syncFolder(r.dir)
}

// List returns all entries.
func (r *FolderRecord) List() ([]SignedFile, error) {
	entries, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []SignedFile
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		f, err := readSigned(filepath.Join(r.dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, *f)
	}
	return out, nil
}

// Forget removes the entries of the proposals whose ID begins with id, and
// returns them. It is dangerous while anybody may still publish one of them:
// then this machine may have signed two files of one role and version, which
// who holds keys of snapshot and timestamp can show to different readers.
func (r *FolderRecord) Forget(id string) ([]SignedFile, error) {
	all, err := r.List()
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(f SignedFile) bool { return !strings.HasPrefix(f.Proposal, id) })
	for _, f := range all {
		if err := os.Remove(r.path(f.Role, f.Version)); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	return all, syncFolder(r.dir)
}
