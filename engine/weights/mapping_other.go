//go:build !unix

package weights

import (
	"fmt"
	"os"
)

// mapping is a whole file as bytes; on systems without mmap it is read into memory.
type mapping struct {
	path string
	data []byte
}

// mapFile reads the regular file at path.
func mapFile(path string) (*mapping, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return &mapping{path: path, data: data}, nil
}

// rest does nothing: the bytes are the only ones.
func (m *mapping) rest() {}

// Close lets the bytes go.
func (m *mapping) Close() error {
	m.data = nil
	return nil
}
