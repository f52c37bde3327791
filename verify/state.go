package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"github.com/carnet-project/carnet/metadata"
	"github.com/carnet-project/carnet/registrystore"
	"github.com/carnet-project/carnet/tuf"
)

// ErrState says that what was remembered of a publisher cannot be read or
// kept. It is never passed over: without it an attacker can roll back.
var ErrState = errors.New("rollback state")

// States remembers, one file a publisher, the newest root, timestamp and
// snapshot that were verified, so that nobody can show older ones later, and
// the roles that gave themselves up, so that nobody takes that back. It
// belongs in the configuration folder: who deletes it takes the protection
// away. Methods may be called by several goroutines and processes.
type States struct{ dir string }

// OpenStates returns the states in dir, which is made when the first is kept.
func OpenStates(dir string) *States { return &States{dir: dir} }

// State is what is remembered of one publisher, in memory during an update.
// It is a [tuf.Store]; [State.Commit] makes what the update accepted durable.
// A State is for one update. Get may be called by several goroutines.
type State struct {
	path  string        // "" for one that is kept in memory only
	pin   digest.Digest // of the pinned root that the update starts from
	was   content       // as loaded
	now   content       // as the update left it
	roles map[string][]byte
	cache *registrystore.Cache
	mu    sync.Mutex
	read  map[digest.Digest][]byte // from cache; guarded by mu
	// listed is what the snapshot as loaded says of roles.
	listed func() map[string]metadata.MetaFile
}

// content is what one state file remembers: files as they were received, and
// the client's marks of roles that gave themselves up.
type content struct {
	Root, Timestamp, Snapshot, Marks []byte
	// Attached says that the timestamp was attached to an artifact, and that no
	// repository has shown it yet.
	Attached bool
}

// stateFile is a state as it is stored.
type stateFile struct {
	Version int `json:"version"`
	// Pin is the digest of the pinned root from which Root was reached.
	Pin       digest.Digest `json:"pin"`
	Root      []byte        `json:"root,omitempty"`
	Timestamp []byte        `json:"timestamp,omitempty"`
	Snapshot  []byte        `json:"snapshot,omitempty"`
	// Marks is what [tuf.StoreMarks] names.
	Marks    []byte `json:"marks,omitempty"`
	Attached bool   `json:"attached,omitempty"`
	// Sum is the digest of the files, so that damage is seen: a file that lost
	// a bit would else count as never signed, and be forgotten.
	Sum digest.Digest `json:"sum"`
}

// Load returns what is remembered of the publisher of the pinned root. A
// root that was reached from another pinned root is not taken up: the id
// that names the file is only that root's claim. Its timestamp and snapshot
// are: they bind only as far as the keys of the newest root signed them.
//
// The files of targets and of delegated roles are not part of it: they are
// read from cache, and kept there, by the digests in the snapshot. Cache may
// be nil.
func (s *States) Load(pinned []byte, cache *registrystore.Cache) (*State, error) {
	root, err := OpenRoot(pinned)
	if err != nil {
		return nil, err
	}
	name, err := stateName(PublisherID(root))
	if err != nil {
		return nil, err
	}
	st := NewMemoryState(pinned, cache)
	st.path = filepath.Join(s.dir, name)
	disk, err := readState(st.path)
	if err != nil {
		return nil, err
	}
	st.was = disk.content()
	if disk.Pin != st.pin {
		st.was.Root = nil
	}
	st.now = st.was
	return st, nil
}

// NewMemoryState returns a state that remembers nothing and is never kept.
func NewMemoryState(pinned []byte, cache *registrystore.Cache) *State {
	s := &State{pin: digest.FromBytes(pinned), roles: map[string][]byte{}, cache: cache, read: map[digest.Digest][]byte{}}
	s.listed = sync.OnceValue(func() map[string]metadata.MetaFile {
		f, err := metadata.Decode(metadata.RoleSnapshot, s.was.Snapshot)
		if s.was.Snapshot == nil || err != nil {
			return nil
		}
		return f.Snapshot.Meta
	})
	return s
}

// stateName turns a publisher id into a file name. Ids are 32 hexadecimal
// digits or "sha256:" and 64: nothing else becomes a path.
func stateName(id string) (string, error) {
	hex, isDigest := strings.CutPrefix(id, "sha256:")
	if (len(hex) != 32 || isDigest) && len(hex) != 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: %q is no publisher id", ErrState, id)
	}
	return hex + ".json", nil
}

