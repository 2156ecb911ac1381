package weights

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"hone/engine/tensor"
)

// WriteSafetensors writes a safetensors file: tensors in the reference library's order (wider element types
// first, then by name), the header padded with spaces to a multiple of 8 bytes, the data contiguous. Quantised
// types are refused, since the format has none of them.
func WriteSafetensors(w io.Writer, tensors []Tensor, metadata map[string]string) error {
	order := slices.Clone(tensors)
	slices.SortFunc(order, func(a, b Tensor) int {
		return cmp.Or(cmp.Compare(typeRank(b.DType), typeRank(a.DType)), strings.Compare(a.Name, b.Name))
	})
	header, err := safetensorsHeader(order, metadata)
	if err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write safetensors: %w", err)
	}
	for _, t := range order {
		if _, err := w.Write(t.Data); err != nil {
			return fmt.Errorf("write safetensors: tensor %s: %w", quote(t.Name), err)
		}
	}
	return nil
}

// typeRank orders element types as the reference library's enumeration does.
func typeRank(d tensor.DType) int {
	return map[tensor.DType]int{tensor.F16: 1, tensor.BF16: 2, tensor.I32: 3, tensor.F32: 4, tensor.I64: 5}[d]
}

func safetensorsHeader(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 8, 4096))
	b.WriteByte('{')
	if len(metadata) > 0 {
		b.WriteString(`"__metadata__":`)
		b.Write(plainJSON(metadata)) // keys come out sorted
	}
	at := int64(0)
	seen := map[string]bool{"__metadata__": true}
	for _, t := range tensors {
		size, err := byteSize(t.Shape, int64(8*t.DType.BlockBytes()))
		switch {
		case t.DType.Quantised():
			return nil, fmt.Errorf("tensor %s: safetensors has no element type %v", quote(t.Name), t.DType)
		case err != nil:
			return nil, fmt.Errorf("tensor %s: %w", quote(t.Name), err)
		case size != int64(len(t.Data)):
			return nil, fmt.Errorf("tensor %s: %v %v takes %d bytes, not %d", quote(t.Name), t.DType, t.Shape, size, len(t.Data))
		case seen[t.Name]:
			return nil, fmt.Errorf("tensor %s is given twice", quote(t.Name))
		}
		seen[t.Name] = true
		if b.Len() > 9 {
			b.WriteByte(',')
		}
		shape := t.Shape
		if shape == nil {
			shape = []int{}
		}
		fmt.Fprintf(b, `%s:{"dtype":"%v","shape":%s,"data_offsets":[%d,%d]}`, plainJSON(t.Name), t.DType, plainJSON(shape), at, at+size)
		at += size
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len()-8 > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes exceeds the format's limit of %d", b.Len()-8, maxHeader)
	}
	out := b.Bytes()
	binary.LittleEndian.PutUint64(out, uint64(len(out)-8))
	return out, nil
}

// plainJSON encodes strings, maps and lists of them without escaping HTML characters.
func plainJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("weights: encode header: " + err.Error()) // strings and integers always encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
