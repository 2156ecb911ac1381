package tensor

import "fmt"

// Precision is how a product rounds its operands. The zero value rounds nothing; sums are f32 always.
type Precision uint8

const (
	// Single multiplies f32 values: the parity mode.
	Single Precision = iota
	// Half rounds both operands to bfloat16, to nearest even, weights after they are expanded from their stored
	// form. Each output element is one chain in ascending pairs of k (kernel.TileBF16), whose bits depend on the
	// operands and K alone, and are the same at every CPU level. Successive adding calls over ranges of k equal one
	// call if all ranges but the last have even length.
	Half
	// Fixed multiplies quantised weights as they are stored with activations as integers: of 12 bits a block for
	// 4-bit weights, of 16 for 8-bit ones (see kernel.QuantisePairs and QuantiseFixed). Products
	// that it is not for are Half: those with other weights, input gradients, and those of two activations.
	Fixed
)

// String is the precision's name in settings: "f32", "bf16" or "fixed".
func (p Precision) String() string {
	switch p {
	case Single:
		return "f32"
	case Half:
		return "bf16"
	case Fixed:
		return "fixed"
	}
	return fmt.Sprintf("Precision(%d)", uint8(p))
}

// At is the precision at which MulTAt multiplies m when asked for prec: Half for Fixed unless m is quantised,
// else prec.
func (m *Matrix) At(prec Precision) Precision {
	if prec == Fixed && !m.fixed() {
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
	mulTRows(prec, p, ws, y, x, M, w, r0, r1, add)
}

// MulAt is Mul at a precision.
func MulAt(prec Precision, p *Pool, ws *Workspace, dx, dy []float32, M int, w *Matrix, add bool) {
	MulRowsAt(prec, p, ws, dx, dy, M, w, 0, w.Rows, add)
}

// MulRowsAt is MulRows at a precision.
func MulRowsAt(prec Precision, p *Pool, ws *Workspace, dx, dy []float32, M int, w *Matrix, r0, r1 int, add bool) {
	mulRows(min(prec, Half), p, ws, dx, dy, M, w, r0, r1, add)
}

// GemmAt is Gemm at a precision; at Half, alpha·A is rounded, not A.
func GemmAt(prec Precision, p *Pool, ws *Workspace, M, N, K int, alpha float32, a []float32, ars, acs int, b []float32, brs, bcs int, beta float32, c []float32, ldc int) {
	gemm(min(prec, Half), p, ws, M, N, K, alpha, a, ars, acs, b, brs, bcs, beta, c, ldc)
}
