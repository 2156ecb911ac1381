package weights

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"hone/engine/tensor"
)

// ggufFile is the parsed header of a GGUF file. Values stay in the file's bytes until they are asked for.
type ggufFile struct {
	path    string
	version uint32
	values  map[string]ggufValue
	tensors []ggufTensor // in the order of their offsets
}

// ggufTensor is one tensor as the file states it.
type ggufTensor struct {
	name string
	typ  ggmlType
	dims []int // innermost first, as the file has them
	data []byte
}

// ggmlType is an element type of GGUF: elements and bytes of a block, and the engine's type where it can use it.
type ggmlType struct {
	name         string
	block, bytes int64
	dtype        tensor.DType
	usable       bool
}

// ggmlTypes are the element types by number. Those that only have sizes are parsed, so that their bounds can be
// checked, and refused when a model needs them.
var ggmlTypes = map[uint32]ggmlType{
	0: {"F32", 1, 4, tensor.F32, true}, 1: {"F16", 1, 2, tensor.F16, true}, 30: {"BF16", 1, 2, tensor.BF16, true},
	2: {"Q4_0", 32, 18, tensor.Q4_0, true}, 3: {"Q4_1", 32, 20, tensor.Q4_1, true}, 8: {"Q8_0", 32, 34, tensor.Q8_0, true},
	26: {"I32", 1, 4, tensor.I32, true}, 27: {"I64", 1, 8, tensor.I64, true},
	6: {name: "Q5_0", block: 32, bytes: 22}, 7: {name: "Q5_1", block: 32, bytes: 24}, 9: {name: "Q8_1", block: 32, bytes: 40},
	10: {name: "Q2_K", block: 256, bytes: 84}, 11: {name: "Q3_K", block: 256, bytes: 110}, 12: {name: "Q4_K", block: 256, bytes: 144},
	13: {name: "Q5_K", block: 256, bytes: 176}, 14: {name: "Q6_K", block: 256, bytes: 210}, 15: {name: "Q8_K", block: 256, bytes: 292},
	16: {name: "IQ2_XXS", block: 256, bytes: 66}, 17: {name: "IQ2_XS", block: 256, bytes: 74}, 18: {name: "IQ3_XXS", block: 256, bytes: 98},
	19: {name: "IQ1_S", block: 256, bytes: 50}, 20: {name: "IQ4_NL", block: 32, bytes: 18}, 21: {name: "IQ3_S", block: 256, bytes: 110},
	22: {name: "IQ2_S", block: 256, bytes: 82}, 23: {name: "IQ4_XS", block: 256, bytes: 136}, 29: {name: "IQ1_M", block: 256, bytes: 56},
	24: {name: "I8", block: 1, bytes: 1}, 25: {name: "I16", block: 1, bytes: 2}, 28: {name: "F64", block: 1, bytes: 8},
	34: {name: "TQ1_0", block: 256, bytes: 54}, 35: {name: "TQ2_0", block: 256, bytes: 66}, 39: {name: "MXFP4", block: 32, bytes: 17},
	40: {name: "NVFP4", block: 64, bytes: 36}, 41: {name: "Q1_0", block: 128, bytes: 18},
}

const (
	ggufMaxName  = 1024  // bytes of a key or a tensor name; GGUF itself allows 64 for tensors
	ggufMaxDims  = 4     // GGML_MAX_DIMS
	ggufMaxKeys  = 16384 // metadata keys; real files have some 40
	ggufMaxAlign = 1 << 20
)

