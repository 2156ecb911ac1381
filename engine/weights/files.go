package weights

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// disk is what atomic writing asks of the file system. Its functions are fields so that a test can make any of
// them fail, or stop the program there.
type disk struct {
	mkdirTemp func(dir, pattern string) (string, error)
	create    func(path string) (diskFile, error)
	rename    func(from, to string) error
	exchange  func(a, b string) error // swap two paths; errors.ErrUnsupported where the system cannot
	syncDir   func(path string) error
	removeAll func(path string) error
}

// diskFile is a file being written.
type diskFile interface {
	io.Writer
	Sync() error
	Close() error
}

func realDisk() disk {
	return disk{
		mkdirTemp: os.MkdirTemp,
		create: func(path string) (diskFile, error) {
			return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		},
		rename:    os.Rename,
		exchange:  exchange,
		syncDir:   syncDir,
		removeAll: os.RemoveAll,
	}
}

// writeSynced writes a new file and brings it to the disk before it closes it.
func (d disk) writeSynced(path string, write func(io.Writer) error) (err error) {
	f, err := d.create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	b := bufio.NewWriterSize(f, 256<<10)
	if err := write(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return f.Sync()
}

// WriteFileAtomic makes path hold what write writes, or leaves it as it was: the new file is written beside it,
// brought to disk, and renamed over it. A full disk shows as an error that errors.Is finds to be syscall.ENOSPC.
func WriteFileAtomic(path string, write func(io.Writer) error) error {
	return writeFileAtomic(realDisk(), path, write)
}

func writeFileAtomic(d disk, path string, write func(io.Writer) error) error {
	dir, name := filepath.Split(filepath.Clean(path))
	if dir == "" {
		dir = "."
	}
	// The temporary file sits in a folder of its own, whose name says whose it is.
	temp, err := d.mkdirTemp(dir, "."+name+tempMark+"*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = d.removeAll(temp) }() // a temporary name: the next writer clears what stays
	part := filepath.Join(temp, name)
	if err := d.writeSynced(part, write); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := d.rename(part, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := d.syncDir(dir); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// syncDir brings a folder's entries to disk. Systems that cannot sync folders keep them by themselves.
func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}
