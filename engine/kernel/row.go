package kernel

import "fmt"

// A stored format's single-row product: y[p·16 + j] (+)= Σ_k x[k]·w, for panels stride bytes apart in src.
type rowFunc func(y, x []float32, src []byte, stride, panels int, accumulate bool)

// storedFormat names the formats of stored panels within this package.
type storedFormat int

const (
	q41 storedFormat = iota
	q40
	q80
	f16
	b16
)

// panelBlock is the size in bytes of 32 columns of a panel.
func (f storedFormat) panelBlock() int {
	return [...]int{PanelBlockQ41, PanelBlockQ40, PanelBlockQ80, 1024, 1024}[f]
}

// checkRow panics unless the operands of a single-row product hold what they must.
func checkRow(op string, y, x []float32, src []byte, stride, panels int, f storedFormat) {
	if len(x)%32 != 0 || len(x) == 0 || panels < 1 || len(y) < panels*PanelRows ||
		len(src) < (panels-1)*stride+len(x)/32*f.panelBlock() {
		panic(fmt.Sprintf("kernel.%s: y %d, x %d, src %d, stride %d, panels %d", op, len(y), len(x), len(src), stride, panels))
	}
}

// RowQ41 multiplies one activation row with panels of Q4_1: y[p·16 + j] (+)= Σ_k x[k]·w[p·16+j][k], where panel
// p starts at src[p·stride] and holds len(x) columns, whole blocks and not none. Bits are those of ExpandQ41
// and Tile: an element is one sum over ascending k that starts at zero, or at y to accumulate.
func RowQ41(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	checkRow("RowQ41", y, x, src, stride, panels, q41)
	active.rowQ41(y, x, src, stride, panels, accumulate)
}

// RowQ40 is RowQ41 for panels of Q4_0.
func RowQ40(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	checkRow("RowQ40", y, x, src, stride, panels, q40)
	active.rowQ40(y, x, src, stride, panels, accumulate)
}

// RowQ80 is RowQ41 for panels of Q8_0.
func RowQ80(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	checkRow("RowQ80", y, x, src, stride, panels, q80)
	active.rowQ80(y, x, src, stride, panels, accumulate)
}

// RowF16 is RowQ41 for panels of half floats; len(x) is a multiple of 32 here as well.
func RowF16(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	checkRow("RowF16", y, x, src, stride, panels, f16)
	active.rowF16(y, x, src, stride, panels, accumulate)
}

// RowBF16 is RowQ41 for panels of bfloat16; len(x) is a multiple of 32 here as well.
func RowBF16(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	checkRow("RowBF16", y, x, src, stride, panels, b16)
	active.rowB16(y, x, src, stride, panels, accumulate)
}

// rowGeneric expands a block of a panel at a time and multiplies it as a tile. The expansion is called by name,
// so that the block stays on the stack.
func rowGeneric(y, x []float32, src []byte, stride, panels int, accumulate bool, f storedFormat) {
	var block [512]float32
	size := f.panelBlock()
	for p := range panels {
		yp := y[p*PanelRows : (p+1)*PanelRows]
		for k := 0; k < len(x); k += 32 {
			stored := src[p*stride+k/32*size:][:size]
			switch f {
			case q41:
				expandQ41Generic(block[:], stored)
			case q40:
				expandQ40Generic(block[:], stored)
			case q80:
				expandQ80Generic(block[:], stored)
			case f16:
				expandF16Generic(block[:], stored)
			case b16:
				expandB16Generic(block[:], stored)
			}
			tileGeneric(yp, 0, x[k:k+32], block[:], 0, 1, 1, 32, accumulate || k > 0)
		}
	}
}

func rowQ41Generic(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	rowGeneric(y, x, src, stride, panels, accumulate, q41)
}

func rowQ40Generic(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	rowGeneric(y, x, src, stride, panels, accumulate, q40)
}

func rowQ80Generic(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	rowGeneric(y, x, src, stride, panels, accumulate, q80)
}

func rowF16Generic(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	rowGeneric(y, x, src, stride, panels, accumulate, f16)
}

func rowB16Generic(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	rowGeneric(y, x, src, stride, panels, accumulate, b16)
}
