//go:build unix

package weights

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapping is a whole file as read-only bytes.
type mapping struct {
	path   string
	data   []byte
	mapped bool
}

// mapFile maps the regular file at path read-only. The bytes stay valid until Close; the file must not be
// truncated meanwhile (hone itself only ever replaces files by rename).
func mapFile(path string) (*mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", path)
	}
	size := info.Size()
	if size == 0 {
		return &mapping{path: path}, nil // mmap refuses a length of zero
	}
	if int64(int(size)) != size {
		return nil, fmt.Errorf("open %s: %d bytes do not fit this machine's address space", path, size)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &mapping{path: path, data: data, mapped: true}, nil
}

// rest gives the file's pages in memory back to the system, which reads them again when somebody looks at them.
func (m *mapping) rest() {
	if m.mapped {
		_ = unix.Madvise(m.data, unix.MADV_DONTNEED) // advice, that nothing hangs on
	}
}

// Close unmaps the file; every view of its bytes is invalid afterwards.
func (m *mapping) Close() error {
	if !m.mapped {
		return nil
	}
	data := m.data
	m.data, m.mapped = nil, false
	return unix.Munmap(data)
}
