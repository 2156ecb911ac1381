package weights

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Open opens a model: a folder in Hugging Face layout, a .safetensors file with its config.json beside it, a
// GGUF file, or a llama2.c .bin with its tokenizer (tok512.bin or tokenizer.bin) beside it. What a file is, is
// told by its content. Weights stay mapped until Close.
//
// Errors are *FormatError, *UnsupportedError, *PickleError or those of the file system.
func Open(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	if info.IsDir() {
		return openFolder(path)
	}
	head, err := readHead(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("GGUF")):
		return openGGUF(path)
	case looksPickled(head):
		return nil, &PickleError{Path: path}
	case strings.EqualFold(filepath.Ext(path), ".safetensors"):
		return openSafetensors(path)
	case strings.EqualFold(filepath.Ext(path), ".bin"):
		return openLlama2C(path)
	}
	return nil, &FormatError{Path: path, Problem: "not a model: neither GGUF, .safetensors, llama2.c .bin nor a folder",
		Fix: "give a .gguf file, or a folder with config.json and model.safetensors"}
}

// readHead returns the first bytes of a file, enough to tell its kind.
func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 64)
	n, err := io.ReadFull(f, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return head[:n], err
}
