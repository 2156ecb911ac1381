package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestTile(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for mr := 1; mr <= TileRows(); mr++ {
			for panels := 1; panels <= TilePanels; panels++ {
				for _, k := range []int{0, 1, 2, 3, 4, 5, 7, 8, 33} {
					for _, add := range []bool{false, true} {
						checkTile(t, r, mr, panels, k, add)
					}
				}
			}
		}
	})
}

func checkTile(t *testing.T, r *rand.Rand, mr, panels, k int, add bool) {
	t.Helper()
	n := panels * PanelRows
	ldc, stride := n+5, k*PanelRows+3
	c, check := guarded(t, r, (mr-1)*ldc+n, 1)
	a, _ := guarded(t, r, k*mr, 3)
	b, _ := guarded(t, r, (panels-1)*stride+k*PanelRows, 5)
	was := slices.Clone(c)
	Tile(c, ldc, a, b, stride, mr, panels, k, add)
	for i := range mr {
		for j := range ldc {
			at := i*ldc + j
			if at >= len(c) {
				break
			}
			if j >= n {
				if c[at] != was[at] {
					t.Fatalf("%d×%d k %d: wrote between rows", mr, panels, k)
				}
				continue
			}
			var want float64
			if add {
				want = float64(was[at])
			}
			for kk := range k {
				want += float64(a[kk*mr+i]) * float64(b[j/PanelRows*stride+kk*PanelRows+j%PanelRows])
			}
			near(t, fmt.Sprintf("%d×%d k %d add %v [%d,%d]", mr, panels, k, add, i, j), c[at], want, 2, 1e-5)
		}
	}
	check()
	if !add || k < 2 {
		return
	}
	// One chain: two calls over parts of k give the bits of one, and so does any single row alone.
	c2 := slices.Clone(was)
	Tile(c2, ldc, a[:mr], b, stride, mr, panels, 1, true)
	Tile(c2, ldc, a[mr:], b[PanelRows:], stride, mr, panels, k-1, true)
	if !slices.Equal(c2, c) {
		t.Fatalf("%d×%d k %d: splitting k changes bits", mr, panels, k)
	}
	for i := range mr {
		row := slices.Clone(was[i*ldc : i*ldc+n])
		one := make([]float32, k)
		for kk := range k {
			one[kk] = a[kk*mr+i]
		}
		Tile(row, n, one, b, stride, 1, panels, k, true)
		if !slices.Equal(row, c[i*ldc:i*ldc+n]) {
			t.Fatalf("%d×%d k %d: row %d alone has other bits", mr, panels, k, i)
		}
	}
}

func TestPack(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		for _, width := range []int{1, 2, 3, 4, 5, 6, 7, 8, 16} {
			for rows := 0; rows <= width; rows++ {
				for k := range 35 {
					for mode := range 3 {
						rowStride, kStride := k+2, 1
						switch mode {
						case 1:
							rowStride, kStride = 1, width+1
						case 2:
							rowStride, kStride = 2, 2*width+1
						}
						src, _ := guarded(t, r, max(0, (rows-1)*rowStride)+max(0, (k-1)*kStride)+1, 1)
						dst, check := guarded(t, r, k*width, 3)
						Pack(dst, width, src, rowStride, kStride, rows, k, 2)
						for i := range dst {
							want := float32(0)
							if i%width < rows {
								want = 2 * src[i%width*rowStride+i/width*kStride]
							}
							if dst[i] != want {
								t.Fatalf("width %d rows %d k %d mode %d: element %d is %v, want %v", width, rows, k, mode, i, dst[i], want)
							}
						}
						check()
					}
				}
			}
		}
	})
}

func TestTranspose16(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		src, _ := guarded(t, r, 256, 3)
		dst, check := guarded(t, r, 256, 5)
		Transpose16(dst, src)
		for i := range 16 {
			for j := range 16 {
				if dst[j*16+i] != src[i*16+j] {
					t.Fatalf("[%d,%d] is %v, want %v", j, i, dst[j*16+i], src[i*16+j])
				}
			}
		}
		check()
	})
}

func TestTranspose(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 7))
		for rows := range 20 {
			for cols := range 20 {
				dstStride, srcStride := rows+3, cols+2
				src, _ := guarded(t, r, max(0, (rows-1)*srcStride+cols), 1)
				dst, check := guarded(t, r, max(0, (cols-1)*dstStride+rows), 3)
				was := slices.Clone(dst)
				Transpose(dst, dstStride, src, srcStride, rows, cols)
				for at, got := range dst {
					want := was[at]
					if at%dstStride < rows && cols > 0 {
						want = src[at%dstStride*srcStride+at/dstStride]
					}
					if got != want {
						t.Fatalf("%d×%d: element %d is %v, want %v", rows, cols, at, got, want)
					}
				}
				check()
			}
		}
	})
}

