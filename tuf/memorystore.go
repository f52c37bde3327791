package tuf

import (
	"bytes"
	"fmt"
	"io/fs"
)

// MemoryStore is a [Store] that ends with the program. The zero value is not
// usable: make(MemoryStore). It is for one goroutine writing at a time; a
// client's sources read it while the client does not write.
type MemoryStore map[string][]byte

// Get returns a file that was put before.
func (m MemoryStore) Get(role string) ([]byte, error) {
	raw, ok := m[role]
	if !ok {
		return nil, fmt.Errorf("%s: %w", role, fs.ErrNotExist)
	}
	return raw, nil
}

// Put keeps a copy of the file.
func (m MemoryStore) Put(role string, raw []byte) error {
	m[role] = bytes.Clone(raw)
	return nil
}

// Delete forgets the file.
func (m MemoryStore) Delete(role string) error {
	delete(m, role)
	return nil
}
