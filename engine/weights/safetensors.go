package weights

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"hone/engine/tensor"
)

// maxHeader is the reference library's cap on the header of a safetensors file.
const maxHeader = 100_000_000

// maxDims bounds the rank of a tensor.
const maxDims = 16

// safetensorsTypes are the element types of the format: bits an element, and the engine's type where it can use
// them.
var safetensorsTypes = map[string]struct {
	bits   int64
	dtype  tensor.DType
	usable bool
}{
	"F32": {32, tensor.F32, true}, "F16": {16, tensor.F16, true}, "BF16": {16, tensor.BF16, true},
	"I32": {32, tensor.I32, true}, "I64": {64, tensor.I64, true},
	"F64": {bits: 64}, "C64": {bits: 64}, "U64": {bits: 64}, "U32": {bits: 32}, "U16": {bits: 16}, "I16": {bits: 16},
	"U8": {bits: 8}, "I8": {bits: 8}, "BOOL": {bits: 8},
	"F8_E4M3": {bits: 8}, "F8_E5M2": {bits: 8}, "F8_E8M0": {bits: 8}, "F8_E4M3FNUZ": {bits: 8}, "F8_E5M2FNUZ": {bits: 8},
	"F6_E2M3": {bits: 6}, "F6_E3M2": {bits: 6}, "F4": {bits: 4},
}

// maxTensors bounds how many tensors a file of size bytes may list, so that what is kept of each (some 300
// bytes, growing tables included) stays well under twice the file. Real files hold kilobytes a tensor.
func maxTensors(size int) int { return 4096 + size/512 }

// safetensorsFile is one parsed file.
type safetensorsFile struct {
	tensors  map[string]Tensor
	unusable map[string]string // name -> element type, of those the engine cannot use
	metadata map[string]string
}

// ReadSafetensors maps a safetensors file and returns its tensors, which view the mapping until the Closer is
// called, and its metadata. It is as strict as the reference library and stricter about repeated keys. A file
// with a tensor of a type outside F32, F16, BF16, I32 and I64 is refused by name; Open passes over such tensors.
func ReadSafetensors(path string) (map[string]Tensor, map[string]string, io.Closer, error) {
	m, err := mapFile(path)
	if err != nil {
		return nil, nil, nil, err
	}
	f, err := parseSafetensors(path, m.data)
	if err == nil {
		err = f.refuseUnusable(path)
	}
	if err != nil {
		m.Close()
		return nil, nil, nil, err
	}
	return f.tensors, f.metadata, m, nil
}

func (f *safetensorsFile) refuseUnusable(path string) error {
	first := ""
	for name := range f.unusable {
		if first == "" || name < first {
			first = name
		}
	}
	if len(f.unusable) == 0 {
		return nil
	}
	return &UnsupportedError{Path: path, Place: "tensor " + quote(first), Feature: "element type " + f.unusable[first], Fix: "convert it to F32, F16 or BF16"}
}

// safetensorsEntry is a tensor as the header states it.
type safetensorsEntry struct {
	name       string
	dtype      string
	shape      []int
	begin, end int64
}

