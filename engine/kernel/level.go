// Package kernel holds the innermost loops, on slices and ints: it knows no tensor, starts no goroutine and
// allocates nothing. Every operation has a generic Go form, which is its specification and is compiled
// everywhere, and assembly for AVX2 and AVX-512 which is compared with it.
//
// Results depend on the arguments' values and lengths and on the level in use, never on alignment.
package kernel

import (
	"fmt"
	"os"
	"strings"
)

// implementation is one complete set of kernels. The exported functions check lengths and call the active one.
type implementation struct {
	name string

	dot       func(a, b []float32) float32
	sum       func(x []float32) float32
	axpy      func(y []float32, alpha float32, x []float32)
	add       func(y, x []float32)
	scale     func(y []float32, alpha float32)
	mul       func(y, x []float32)
	mulAdd    func(y, a, b []float32)
	scaleMul  func(y, x, w []float32, s float32)
	dotMul    func(a, b, c []float32) float32
	normBack  func(dx, dy, x, w []float32, s, k float32)
	normAdd   func(dx, dy, x, w []float32, s, k float32)
	max       func(x []float32) float32
	expShift  func(y, x []float32, shift float32) float32
	sumExp    func(x []float32, shift float32) float32
	siluMul   func(y, gate, up []float32)
	siluBack  func(dgate, dup, gate, up, dy []float32)
	geluMul   func(y, gate, up []float32)
	geluBack  func(dgate, dup, gate, up, dy []float32)
	adamW     func(w, g, m, v []float32, c *adamConstants)
	tileRows  int
	tile      func(c []float32, ldc int, a, b []float32, bStride, mr, panels, k int, accumulate bool)
	tileThen  func(c []float32, ldc, mr, panels int, accumulate bool, first, then Part)
	pack      func(dst []float32, width int, src []float32, rowStride, rows, k int)
	columns   func(dst []float32, width int, src []float32, kStride, rows, k int)
	transpose func(dst, src []float32)
	turn      func(dst []float32, dstStride int, src []float32, srcStride, rows, cols int)
	expandQ41 func(dst []float32, src []byte)
	expandQ40 func(dst []float32, src []byte)
	expandQ80 func(dst []float32, src []byte)
	expandF16 func(dst []float32, src []byte)
	expandB16 func(dst []float32, src []byte)

	bf16Rows    int
	thenBF16    func(c []float32, ldc, mr, panels int, accumulate bool, first, then Part)
	tileBF16    func(c []float32, ldc int, a, b []float32, bStride, mr, panels, pairs int, accumulate bool)
	packBF16    func(dst []float32, width int, src []float32, rowStride, rows, k int, alpha float32)
	columnsBF16 func(dst []float32, width int, src []float32, kStride, rows, k int, alpha float32)
	rowPairsF32 func(y, x, src []float32, stride, panels int, accumulate bool)
	rowPairsF16 func(y, x []float32, src []byte, stride, panels int, accumulate bool)
	rowPairsB16 func(y, x []float32, src []byte, stride, panels int, accumulate bool)

	narrowBF16, widenBF16 func(dst, src []float32)

	pairsInRegisters bool // rowPairs… are assembly

	rowQ41, rowQ40, rowQ80, rowF16, rowB16 rowFunc

	tileF16   func(c []float32, ldc int, a []float32, b, next []byte, bStride, mr, panels, k int, accumulate bool)
	narrowF16 func(dst []byte, src []float32)

	softmaxBlock func(s []float32, masks []uint64, m, top, sums []float32)
	softmaxBack  func(p, d []float32, masks []uint64, lse, delta []float32)
	softcap      func(x []float32, limit, inverse float32)
	softcapBack  func(d, y []float32, inverse float32)

	rankDots func(u, x, a []float32, rows, stride int)

	quantise, quantisePairs      func(dst []int32, x []float32)
	fixedQ41, fixedQ40, fixedQ80 fixedFunc
}

// active is the CPU-feature switch. It is set at start and by SetLevel, which tests use.
var active = startLevel(os.Getenv("HONE_CPU"))

// startLevel picks the best level of this machine, or the one named. A wrong name ends the program: results
// depend on the level, so running at another one than asked for would be a silent change of results.
func startLevel(name string) *implementation {
	if name == "" {
		return best()
	}
	impl, err := lookup(name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "hone: HONE_CPU: %v\n", err)
		os.Exit(2)
	}
	return impl
}

// best is the fastest implementation that this machine can run.
func best() *implementation {
	all := supported()
	return all[len(all)-1]
}

func lookup(name string) (*implementation, error) {
	var names []string
	for _, impl := range supported() {
		if impl.name == name {
			return impl, nil
		}
		names = append(names, impl.name)
	}
	return nil, fmt.Errorf("CPU level %q is unknown or not supported here; this build on this machine has %s", name, strings.Join(names, ", "))
}

// Level names the implementation in use: "generic", "avx2", "avx512" or "avx512bf16". Results are equal bit for
// bit only at one level, but for the last two, which differ in the speed of bfloat16 products alone. The environment
// variable HONE_CPU chooses another than the best at start.
func Level() string { return active.name }

// Levels lists what this build can run on this machine, slowest first.
func Levels() []string {
	var names []string
	for _, impl := range supported() {
		names = append(names, impl.name)
	}
	return names
}

// SetLevel switches to the named implementation. It is for tests and program start: calling it while kernels
// run on other goroutines is a race. The error lists the names that this machine supports.
func SetLevel(name string) error {
	impl, err := lookup(name)
	if err != nil {
		return err
	}
	active = impl
	return nil
}