// parseGGUF checks the whole header of a file held in data: magic, version, metadata, tensor infos, and that
// every tensor lies aligned inside the file without sharing bytes with another.
func parseGGUF(path string, data []byte) (*ggufFile, error) {
	g := &ggufFile{path: path, values: map[string]ggufValue{}}
	r := ggufReader{cursor: cursor{data: data}, path: path}
	nTensors, nKeys, err := g.readHead(&r)
	if err != nil {
		return nil, err
	}
	for range nKeys {
		if err := g.readKey(&r); err != nil {
			return nil, err
		}
	}
	align, err := g.alignment()
	if err != nil {
		return nil, err
	}
	infos := make([]ggufInfo, 0, min(nTensors, 4096))
	seen := map[string]bool{}
	for range nTensors {
		info, err := r.tensorInfo(align)
		if err != nil {
			return nil, err
		}
		if seen[info.name] {
			return nil, r.fail(info.at, "tensor %s is listed twice", quote(info.name))
		}
		seen[info.name] = true
		infos = append(infos, info)
	}
	start := (r.pos + align - 1) / align * align
	if start > int64(len(data)) {
		start = int64(len(data)) // only a file without tensors may end before its padding
	}
	return g, g.bind(infos, data[start:])
}

// readHead reads magic, version and the two counts, and bounds the counts by what the file could hold.
func (g *ggufFile) readHead(r *ggufReader) (nTensors, nKeys uint64, err error) {
	data := r.data
	if len(data) < 24 || string(data[:4]) != "GGUF" {
		return 0, 0, malformed(g.path, "byte 0", "not a GGUF file, or cut off in its first 24 bytes")
	}
	r.pos = 4
	g.version = r.u32()
	switch g.version {
	case 2, 3:
	case 1:
		return 0, 0, &UnsupportedError{Path: g.path, Place: "byte 4", Feature: "GGUF version 1", Fix: "convert the model again with a current llama.cpp"}
	default:
		if v := binary.BigEndian.Uint32(data[4:]); v >= 1 && v <= 3 {
			return 0, 0, &UnsupportedError{Path: g.path, Place: "byte 4", Feature: "big-endian GGUF", Fix: "get the little-endian file"}
		}
		return 0, 0, malformed(g.path, "byte 4", "unknown GGUF version %d, want 2 or 3", g.version)
	}
	nTensors, nKeys = r.u64(), r.u64()
	left := uint64(r.left())
	switch {
	case nKeys > ggufMaxKeys || nKeys > left/13: // the least a key takes: length 8, type 4, value 1
		return 0, 0, malformed(g.path, "byte 16", "%d metadata keys do not fit a file of %d bytes", nKeys, len(data))
	case nTensors > left/33 || nTensors > uint64(maxTensors(len(data))): // length 8, dims 4+8, type 4, offset 8, and a byte of data
		return 0, 0, malformed(g.path, "byte 8", "%d tensors do not fit a file of %d bytes", nTensors, len(data))
	}
	return nTensors, nKeys, nil
}

func (g *ggufFile) readKey(r *ggufReader) error {
	at := r.pos
	key, err := r.name("metadata key")
	if err != nil {
		return err
	}
	if _, dup := g.values[key]; dup {
		return r.fail(at, "metadata key %s is there twice", quote(key))
	}
	v, err := r.value(key)
	if err != nil {
		return err
	}
	g.values[key] = v
	return nil
}

func (g *ggufFile) alignment() (int64, error) {
	v, ok := g.values["general.alignment"]
	if !ok {
		return 32, nil
	}
	n, ok := v.integer()
	if !ok || n <= 0 || n > ggufMaxAlign || n&(n-1) != 0 {
		return 0, malformed(g.path, "key general.alignment", "not a power of two up to %d", ggufMaxAlign)
	}
	return n, nil
}

// ggufReader reads the parts of a header, each error with its byte offset.
type ggufReader struct {
	cursor
	path string
}

func (r *ggufReader) fail(at int64, format string, args ...any) error {
	return malformed(r.path, fmt.Sprintf("byte %d", at), format, args...)
}