// parseSafetensors checks the whole header of a file held in data.
//
// A file is the header's length n as 8 little-endian bytes, n bytes of JSON, then the data, which the tensors
// must cover from first to last byte without hole or overlap.
func parseSafetensors(path string, data []byte) (*safetensorsFile, error) {
	if looksPickled(data) {
		return nil, &PickleError{Path: path}
	}
	if len(data) < 8 {
		return nil, malformed(path, "byte 0", "%d bytes are too few for a safetensors file", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	switch {
	case n > maxHeader:
		return nil, malformed(path, "byte 0", "a header of %d bytes exceeds the limit of %d; this is not a safetensors file or it is damaged", n, maxHeader)
	case n > uint64(len(data)-8):
		return nil, malformed(path, "byte 0", "a header of %d bytes does not fit the file of %d; it may be cut off", n, len(data))
	}
	header, body := data[8:8+n], data[8+n:]
	if len(header) == 0 || header[0] != '{' {
		return nil, malformed(path, "byte 8", "the header does not start with '{'")
	}
	if !utf8.Valid(header) {
		return nil, malformed(path, "header", "not valid UTF-8")
	}
	h := headerReader{scan: jsonScanner{text: header}, limit: maxTensors(len(data))}
	if err := h.read(); err != nil {
		var at *scanError
		if errors.As(err, &at) {
			return nil, malformed(path, fmt.Sprintf("byte %d", 8+at.pos), "%s", at.problem)
		}
		return nil, malformed(path, "header", "%s", err)
	}
	return h.bind(path, body)
}

// headerReader collects the entries of a header.
type headerReader struct {
	scan     jsonScanner
	limit    int
	entries  []safetensorsEntry
	metadata map[string]string
	dims     []int // arena for shapes
}

func (h *headerReader) read() error {
	s := &h.scan
	err := s.members(func(key string, at int) error {
		if key == "__metadata__" {
			if h.metadata != nil {
				return &scanError{at, "repeated key __metadata__"}
			}
			return h.readMetadata()
		}
		if strings.IndexByte(key, 0) >= 0 {
			return &scanError{at, "a tensor name has a NUL character"}
		}
		if len(h.entries) == h.limit {
			return &scanError{at, fmt.Sprintf("more than %d tensors in a file of this size", h.limit)}
		}
		return h.readEntry(key, at)
	})
	if err != nil {
		return err
	}
	if s.peek(); s.pos != len(s.text) {
		return s.fail("more text after the header's object")
	}
	return nil
}

func (h *headerReader) readMetadata() error {
	h.metadata = map[string]string{}
	if h.scan.null() {
		return nil
	}
	return h.scan.members(func(key string, at int) error {
		if _, dup := h.metadata[key]; dup {
			return &scanError{at, "repeated key " + quote(key) + " in __metadata__"}
		}
		if len(h.metadata) >= h.limit {
			return &scanError{at, "too many keys in __metadata__"}
		}
		if h.scan.peek() != '"' {
			return h.scan.fail("__metadata__ value of %s is not a string", quote(key))
		}
		v, err := h.scan.str()
		h.metadata[key] = v
		return err
	})
}

func (h *headerReader) readEntry(name string, at int) error {
	s := &h.scan
	e := safetensorsEntry{name: name}
	var seen struct{ dtype, shape, offsets bool }
	once := func(flag *bool, key string, keyPos int) error {
		if *flag {
			return &scanError{keyPos, "repeated key " + key + " of tensor " + quote(name)}
		}
		*flag = true
		return nil
	}
	err := s.members(func(key string, keyPos int) (err error) {
		switch key {
		case "dtype":
			if err = once(&seen.dtype, key, keyPos); err == nil {
				e.dtype, err = h.readType(name)
			}
		case "shape":
			if err = once(&seen.shape, key, keyPos); err == nil {
				e.shape, err = h.readShape(name)
			}
		case "data_offsets":
			if err = once(&seen.offsets, key, keyPos); err == nil {
				e.begin, e.end, err = h.readOffsets(name)
			}
		default:
			return s.skip(maxNesting) // the reference library ignores unknown keys
		}
		return err
	})
	if err != nil {
		return err
	}
	if !seen.dtype || !seen.shape || !seen.offsets {
		return &scanError{at, "tensor " + quote(name) + " lacks dtype, shape or data_offsets"}
	}
	h.entries = append(h.entries, e)
	return nil
}

func (h *headerReader) readType(name string) (string, error) {
	s := &h.scan
	s.peek()
	at := s.pos
	raw, err := s.str()
	if err != nil {
		return "", err
	}
	for known := range safetensorsTypes {
		if raw == known {
			return known, nil // the constant, so that the copy can go
		}
	}
	return "", &scanError{at, "unknown dtype " + quote(raw) + " of tensor " + quote(name)}
}

func (h *headerReader) readShape(name string) ([]int, error) {
	start := len(h.dims)
	err := h.scan.elements(func() error {
		if len(h.dims)-start == maxDims {
			return h.scan.fail("tensor %s has more than %d dimensions", quote(name), maxDims)
		}
		d, err := h.scan.count()
		if err == nil && d > math.MaxInt {
			err = h.scan.fail("dimension %d of tensor %s is too large", d, quote(name))
		}
		h.dims = append(h.dims, int(d))
		return err
	})
	return h.dims[start:len(h.dims):len(h.dims)], err
}

func (h *headerReader) readOffsets(name string) (begin, end int64, err error) {
	var v [2]int64
	n := 0
	err = h.scan.elements(func() (err error) {
		if n == 2 {
			return h.scan.fail("data_offsets of tensor %s has more than two numbers", quote(name))
		}
		v[n], err = h.scan.count()
		n++
		return err
	})
	if err == nil && n != 2 {
		err = h.scan.fail("data_offsets of tensor %s has %d numbers, want two", quote(name), n)
	}
	return v[0], v[1], err
}

// bind checks that the entries cover body exactly and makes views of it.
func (h *headerReader) bind(path string, body []byte) (*safetensorsFile, error) {
	slices.SortFunc(h.entries, func(a, b safetensorsEntry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end), strings.Compare(a.name, b.name))
	})
	f := &safetensorsFile{tensors: make(map[string]Tensor, len(h.entries)), unusable: map[string]string{}, metadata: h.metadata}
	if f.metadata == nil {
		f.metadata = map[string]string{}
	}
	at := int64(0)
	for _, e := range h.entries {
		place := "tensor " + quote(e.name)
		_, dup := f.tensors[e.name]
		if _, dup2 := f.unusable[e.name]; dup || dup2 {
			return nil, malformed(path, place, "listed twice")
		}
		typ := safetensorsTypes[e.dtype]
		size, err := byteSize(e.shape, typ.bits)
		switch {
		case err != nil:
			return nil, malformed(path, place, "%v", err)
		case e.end < e.begin:
			return nil, malformed(path, place, "data_offsets [%d,%d] are reversed", e.begin, e.end)
		case e.end > int64(len(body)):
			return nil, malformed(path, place, "data_offsets [%d,%d] reach past the %d data bytes of the file; it may be cut off", e.begin, e.end, len(body))
		case e.begin != at:
			return nil, malformed(path, place, "data_offsets [%d,%d] leave a hole or overlap: the tensor before ends at %d", e.begin, e.end, at)
		case size != e.end-e.begin:
			return nil, malformed(path, place, "%s %v takes %d bytes, but data_offsets [%d,%d] hold %d", e.dtype, e.shape, size, e.begin, e.end, e.end-e.begin)
		}
		at = e.end
		if !typ.usable {
			f.unusable[e.name] = e.dtype
			continue
		}
		f.tensors[e.name] = Tensor{Name: e.name, DType: typ.dtype, Shape: e.shape, Data: body[e.begin:e.end:e.end]}
	}
	if at != int64(len(body)) {
		return nil, malformed(path, fmt.Sprintf("data byte %d", at), "%d bytes after the last tensor", int64(len(body))-at)
	}
	return f, nil
}

// byteSize is the number of bytes of a shape with elements of some bits, with every product checked.
func byteSize(shape []int, bits int64) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d != 0 && n > math.MaxInt64/int64(d) {
			return 0, fmt.Errorf("the product of the shape %v overflows", shape)
		}
		n *= int64(d)
	}
	if n > math.MaxInt64/bits {
		return 0, fmt.Errorf("the byte size of the shape %v overflows", shape)
	}
	if n*bits%8 != 0 {
		return 0, fmt.Errorf("the shape %v of %d-bit elements does not fill whole bytes", shape, bits)
	}
	return n * bits / 8, nil
}
