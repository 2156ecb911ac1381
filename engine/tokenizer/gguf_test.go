package tokenizer

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"testing"
)

// testModelVocab reads the vocabulary of the GGUF that HONE_TEST_MODEL names, or skips. It reads no more of the
// format than that; engine/weights is the real reader.
func testModelVocab(t testing.TB) Vocab {
	t.Helper()
	path := os.Getenv("HONE_TEST_MODEL")
	if path == "" {
		t.Skip("HONE_TEST_MODEL names no .gguf file")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := &ggufReader{r: bufio.NewReaderSize(f, 1<<20)}
	meta, err := g.metadata()
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	v := Vocab{BOS: -1, EOS: -1, UNK: -1, PAD: -1}
	v.Model, _ = meta["tokenizer.ggml.model"].(string)
	v.Pre, _ = meta["tokenizer.ggml.pre"].(string)
	for _, s := range meta["tokenizer.ggml.tokens"].([]any) {
		v.Tokens = append(v.Tokens, s.(string))
	}
	for _, k := range meta["tokenizer.ggml.token_type"].([]any) {
		v.Types = append(v.Types, int32(k.(uint64)))
	}
	for _, s := range meta["tokenizer.ggml.merges"].([]any) {
		v.Merges = append(v.Merges, s.(string))
	}
	for key, id := range map[string]*int32{"bos": &v.BOS, "eos": &v.EOS, "unknown": &v.UNK, "padding": &v.PAD} {
		if n, ok := meta["tokenizer.ggml."+key+"_token_id"].(uint64); ok {
			*id = int32(n)
		}
	}
	v.AddBOS, _ = meta["tokenizer.ggml.add_bos_token"].(bool)
	return v
}

type ggufReader struct {
	r   io.Reader
	err error
}

func (g *ggufReader) uint(size int) uint64 {
	var b [8]byte
	if g.err == nil {
		_, g.err = io.ReadFull(g.r, b[:size])
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (g *ggufReader) str() string {
	n := g.uint(8)
	if n > 1<<24 {
		g.err = fmt.Errorf("string of %d bytes", n)
		return ""
	}
	b := make([]byte, n)
	if g.err == nil {
		_, g.err = io.ReadFull(g.r, b)
	}
	return string(b)
}

func (g *ggufReader) value(kind uint64) any {
	switch kind {
	case 0, 1:
		return g.uint(1)
	case 2, 3:
		return g.uint(2)
	case 4, 5:
		return g.uint(4)
	case 6:
		return math.Float32frombits(uint32(g.uint(4)))
	case 7:
		return g.uint(1) != 0
	case 8:
		return g.str()
	case 9:
		elem, n := g.uint(4), g.uint(8)
		var list []any
		for i := uint64(0); i < n && g.err == nil; i++ {
			list = append(list, g.value(elem))
		}
		return list
	}
	return g.uint(8)
}

func (g *ggufReader) metadata() (map[string]any, error) {
	g.uint(4)
	g.uint(4)
	g.uint(8)
	meta := map[string]any{}
	for n := g.uint(8); n > 0 && g.err == nil; n-- {
		key := g.str()
		meta[key] = g.value(g.uint(4))
	}
	return meta, g.err
}
