package weights

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// faultyDisk counts the operations of a disk and stops at one of them: with an error, or as a crash does, which
// leaves everything as it is, half a written block included.
type faultyDisk struct {
	steps  int // operations so far
	failAt int // 0: never
	err    error
	crash  bool
}

// crashed is what a simulated crash panics with.
type crashed struct{}

func (f *faultyDisk) step() error {
	f.steps++
	if f.steps != f.failAt {
		return nil
	}
	if f.crash {
		panic(crashed{})
	}
	return f.err
}

// disk wraps the real one. exchange says whether it can swap folders.
func (f *faultyDisk) disk(canExchange bool) disk {
	real := realDisk()
	return disk{
		mkdirTemp: func(dir, pattern string) (string, error) {
			if err := f.step(); err != nil {
				return "", err
			}
			return real.mkdirTemp(dir, pattern)
		},
		create: func(path string) (diskFile, error) {
			if err := f.step(); err != nil {
				return nil, err
			}
			file, err := real.create(path)
			return &faultyFile{f, file}, err
		},
		rename: func(from, to string) error { return orDo(f, func() error { return real.rename(from, to) }) },
		exchange: func(a, b string) error {
			if !canExchange {
				return errors.ErrUnsupported
			}
			return orDo(f, func() error { return real.exchange(a, b) })
		},
		syncDir:   func(path string) error { return orDo(f, func() error { return real.syncDir(path) }) },
		removeAll: func(path string) error { return orDo(f, func() error { return real.removeAll(path) }) },
	}
}

func orDo(f *faultyDisk, do func() error) error {
	if err := f.step(); err != nil {
		return err
	}
	return do()
}

type faultyFile struct {
	faults *faultyDisk
	diskFile
}

func (f *faultyFile) Write(p []byte) (n int, err error) {
	half := func() { n, _ = f.diskFile.Write(p[:len(p)/2]) }
	defer func() {
		if r := recover(); r != nil {
			half()
			panic(r)
		}
	}()
	if err := f.faults.step(); err != nil {
		half()
		return n, err
	}
	return f.diskFile.Write(p)
}

func (f *faultyFile) Sync() error { return orDo(f.faults, f.diskFile.Sync) }

// writeVersion writes a folder of two files that say which version they are.
func writeVersion(d disk, target, version string) error {
	f, err := createFolder(d, target)
	if err != nil {
		return err
	}
	for _, name := range []string{"a", "b"} {
		f.Write(name, func(w io.Writer) error {
			_, err := io.WriteString(w, name+version)
			return err
		})
	}
	err = f.Commit()
	f.Abort()
	return err
}

// readVersion recovers and verifies the folder and returns its version, "" if there is none.
func readVersion(t *testing.T, target string) string {
	t.Helper()
	if err := RecoverFolder(target); err != nil {
		t.Fatal(err)
	}
	if !exists(target) {
		return ""
	}
	if err := VerifyFolder(target); err != nil {
		t.Fatal(err)
	}
	a, _ := os.ReadFile(filepath.Join(target, "a"))
	b, _ := os.ReadFile(filepath.Join(target, "b"))
	if string(a[1:]) != string(b[1:]) {
		t.Fatalf("versions %q and %q are mixed", a, b)
	}
	if entries, _ := os.ReadDir(filepath.Dir(target)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
	return string(a[1:])
}

// Whatever operation fails or crashes, a reader finds the old version or the new one, whole.
func TestFolderSurvivesEveryFault(t *testing.T) {
	for _, existing := range []bool{false, true} {
		for _, canExchange := range []bool{false, true} {
			for _, crash := range []bool{false, true} {
				t.Run(fmt.Sprintf("existing=%v,exchange=%v,crash=%v", existing, canExchange, crash), func(t *testing.T) {
					stride := 1
					if testing.Short() {
						stride = 3 // every write waits for the disk
					}
					for at := 1; ; at += stride {
						if !surviveFault(t, existing, canExchange, crash, at) {
							if at < 10 {
								t.Errorf("only %d operations", at)
							}
							return
						}
					}
				})
			}
		}
	}
}

// surviveFault writes with a fault at operation number at and reports whether that operation was reached.
func surviveFault(t *testing.T, existing, canExchange, crash bool, at int) bool {
	target := filepath.Join(t.TempDir(), "model")
	old := ""
	if existing {
		old = "1"
		if err := writeVersion(realDisk(), target, old); err != nil {
			t.Fatal(err)
		}
	}
	faults := &faultyDisk{failAt: at, err: &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, crash: crash}
	err := func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				if _, ok := r.(crashed); !ok {
					panic(r)
				}
				err = errors.New("crashed")
			}
		}()
		return writeVersion(faults.disk(canExchange), target, "2")
	}()
	reached := faults.steps >= at
	got := readVersion(t, target)
	switch {
	case err == nil && got != "2":
		t.Errorf("operation %d: no error, but version %q", at, got)
	case err != nil && !crash && got != old:
		t.Errorf("operation %d: %v, but version %q", at, err, got)
	case err != nil && !crash && !errors.Is(err, syscall.ENOSPC):
		t.Errorf("operation %d: %v is not a full disk", at, err)
	case got != old && got != "2":
		t.Errorf("operation %d: version %q", at, got)
	}
	if err := writeVersion(realDisk(), target, "3"); err != nil || readVersion(t, target) != "3" {
		t.Errorf("operation %d: the next write fails: %v", at, err)
	}
	return reached
}

