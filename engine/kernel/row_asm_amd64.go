//go:build !purego

package kernel

// A rowAsm multiplies one activation row with a fixed number of panels; stride is in bytes, blocks at least 1.
type rowAsm func(y, x *float32, src *byte, stride, blocks int, accumulate bool)

// runRows hands panels to the assembly, as many at a time as it takes; sizes is indexed by their number − 1.
func runRows(sizes []rowAsm, y, x []float32, src []byte, stride, panels int, accumulate bool) {
	for panels > 0 {
		n := min(panels, len(sizes))
		sizes[n-1](&y[0], &x[0], &src[0], stride, len(x)/32, accumulate)
		panels -= n
		if panels > 0 {
			y, src = y[n*PanelRows:], src[n*stride:]
		}
	}
}

var (
	rowQ41SizesAVX2   = []rowAsm{rowQ41AVX2_1, rowQ41AVX2_2}
	rowQ40SizesAVX2   = []rowAsm{rowQ40AVX2_1, rowQ40AVX2_2}
	rowQ80SizesAVX2   = []rowAsm{rowQ80AVX2_1, rowQ80AVX2_2}
	rowF16SizesAVX2   = []rowAsm{rowF16AVX2_1, rowF16AVX2_2}
	rowB16SizesAVX2   = []rowAsm{rowB16AVX2_1, rowB16AVX2_2}
	rowQ41SizesAVX512 = []rowAsm{rowQ41AVX512_1, rowQ41AVX512_2, rowQ41AVX512_3}
	rowQ40SizesAVX512 = []rowAsm{rowQ40AVX512_1, rowQ40AVX512_2, rowQ40AVX512_3}
	rowQ80SizesAVX512 = []rowAsm{rowQ80AVX512_1, rowQ80AVX512_2, rowQ80AVX512_3}
	rowF16SizesAVX512 = []rowAsm{rowF16AVX512_1, rowF16AVX512_2, rowF16AVX512_3}
	rowB16SizesAVX512 = []rowAsm{rowB16AVX512_1, rowB16AVX512_2, rowB16AVX512_3}
)

func rowQ41AVX2(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowQ41SizesAVX2, y, x, src, stride, panels, accumulate)
}

func rowQ40AVX2(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowQ40SizesAVX2, y, x, src, stride, panels, accumulate)
}

func rowQ80AVX2(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowQ80SizesAVX2, y, x, src, stride, panels, accumulate)
}

func rowF16AVX2(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowF16SizesAVX2, y, x, src, stride, panels, accumulate)
}

func rowB16AVX2(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowB16SizesAVX2, y, x, src, stride, panels, accumulate)
}

func rowQ41AVX512(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowQ41SizesAVX512, y, x, src, stride, panels, accumulate)
}

func rowQ40AVX512(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowQ40SizesAVX512, y, x, src, stride, panels, accumulate)
}

func rowQ80AVX512(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowQ80SizesAVX512, y, x, src, stride, panels, accumulate)
}

func rowF16AVX512(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowF16SizesAVX512, y, x, src, stride, panels, accumulate)
}

func rowB16AVX512(y, x []float32, src []byte, stride, panels int, accumulate bool) {
	runRows(rowB16SizesAVX512, y, x, src, stride, panels, accumulate)
}