// maxStateFile holds files of the greatest sizes, and marks, in base64.
const maxStateFile = (metadata.MaxRoot+metadata.MaxTimestamp+metadata.MaxSnapshot+tuf.MaxMarksSize)*4/3 + 64<<10

// readState reads a state file; none is as an empty one.
func readState(path string) (stateFile, error) {
	raw, err := readBounded(path, maxStateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return stateFile{}, nil
	}
	if err != nil {
		return stateFile{}, fmt.Errorf("%w: %w", ErrState, err)
	}
	var f stateFile
	if err = json.Unmarshal(raw, &f); err == nil {
		err = f.check()
	}
	if err != nil {
		return f, fmt.Errorf("%w: %s is damaged, and without it old metadata could be passed off as new: "+
			"restore it from a backup, or delete it if you accept that risk once: %w", ErrState, path, err)
	}
	return f, nil
}

func (f stateFile) check() error {
	if f.Version != 1 {
		return fmt.Errorf("version %d where 1 is known", f.Version)
	}
	if sum := f.content().sum(); f.Sum != sum {
		return fmt.Errorf("want %s, found %s", f.Sum, sum)
	}
	return nil
}

func (f stateFile) content() content {
	return content{Root: f.Root, Timestamp: f.Timestamp, Snapshot: f.Snapshot, Marks: f.Marks, Attached: f.Attached}
}

func (c content) sum() digest.Digest {
	d := digest.SHA256.Digester()
	files := [][]byte{c.Root, c.Timestamp, c.Snapshot}
	if len(c.Marks) > 0 { // a state without them has the sum that it always had
		files = append(files, c.Marks)
	}
	for _, raw := range files {
		fmt.Fprintf(d.Hash(), "%d\n", len(raw))
		d.Hash().Write(raw)
	}
	return d.Digest()
}

func (c *content) file(role string) *[]byte {
	switch role {
	case metadata.RoleRoot:
		return &c.Root
	case metadata.RoleTimestamp:
		return &c.Timestamp
	case metadata.RoleSnapshot:
		return &c.Snapshot
	case tuf.StoreMarks:
		return &c.Marks
	}
	return nil
}

// Get returns a file of the store. Of a role it is the file that was trusted
// last, which the client needs to see what changed.
func (s *State) Get(role string) ([]byte, error) {
	raw := s.roles[role]
	if f := s.now.file(role); f != nil {
		raw = *f
	} else if raw == nil {
		raw = s.cached(role)
	}
	if raw == nil {
		return nil, fmt.Errorf("%s: %w", role, fs.ErrNotExist)
	}
	return raw, nil
}

func (s *State) cached(role string) []byte {
	d := s.listed()[role].Hashes.Digest()
	if d == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read[d] == nil {
		s.read[d] = s.cache.Get(d)
	}
	return s.read[d]
}

// Put replaces a file until Commit. A timestamp counts as seen in a repository:
// those who read attachments say so afterwards.
func (s *State) Put(role string, raw []byte) error {
	if role == metadata.RoleTimestamp && !bytes.Equal(raw, s.now.Timestamp) {
		s.now.Attached = false
	}
	if f := s.now.file(role); f != nil {
		*f = raw
	} else {
		s.roles[role] = raw
	}
	return nil
}

// Delete forgets a file until Commit.
func (s *State) Delete(role string) error {
	if f := s.now.file(role); f != nil {
		*f = nil
	}
	delete(s.roles, role)
	return nil
}

// copy returns a state that holds the same and is never kept.
func (s *State) copy() *State {
	return &State{
		pin: s.pin, was: s.was, now: s.now, roles: maps.Clone(s.roles), cache: s.cache, listed: s.listed,
		read: map[digest.Digest][]byte{},
	}
}

// fork returns a state that holds the same, to be tried in its place.
func (s *State) fork() *State {
	out := s.copy()
	out.path = s.path
	return out
}

// byAttachment notes that what is newer than in was came by attachment.
func (s *State) byAttachment(was *State) {
	if !bytes.Equal(s.now.Timestamp, was.now.Timestamp) {
		s.now.Attached = true
	}
}

// lasts takes over what lasts, whatever becomes of the rest: which roles were
// seen to give themselves up, and the newest root.
func (s *State) lasts(seen *State) {
	s.now.Marks = tuf.JoinMarks(s.now.Marks, seen.now.Marks)
	if version(metadata.RoleRoot, seen.now.Root) > version(metadata.RoleRoot, s.now.Root) {
		s.now.Root = seen.now.Root
	}
}

