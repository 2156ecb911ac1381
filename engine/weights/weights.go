// Package weights reads and writes what models are stored in: safetensors, GGUF, llama2.c files, Hugging Face
// folders and PEFT adapter folders. Files are mapped read-only; every count, offset and product in them is
// checked before it is used, because a file may come from anyone. Whatever the format, a Model comes out with
// Hugging Face tensor names and a Hugging Face config.
package weights

import (
	"encoding/json"
	"errors"
	"io"
	"sort"
	"sync"

	"hone/engine/tensor"
)

// Tensor is one named array of a file, in its stored precision.
type Tensor struct {
	Name  string
	DType tensor.DType
	Shape []int  // outermost first; empty for a scalar
	Data  []byte // row-major little endian; a read-only view of the mapped file, or heap
}

// Model is an opened model: its tensors under Hugging Face names, its configuration and what belongs to text.
type Model struct {
	Path   string
	Format string // "safetensors", "gguf" or "llama2.c"

	// Config is a Hugging Face config.json. GGUF and llama2.c files get an equivalent one made from their header.
	Config json.RawMessage

	// Tensors holds every tensor of a type the engine can use. Those of other types are in Unusable, by their
	// type's name, so that an unneeded one does no harm; Tensor gives the error for a needed one.
	Tensors  map[string]Tensor
	Unusable map[string]string

	Vocab         *Vocab // the tokenizer inside the file (GGUF) or beside it (llama2.c), else nil
	TokenizerPath string // tokenizer.json beside the weights, else ""
	ChatTemplate  string // Jinja source, "" if there is none

	BOSToken, EOSToken string  // as the chat template sees them
	EOS                []int32 // ids that end a generation

	Licence, Name string
	Quantisation  string // the element type that most bytes of the weights have

	hashed  func() (string, error)
	closers []io.Closer
}

// Vocab is a tokenizer vocabulary as GGUF and llama2.c files hold it. Ids of absent special tokens are -1.
type Vocab struct {
	Model  string // "gpt2" (byte-level BPE) or "llama" (SentencePiece)
	Pre    string // pre-tokenizer name of the gpt2 kinds
	Tokens []string
	Types  []int32   // per token: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
	Scores []float32 // per token, of the llama kind
	Merges []string  // "left right", best first, of the gpt2 kind

	BOS, EOS, UNK, PAD int32

	AddBOS, AddEOS, AddSpacePrefix bool
}

// Tensor returns the tensor called name. The error says whether the file lacks it or holds it in a type the
// engine cannot use.
func (m *Model) Tensor(name string) (Tensor, error) {
	if t, ok := m.Tensors[name]; ok {
		return t, nil
	}
	if typ, ok := m.Unusable[name]; ok {
		return Tensor{}, &UnsupportedError{Path: m.Path, Place: "tensor " + quote(name), Feature: "element type " + typ,
			Fix: "convert the weights to F32, F16, BF16, Q8_0, Q4_0 or Q4_1"}
	}
	return Tensor{}, &FormatError{Path: m.Path, Place: "tensor " + quote(name), Problem: "missing"}
}

// SHA256 returns the hash of the weight bytes in hex: of the file where there is one, else of the lines
// "name hash\n" of the shards in the order of their names. It reads everything once and remembers the answer.
func (m *Model) SHA256() (string, error) {
	if m.hashed == nil {
		return "", errors.New("hash of the weights: the model has no files")
	}
	return m.hashed()
}

// Rest gives the memory of the mapped files back until somebody looks at their tensors again: for when all of them have
// been read.
func (m *Model) Rest() {
	for _, c := range m.closers {
		if file, ok := c.(*mapping); ok {
			file.rest()
		}
	}
}

// Close unmaps the files. Data of every tensor that views them is invalid afterwards.
func (m *Model) Close() error {
	var all []error
	for _, c := range m.closers {
		all = append(all, c.Close())
	}
	m.closers = nil
	return errors.Join(all...)
}

// hashFiles makes the lazy hash over the given files.
func hashFiles(files []*mapping) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		if len(files) == 1 {
			return fileHash(files[0])
		}
		return shardsHash(files)
	})
}

// dominantType names the element type that most bytes have; ties go to the name that sorts first.
func dominantType(tensors map[string]Tensor) string {
	bytes := map[string]int{}
	for _, t := range tensors {
		bytes[t.DType.String()] += len(t.Data)
	}
	names := make([]string, 0, len(bytes))
	for n := range bytes {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i], names[j]
		return bytes[a] > bytes[b] || bytes[a] == bytes[b] && a < b
	})
	if len(names) == 0 {
		return ""
	}
	return names[0]
}
