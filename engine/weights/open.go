package weights

import (
	"bytes"
	"errors"
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
func Open(path string) (*Model, error) { return open(path, true) }

// Info describes a model without its weights.
type Info struct {
	Path, Format          string
	Architecture          string // Hugging Face's model_type
	Parameters, Bytes     int64  // elements and stored bytes of all tensors
	Quantisation, Licence string
	Name                  string
}

// Inspect describes the model at path, which it finds as Open does, reading headers alone.
func Inspect(path string) (Info, error) {
	m, err := open(path, false)
	if err != nil {
		return Info{}, err
	}
	defer m.Close()
	info := Info{Path: path, Format: m.Format, Quantisation: m.Quantisation, Licence: m.Licence, Name: m.Name}
	for _, t := range m.Tensors {
		info.Bytes += int64(len(t.Data))
		info.Parameters += int64(len(t.Data) / t.DType.BlockBytes() * t.DType.BlockSize())
	}
	var c struct {
		Type string `json:"model_type"`
	}
	err = decodeJSON(path, m.Config, &c)
	info.Architecture = c.Type
	return info, err
}

// open is Open; reorder false skips putting permuted rows back, for whoever does not use the weights.
func open(path string, reorder bool) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	if info.IsDir() {
		return openFolder(path, reorder)
	}
	head, err := readHead(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("GGUF")):
		return openGGUF(path, reorder)
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
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return head[:n], err
}