// byRepository notes that a repository has what is trusted.
func (s *State) byRepository() { s.now.Attached = false }

// Changed reports whether Commit has anything to keep.
func (s *State) Changed() bool {
	return s.path != "" && !s.now.equal(s.was)
}

func (c content) equal(o content) bool {
	return bytes.Equal(c.Root, o.Root) && bytes.Equal(c.Timestamp, o.Timestamp) && bytes.Equal(c.Snapshot, o.Snapshot) &&
		bytes.Equal(c.Marks, o.Marks) && c.Attached == o.Attached
}

// Commit keeps what the update accepted, also where it failed half way. It
// writes nothing if nothing changed, and never goes back behind what another
// process kept meanwhile. On a full disk the old file stays.
func (s *State) Commit() error {
	for _, raw := range s.roles {
		s.cache.Put(raw)
	}
	if !s.Changed() {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	err := withLock(s.path+".lock", func() error {
		disk, err := readState(s.path)
		if err != nil {
			return err
		}
		return s.keep(disk)
	})
	if err != nil && !errors.Is(err, ErrState) {
		err = fmt.Errorf("%w could not be kept: %w", ErrState, err)
	}
	return err
}

func (s *State) keep(disk stateFile) error {
	was := disk.content()
	if disk.Pin != s.pin {
		was.Root = nil
	}
	merged := newest(was, s.now)
	if !merged.equal(was) {
		raw, err := json.Marshal(stateFile{
			Version: 1, Pin: s.pin, Root: merged.Root, Timestamp: merged.Timestamp, Snapshot: merged.Snapshot, Marks: merged.Marks,
			Attached: merged.Attached, Sum: merged.sum(),
		})
		if err != nil {
			return err
		}
		if err := registrystore.WriteFile(s.path, raw, 0o600); err != nil {
			return err
		}
	}
	s.was = s.now
	return nil
}

// newest joins what two updates of one publisher accepted. The newer root
// wins. Timestamps and snapshots count only as far as that root's keys signed
// them, so that the recovery from a leap to a high version lasts (TUF
// 5.3.11); then the greater timestamp wins with its snapshot. Marks are joined.
func newest(disk, mine content) content {
	out := content{Root: mine.Root, Marks: tuf.JoinMarks(disk.Marks, mine.Marks)}
	if version(metadata.RoleRoot, disk.Root) >= version(metadata.RoleRoot, mine.Root) {
		out.Root = disk.Root
	}
	disk, mine = disk.under(out.Root), mine.under(out.Root)
	better := disk
	if a, b := disk.versions(), mine.versions(); b[0] > a[0] || b[0] == a[0] && b[1] > a[1] {
		better = mine
	}
	out.Timestamp, out.Snapshot, out.Attached = better.Timestamp, better.Snapshot, better.Attached
	if bytes.Equal(disk.Timestamp, mine.Timestamp) { // one of them saw it in a repository
		out.Attached = disk.Attached && mine.Attached
	}
	return out
}

func (c content) versions() [2]int64 {
	return [2]int64{version(metadata.RoleTimestamp, c.Timestamp), version(metadata.RoleSnapshot, c.Snapshot)}
}

// under drops what the keys of root do not vouch for. Without its snapshot a
// timestamp goes too: it repeats the version that may have leapt. No root
// stored means that the pinned one is the newest still: nothing leapt yet.
func (c content) under(root []byte) content {
	r, err := metadata.Decode(metadata.RoleRoot, root)
	if root == nil || err != nil {
		return c
	}
	if c.Snapshot != nil && !signedUnder(r, metadata.RoleSnapshot, c.Snapshot) {
		c.Snapshot, c.Timestamp = nil, nil
	}
	if c.Timestamp != nil && !signedUnder(r, metadata.RoleTimestamp, c.Timestamp) {
		c.Timestamp = nil
	}
	return c
}

func signedUnder(root *metadata.File, role string, raw []byte) bool {
	f, err := metadata.Decode(role, raw)
	return err == nil && tuf.VerifyThreshold(role, f, root.Root.Keys, root.Root.Roles[role]) == nil
}

// version returns the version of a file, 0 for none.
func version(role string, raw []byte) int64 {
	f, err := metadata.Decode(role, raw)
	if raw == nil || err != nil {
		return 0
	}
	return f.Version
}