func TestWriteFileAtomicSurvivesEveryFault(t *testing.T) {
	for _, crash := range []bool{false, true} {
		for at := 1; ; at++ {
			path := filepath.Join(t.TempDir(), "f")
			write(t, path, []byte("old"))
			faults := &faultyDisk{failAt: at, err: syscall.ENOSPC, crash: crash}
			err := func() (err error) {
				defer func() {
					if recover() != nil {
						err = errors.New("crashed")
					}
				}()
				return writeFileAtomic(faults.disk(true), path, func(w io.Writer) error { return writeAll(w, []byte("new")) })
			}()
			got, _ := os.ReadFile(path)
			if string(got) != "old" && string(got) != "new" || err == nil && string(got) != "new" {
				t.Errorf("operation %d: %q, error %v", at, got, err)
			}
			if err != nil && !crash && !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("operation %d: %v", at, err)
			}
			if faults.steps < at {
				break
			}
		}
	}
}

func TestWriteFileAtomicKeepsOldOnCallerError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	write(t, path, []byte("old"))
	mine := errors.New("mine")
	if err := WriteFileAtomic(path, func(w io.Writer) error { io.WriteString(w, "half"); return mine }); !errors.Is(err, mine) {
		t.Errorf("error %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("file holds %q", got)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// A real full disk: /dev/full fails every write with ENOSPC.
func TestRealFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer f.Close()
	d := realDisk()
	d.create = func(string) (diskFile, error) { return os.OpenFile("/dev/full", os.O_WRONLY, 0) }
	target := filepath.Join(t.TempDir(), "model")
	if err := writeVersion(realDisk(), target, "1"); err != nil {
		t.Fatal(err)
	}
	if err := writeVersion(d, target, "2"); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), target) {
		t.Errorf("error %v", err)
	}
	if got := readVersion(t, target); got != "1" {
		t.Errorf("version %q", got)
	}
}

func TestFolderPermissions(t *testing.T) {
	target := filepath.Join(t.TempDir(), "sub", "model")
	if err := writeVersion(realDisk(), target, "1"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(target)
	if err != nil || info.Mode().Perm()&0o500 != 0o500 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
}

func TestFolderRefusesNames(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", `a\b`, "../a", manifestName, "C:a"} {
		f, err := CreateFolder(filepath.Join(t.TempDir(), "model"))
		if err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("file name %q is accepted", name)
				}
			}()
			f.Write(name, func(io.Writer) error { return nil })
		}()
		f.Abort()
	}
}

func TestVerifyFolderWithoutManifest(t *testing.T) {
	if err := VerifyFolder(t.TempDir()); !errors.Is(err, ErrNoManifest) {
		t.Errorf("error %v", err)
	}
}
