package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	manifestName    = "manifest.json"
	manifestVersion = 1
	tempMark        = ".tmp-" // between the target's name and a random number
	oldMark         = ".old"  // after the name of a folder that is being replaced
)

// ErrNoManifest says that a folder has no manifest.json: it was not written by Folder.
var ErrNoManifest = errors.New("no " + manifestName)

// Manifest is manifest.json, which lists every file of a folder with its hash and is written last.
type Manifest struct {
	Version int                     `json:"version"`
	Files   map[string]ManifestFile `json:"files"`
}

// ManifestFile is the size and hash of one file.
type ManifestFile struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Folder writes a folder that appears at its target whole or not at all, and until then leaves what is there
// alone. Files go into a temporary folder beside the target, each is brought to disk, the manifest is written
// last, and Commit renames. After the first error every later step returns it.
type Folder struct {
	disk     disk
	target   string
	temp     string
	manifest Manifest
	err      error
	done     bool
}

// CreateFolder begins a folder for target, whose parent is made if need be. It clears away what an interrupted
// writer of the same target left behind. One process at a time may write a target.
func CreateFolder(target string) (*Folder, error) { return createFolder(realDisk(), target) }

func createFolder(d disk, target string) (*Folder, error) {
	target, err := filepath.Abs(target)
	if err != nil {
		return nil, fmt.Errorf("write folder: %w", err)
	}
	parent, name := filepath.Split(target)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, fmt.Errorf("write folder: %w", err)
	}
	if err := RecoverFolder(target); err != nil {
		return nil, err
	}
	temp, err := d.mkdirTemp(parent, "."+name+tempMark+"*")
	if err != nil {
		return nil, fmt.Errorf("write folder %s: %w", target, err)
	}
	return &Folder{disk: d, target: target, temp: temp, manifest: Manifest{Version: manifestVersion, Files: map[string]ManifestFile{}}}, nil
}

// RecoverFolder finishes or undoes what a crash interrupted in replacing the folder (or, by WriteFileAtomic, the
// file) at target: it removes temporary folders,
// and puts the old folder back if the crash came between taking it away and putting the new one in place (which
// happens only where the system cannot swap two folders in one step).
func RecoverFolder(target string) error {
	parent, name := filepath.Split(filepath.Clean(target))
	if parent == "" {
		parent = "."
	}
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recover %s: %w", target, err)
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."+name+tempMark):
			err = os.RemoveAll(path)
		case e.Name() == "."+name+oldMark && !exists(target):
			err = os.Rename(path, target)
		case e.Name() == "."+name+oldMark:
			err = os.RemoveAll(path)
		}
		if err != nil {
			return fmt.Errorf("recover %s: %w", target, err)
		}
	}
	return nil
}

// Write adds a file called name, a plain file name, with what write writes. The hash is taken on the way.
func (f *Folder) Write(name string, write func(io.Writer) error) error {
	if f.err != nil {
		return f.err
	}
	if _, dup := f.manifest.Files[name]; dup || !plainName(name) || name == manifestName {
		panic(fmt.Sprintf("weights: file name %q is not plain, or used already", name))
	}
	sum := hashingWriter{sum: sha256.New()}
	err := f.disk.writeSynced(filepath.Join(f.temp, name), func(w io.Writer) error {
		sum.to = w
		return write(&sum)
	})
	if err != nil {
		f.err = fmt.Errorf("write %s: %w", filepath.Join(f.target, name), err)
		return f.err
	}
	f.manifest.Files[name] = ManifestFile{Size: sum.size, SHA256: hex.EncodeToString(sum.sum.Sum(nil))}
	return nil
}

type hashingWriter struct {
	to   io.Writer
	sum  hash.Hash
	size int64
}

func (w *hashingWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.sum.Write(p[:n])
	w.size += int64(n)
	return n, err
}

// Commit writes the manifest and puts the folder in place of what was at the target. On an error the target is
// as it was.
func (f *Folder) Commit() error {
	if f.err != nil || f.done {
		return f.err
	}
	if f.err = f.commit(); f.err != nil {
		f.err = fmt.Errorf("write folder %s: %w", f.target, f.err)
		return f.err
	}
	f.done = true
	return nil
}

func (f *Folder) commit() error {
	d := f.disk
	text, err := json.MarshalIndent(f.manifest, "", "  ")
	if err != nil {
		return err
	}
	err = d.writeSynced(filepath.Join(f.temp, manifestName), func(w io.Writer) error { return writeAll(w, append(text, '\n')) })
	if err != nil {
		return err
	}
	if err := os.Chmod(f.temp, 0o755); err != nil { // MkdirTemp makes it private
		return err
	}
	if err := d.syncDir(f.temp); err != nil {
		return err
	}
	parent := filepath.Dir(f.target)
	if !exists(f.target) {
		if err := d.rename(f.temp, f.target); err != nil {
			return err
		}
		if err := d.syncDir(parent); err != nil {
			return errors.Join(err, d.rename(f.target, f.temp))
		}
		return nil
	}
	err = d.exchange(f.temp, f.target)
	if err == nil { // temp now is the old folder
		if err := d.syncDir(parent); err != nil {
			return errors.Join(err, d.exchange(f.temp, f.target))
		}
		_ = d.removeAll(f.temp) // the new one is in place; the next writer clears what stays
		return nil
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return f.replaceInSteps(parent)
}

// replaceInSteps takes the old folder away and puts the new one in place. Between the two renames the target
// does not exist; RecoverFolder puts the old one back after a crash there.
func (f *Folder) replaceInSteps(parent string) error {
	d := f.disk
	old := filepath.Join(parent, "."+filepath.Base(f.target)+oldMark)
	if err := d.rename(f.target, old); err != nil {
		return err
	}
	if err := d.rename(f.temp, f.target); err != nil {
		return errors.Join(err, d.rename(old, f.target))
	}
	if err := d.syncDir(parent); err != nil {
		return errors.Join(err, d.rename(f.target, f.temp), d.rename(old, f.target))
	}
	_ = d.removeAll(old) // the new one is in place; the next writer clears what stays
	return nil
}

// Abort removes what was written, unless Commit has succeeded; it is safe to defer.
func (f *Folder) Abort() {
	if !f.done {
		_ = f.disk.removeAll(f.temp) // the next writer clears what stays
		f.done = true
	}
}

// VerifyFolder checks every file that the folder's manifest lists against its size and hash. Files that it does
// not list are ignored. Without a manifest the error is ErrNoManifest; a mismatch is a *FormatError.
func VerifyFolder(dir string) error {
	path := filepath.Join(dir, manifestName)
	var m Manifest
	err := readJSON(path, &m)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", dir, ErrNoManifest)
	case err != nil:
		return err
	case m.Version > manifestVersion:
		return &UnsupportedError{Path: path, Place: "field version", Feature: fmt.Sprintf("version %d", m.Version), Fix: "update hone"}
	case m.Version < 1 || len(m.Files) == 0:
		return malformed(path, "", "lists no files, or has no version")
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		if !plainName(name) {
			return malformed(path, "field files", "%s is not a plain file name", quote(name))
		}
		if err := m.Files[name].verify(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (want ManifestFile) verify(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return malformed(path, "", "missing, but listed in %s", manifestName)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if n != want.Size || hex.EncodeToString(sum.Sum(nil)) != want.SHA256 {
		return &FormatError{Path: path, Problem: fmt.Sprintf("its %d bytes are not the %d that %s lists", n, want.Size, manifestName),
			Fix: "it is damaged or was changed; use another copy, or remove " + manifestName + " if you changed it on purpose"}
	}
	return nil
}