// Expansion is exact by definition of the formats, so every implementation must equal the generic one: all
// bytes, and all scales, random bits included.
func TestExpandEqualsGeneric(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		for _, f := range []struct {
			name       string
			size, n    int
			run, slow  func(dst []float32, src []byte)
			scaleBytes int
		}{
			{"Q4_1", PanelBlockQ41, 512, ExpandQ41, expandQ41Generic, 64},
			{"Q4_0", PanelBlockQ40, 512, ExpandQ40, expandQ40Generic, 32},
			{"Q8_0", PanelBlockQ80, 512, ExpandQ80, expandQ80Generic, 32},
			{"F16", 32, 16, ExpandF16, expandF16Generic, 32},
			{"BF16", 32, 16, ExpandBF16, expandB16Generic, 32},
		} {
			for blocks := range 12 {
				src := make([]byte, 1+blocks*f.size)[1:]
				for i := range src {
					src[i] = byte(r.IntN(256))
				}
				if blocks == 11 && f.name == "Q8_0" {
					for i := range 32 {
						src[i] = []byte{0, 0x7c}[i%2] // infinite scales
					}
				}
				want := make([]float32, blocks*f.n)
				f.slow(want, src)
				dst, check := guarded(t, r, blocks*f.n, 1)
				f.run(dst, src)
				for i := range dst {
					if dst[i] != want[i] && !(math.IsNaN(float64(dst[i])) && math.IsNaN(float64(want[i]))) {
						t.Fatalf("%s, %d blocks: element %d is %v, want %v", f.name, blocks, i, dst[i], want[i])
					}
				}
				check()
			}
		}
	})
}

// A single-row product must have the bits of expansion and a tile, whose values other tests check.
func TestRowEqualsExpandAndTile(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 6))
		for _, f := range []struct {
			name   string
			size   int
			row    rowFunc
			expand func(dst []float32, src []byte)
		}{
			{"Q4_1", PanelBlockQ41, RowQ41, ExpandQ41}, {"Q4_0", PanelBlockQ40, RowQ40, ExpandQ40},
			{"Q8_0", PanelBlockQ80, RowQ80, ExpandQ80}, {"F16", 1024, RowF16, ExpandF16}, {"BF16", 1024, RowBF16, ExpandBF16},
		} {
			for blocks := 1; blocks < 5; blocks++ {
				for panels := 1; panels < 6; panels++ {
					for _, add := range []bool{false, true} {
						stride, k := blocks*f.size+6, blocks*32
						src := make([]byte, 1+panels*stride)[1:]
						for i := range src {
							src[i] = byte(r.IntN(256))
							if f.size == 1024 || i%stride%f.size < 64 {
								src[i] &= 0xbf // keep halves and bfloat16 finite and moderate
							}
						}
						x, _ := guarded(t, r, k, 3)
						y, check := guarded(t, r, panels*PanelRows, 1)
						want := slices.Clone(y)
						f.row(y, x, src, stride, panels, add)
						w := make([]float32, k*PanelRows)
						for p := range panels {
							f.expand(w, src[p*stride:p*stride+blocks*f.size])
							Tile(want[p*PanelRows:], 0, x, w, 0, 1, 1, k, add)
						}
						for i := range y {
							if math.Float32bits(y[i]) != math.Float32bits(want[i]) || y[i] != y[i] {
								t.Fatalf("%s, %d blocks, %d panels, add %v: element %d is %v, want %v", f.name, blocks, panels, add, i, y[i], want[i])
							}
						}
						check()
					}
				}
			}
		}
	})
}

func TestHalfToFloat(t *testing.T) {
	for _, c := range []struct {
		bits uint16
		want float64
	}{
		{0, 0}, {0x3c00, 1}, {0xc000, -2}, {0x0001, 0x1p-24}, {0x03ff, 1023 * 0x1p-24}, {0x0400, 0x1p-14},
		{0x7bff, 65504}, {0x7c00, math.Inf(1)}, {0xfc00, math.Inf(-1)}, {0x7e00, math.NaN()}, {0x3555, 0x1.554p-2},
	} {
		near(t, fmt.Sprintf("half %04x", c.bits), HalfToFloat(c.bits), c.want, 0, 0)
	}
}
