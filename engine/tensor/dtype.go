// Package tensor holds storage: element types, weight matrices in their stored precision, the workspace
// arena for activations, the worker pool, and the parallel matrix products over them.
package tensor

import "fmt"

// DType is the stored type of a tensor's elements. The quantised types store blocks of 32 consecutive
// elements of a row, in the byte layout of GGUF.
type DType uint8

// The types that weight files hold.
const (
	F32  DType = iota // IEEE 754 single
	F16               // IEEE 754 half
	BF16              // upper half of a single
	Q8_0              // 32 elements in 34 bytes: f16 d, 32 × int8 q; x = d·q
	Q4_0              // 32 elements in 18 bytes: f16 d, 16 bytes of nibbles; x = d·(q−8)
	Q4_1              // 32 elements in 20 bytes: f16 d, f16 m, 16 bytes of nibbles; x = d·q + m
	I32               // int32, for token ids in test vectors; never a weight
	I64               // int64, likewise
	numDTypes
)

var dtypes = [numDTypes]struct {
	name         string
	block, bytes int
}{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, BF16: {"BF16", 1, 2},
	Q8_0: {"Q8_0", 32, 34}, Q4_0: {"Q4_0", 32, 18}, Q4_1: {"Q4_1", 32, 20},
	I32: {"I32", 1, 4}, I64: {"I64", 1, 8},
}

// String is the type's name as GGUF and safetensors write it.
func (d DType) String() string {
	if d >= numDTypes {
		return fmt.Sprintf("DType(%d)", uint8(d))
	}
	return dtypes[d].name
}

// BlockSize is the number of elements in a block: 1 for plain types, 32 for quantised ones.
func (d DType) BlockSize() int { return dtypes[d].block }

// BlockBytes is the stored size of one block in bytes.
func (d DType) BlockBytes() int { return dtypes[d].bytes }

// Quantised reports whether elements share a scale in blocks.
func (d DType) Quantised() bool { return dtypes[d].block > 1 }
