package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var masksToTry = []uint64{0, 1, 1 << 63, ^uint64(0), 0xff00, 1<<17 - 1, math.MaxUint64 &^ (1<<40 - 1), 0x5555aaaa0ff01234}

// scores makes rows of scores with NaN, Inf and huge values where the masks hide them.
func scores(t *testing.T, r *rand.Rand, masks []uint64, off int) (s []float32, check func()) {
	s, check = guarded(t, r, len(masks)*KeyBlock, off)
	hidden := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 3e38}
	for i := range s {
		if s[i] *= 5; masks[i/KeyBlock]>>(i%KeyBlock)&1 == 0 {
			s[i] = hidden[i%len(hidden)]
		}
	}
	return s, check
}

// TestSoftmaxBlock runs the softmax over two blocks and compares with one over all their visible scores.
func TestSoftmaxBlock(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(31, 1))
		for rows := range 21 {
			first, second := make([]uint64, rows), make([]uint64, rows)
			for i := range rows {
				first[i], second[i] = masksToTry[r.IntN(len(masksToTry))], masksToTry[r.IntN(len(masksToTry))]
			}
			m, checkM := guarded(t, r, rows, 1)
			l, checkL := guarded(t, r, rows, 3)
			f, checkF := guarded(t, r, rows, 7)
			sums, checkSums := guarded(t, r, rows, 2)
			for i := range m {
				m[i], l[i] = float32(math.Inf(-1)), 0
			}
			a, checkA := scores(t, r, first, 5)
			b, checkB := scores(t, r, second, 0)
			was := append(slices.Clone(a), b...)
			SoftmaxBlock(a, first, m, l, f, sums)
			SoftmaxBlock(b, second, m, l, f, sums)
			for i := range rows {
				top, sum := math.Inf(-1), 0.0
				each := func(do func(s float64, p float32)) {
					for j := range KeyBlock {
						if first[i]>>j&1 != 0 {
							do(float64(was[i*KeyBlock+j]), a[i*KeyBlock+j]*f[i])
						} else if a[i*KeyBlock+j] != 0 {
							t.Fatalf("a hidden score gave %v", a[i*KeyBlock+j])
						}
						if second[i]>>j&1 != 0 {
							do(float64(was[(rows+i)*KeyBlock+j]), b[i*KeyBlock+j])
						} else if b[i*KeyBlock+j] != 0 {
							t.Fatalf("a hidden score gave %v", b[i*KeyBlock+j])
						}
					}
				}
				each(func(s float64, _ float32) { top = max(top, s) })
				each(func(s float64, p float32) {
					e := math.Exp(s - top)
					sum += e
					near(t, "probability", p, e, 40, 1e-37) // two differences of up to 40, rounded
				})
				if float64(m[i]) != top {
					t.Fatalf("maximum %v, want %v", m[i], top)
				}
				near(t, "sum", l[i], sum, 40, 0)
			}
			for _, check := range []func(){checkM, checkL, checkF, checkSums, checkA, checkB} {
				check()
			}
		}
	})
}

// TestSoftmaxBlockSpoiled: a visible NaN or +Inf, or nothing but −Inf, makes its row NaN and no other.
func TestSoftmaxBlockSpoiled(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		inf := float32(math.Inf(1))
		s := make([]float32, 4*KeyBlock)
		masks := []uint64{^uint64(0), ^uint64(0), 3, ^uint64(0)}
		s[5], s[KeyBlock+7], s[2*KeyBlock], s[2*KeyBlock+1] = float32(math.NaN()), inf, -inf, -inf
		m, l := []float32{-inf, -inf, -inf, -inf}, make([]float32, 4)
		SoftmaxBlock(s, masks, m, l, make([]float32, 4), make([]float32, 4))
		for i, v := range l {
			if (v != v) != (i < 3) {
				t.Errorf("row %d: sum %v", i, v)
			}
		}
	})
}

func TestSoftmaxBlockBack(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(31, 2))
		for rows := range 10 {
			masks := make([]uint64, rows)
			for i := range rows {
				masks[i] = masksToTry[r.IntN(len(masksToTry))]
			}
			lse, _ := guarded(t, r, rows, 1)
			delta, _ := guarded(t, r, rows, 3)
			p, checkP := scores(t, r, masks, 5)
			d, checkD := scores(t, r, masks, 7)
			s, dp := slices.Clone(p), slices.Clone(d)
			SoftmaxBlockBack(p, d, masks, lse, delta)
			for i := range p {
				if row := i / KeyBlock; masks[row]>>(i%KeyBlock)&1 != 0 {
					want := math.Exp(float64(s[i] - lse[row]))
					near(t, "probability", p[i], want, 2, 0)
					near(t, "gradient", d[i], want*float64(dp[i]-delta[row]), 4, 1e-38)
				} else if p[i] != 0 || d[i] != 0 {
					t.Fatalf("a hidden score gave %v and %v", p[i], d[i])
				}
			}
			checkP()
			checkD()
		}
	})
}

func TestSoftcap(t *testing.T) {
	eachImpl(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(31, 3))
		eachLength(func(n, off int) {
			x, check := guarded(t, r, n, off)
			for i := range x {
				x[i] *= []float32{0.01, 1, 20, 1000}[i%4]
			}
			y, d := slices.Clone(x), slices.Clone(x)
			const limit = 30
			Softcap(x, limit)
			SoftcapBack(d, x, limit)
			for i, v := range y {
				want := math.Tanh(float64(v) / limit)
				near(t, "capped", x[i], limit*want, 5, 0)
				near(t, "derivative", d[i], float64(v)*(1-want*want), 4, 5e-7*math.Abs(float64(v)))
			}
			check()
		})
		inf := float32(math.Inf(1))
		x := []float32{inf, -inf, float32(math.NaN()), 0}
		if Softcap(x, 2); x[0] != 2 || x[1] != -2 || x[2] == x[2] || x[3] != 0 {
			t.Errorf("capped Inf, −Inf, NaN and 0: %v", x)
		}
	})
}

func BenchmarkSoftmaxBlock(b *testing.B) {
	const rows = 8
	masks := make([]uint64, rows)
	for i := range masks {
		masks[i] = ^uint64(0)
	}
	s, d := make([]float32, rows*KeyBlock), make([]float32, rows*KeyBlock)
	m, l, f, sums := make([]float32, rows), make([]float32, rows), make([]float32, rows), make([]float32, rows)
	b.Run("forward", func(b *testing.B) {
		for b.Loop() {
			SoftmaxBlock(s, masks, m, l, f, sums)
		}
	})
	b.Run("backward", func(b *testing.B) {
		for b.Loop() {
			SoftmaxBlockBack(s, d, masks, m, l)
		}
	})
}