// name reads a key or tensor name.
func (r *ggufReader) name(what string) (string, error) {
	at := r.pos
	b, err := r.bytes(what)
	if err != nil {
		return "", err
	}
	switch {
	case len(b) == 0 || len(b) > ggufMaxName:
		return "", r.fail(at, "%s of %d bytes, want 1 to %d", what, len(b), ggufMaxName)
	case !utf8.Valid(b) || slices.Contains(b, 0):
		return "", r.fail(at, "%s is not UTF-8 or has a NUL character", what)
	}
	return string(b), nil
}

// bytes reads a string: its length as u64 and that many bytes, as a view.
func (r *ggufReader) bytes(what string) ([]byte, error) {
	at := r.pos
	if r.left() < 8 {
		return nil, r.fail(at, "the file ends inside the length of %s", what)
	}
	n := r.u64()
	if n > uint64(r.left()) {
		return nil, r.fail(at, "%s of %d bytes does not fit the %d bytes left", what, n, r.left())
	}
	return r.take(int64(n)), nil
}

// ggufInfo is a tensor info before its bytes are bound.
type ggufInfo struct {
	ggufTensor
	at           int64 // where the info starts in the file
	offset, size int64
}

func (r *ggufReader) tensorInfo(align int64) (t ggufInfo, err error) {
	t.at = r.pos
	if t.name, err = r.name("tensor name"); err != nil {
		return t, err
	}
	who := "tensor " + quote(t.name)
	if r.left() < 4 {
		return t, r.fail(r.pos, "the file ends inside %s", who)
	}
	n := r.u32()
	if n < 1 || n > ggufMaxDims {
		return t, r.fail(t.at, "%s has %d dimensions, want 1 to %d", who, n, ggufMaxDims)
	}
	if r.left() < 8*int64(n)+12 {
		return t, r.fail(r.pos, "the file ends inside %s", who)
	}
	t.dims = make([]int, n)
	count := int64(1)
	for i := range t.dims {
		d := r.u64()
		if d == 0 || d > math.MaxInt64 || int64(d) > math.MaxInt64/count || d > math.MaxInt {
			return t, r.fail(t.at, "dimension %d of %s is %d: zero, negative, or the product overflows", i, who, int64(d))
		}
		count *= int64(d)
		t.dims[i] = int(d)
	}
	typ := r.u32()
	var known bool
	if t.typ, known = ggmlTypes[typ]; !known {
		return t, r.fail(t.at, "%s has unknown element type %d", who, int32(typ))
	}
	if int64(t.dims[0])%t.typ.block != 0 {
		return t, r.fail(t.at, "rows of %s have %d elements, not a multiple of the %d in a %s block", who, t.dims[0], t.typ.block, t.typ.name)
	}
	blocks := count / t.typ.block
	if blocks > math.MaxInt64/t.typ.bytes {
		return t, r.fail(t.at, "the byte size of %s overflows", who)
	}
	t.size = blocks * t.typ.bytes
	offset := r.u64()
	if offset > math.MaxInt64 || int64(offset)%align != 0 {
		return t, r.fail(t.at, "offset %d of %s is not a multiple of the alignment %d", offset, who, align)
	}
	t.offset = int64(offset)
	return t, nil
}

// bind gives each tensor its bytes of the data part.
func (g *ggufFile) bind(infos []ggufInfo, body []byte) error {
	slices.SortStableFunc(infos, func(a, b ggufInfo) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), strings.Compare(a.name, b.name))
	})
	g.tensors = make([]ggufTensor, 0, len(infos))
	end := int64(0)
	for _, t := range infos {
		place := "tensor " + quote(t.name)
		if t.offset > int64(len(body)) || t.size > int64(len(body))-t.offset {
			return malformed(g.path, place, "its %d bytes at offset %d reach past the %d data bytes of the file; it may be cut off", t.size, t.offset, len(body))
		}
		if t.offset < end {
			return malformed(g.path, place, "its bytes at offset %d overlap the tensor before, which ends at %d", t.offset, end)
		}
		end = t.offset + t.size
		t.data = body[t.offset:end:end]
		g.tensors = append(g.tensors, t.ggufTensor)
	}
	return nil
}
