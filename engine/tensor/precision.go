package tensor

import "fmt"

// Precision is how a product rounds its operands. The zero value rounds nothing; sums are f32 always.
type Precision uint8

const (
	// Single multiplies f32 values: the parity mode.
	Single Precision = iota
	// Half is for bfloat16; products at it are those at Single.
	Half
	// Fixed multiplies quantised weights, as they are stored, by rows of activations in fixed point
	// (kernel.QuantiseFixed). Matrix.At says what it is for other weights; products with a weight's rows summed
	// (MulAt) and of two activations (GemmAt) are Half.
	Fixed
)

// String is the precision's name in settings: "f32", "bf16" or "int8".
func (p Precision) String() string {
	switch p {
	case Single:
		return "f32"
	case Half:
		return "bf16"
	case Fixed:
		return "int8"
	}
	return fmt.Sprintf("Precision(%d)", uint8(p))
}

// At is the precision at which MulTAt multiplies m when asked for prec: Half for Fixed unless m is quantised,
// else prec.
func (m *Matrix) At(prec Precision) Precision {
	if prec == Fixed && !m.DType.Quantised() {
		return Half
	}
	return prec
}

// MulTAt is MulT at a precision.
func MulTAt(prec Precision, p *Pool, ws *Workspace, y, x []float32, M int, w *Matrix, add bool) {
	MulTRowsAt(prec, p, ws, y, x, M, w, 0, w.Rows, add)
}

// MulTRowsAt is MulTRows at a precision.
func MulTRowsAt(prec Precision, p *Pool, ws *Workspace, y, x []float32, M int, w *Matrix, r0, r1 int, add bool) {
	if prec = w.At(prec); prec == Fixed {
		mulTRowsFixed(p, ws, y, x, M, w, r0, r1, add)
		return
	}
	MulTRows(p, ws, y, x, M, w, r0, r1, add)
}
