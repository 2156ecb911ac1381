package kernel

import "math"

// RoundBF16 gives the bits of the bfloat16 nearest to x, ties to even. Subnormals become zero of their sign, NaN
// a quiet NaN: what VCVTNEPS2BF16 does.
func RoundBF16(x float32) uint16 {
	b := math.Float32bits(x)
	switch exponent := b & 0x7f800000; {
	case exponent == 0:
		b &= 0x80000000
	case exponent == 0x7f800000 && b&0x7fffff != 0:
		b |= 0x400000
	default:
		b += 0x7fff + b>>16&1
	}
	return uint16(b >> 16)
}

// pairs writes PackBF16's pairs for any strides, and leaves the columns past rows alone.
func pairs(dst []float32, width int, src []float32, rowStride, kStride, rows, k int, alpha float32) {
	for kk := 0; kk < k; kk += 2 {
		d := dst[kk/2*width:][:rows]
		for i := range d {
			at := i*rowStride + kk*kStride
			pair := uint32(RoundBF16(alpha * src[at]))
			if kk+1 < k {
				pair |= uint32(RoundBF16(alpha*src[at+kStride])) << 16
			}
			d[i] = math.Float32frombits(pair)
		}
	}
}

// clearColumns zeroes the columns of dst from the first on.
func clearColumns(dst []float32, width, first int) {
	for ; first < width && len(dst) > 0; dst = dst[width:] {
		clear(dst[first:width])
	}
}

func packBF16Generic(dst []float32, width int, src []float32, rowStride, rows, k int, alpha float32) {
	pairs(dst, width, src, rowStride, 1, rows, k, alpha)
	clearColumns(dst, width, rows)
}

func columnsBF16Generic(dst []float32, width int, src []float32, kStride, rows, k int, alpha float32) {
	pairs(dst, width, src, 1, kStride, rows, k, alpha)
	clearColumns(dst, width, rows)
}

func tileBF16Generic(c []float32, ldc int, a, b []float32, bStride, mr, panels, pairs int, accumulate bool) {
	for p := range panels {
		bp := b[p*bStride:][:pairs*PanelRows]
		for i := range mr {
			ci := c[i*ldc+p*PanelRows:][:PanelRows]
			var sum [PanelRows]float32
			if accumulate {
				for j, v := range ci {
					sum[j] = flush(v)
				}
			}
			for kk := range pairs {
				x := math.Float32bits(a[kk*mr+i])
				even, odd := bf16Value(x<<16), bf16Value(x)
				for j, w := range bp[kk*PanelRows:][:PanelRows] {
					w := math.Float32bits(w)
					sum[j] = mulAddBF16(mulAddBF16(sum[j], odd, bf16Value(w)), even, bf16Value(w<<16))
				}
			}
			copy(ci, sum[:])
		}
	}
}

func thenBF16Generic(c []float32, ldc, mr, panels int, accumulate bool, first, then Part) {
	tileBF16Generic(c, ldc, first.A, first.B, first.Stride, mr, panels, first.K, accumulate)
	tileBF16Generic(c, ldc, then.A, then.B, then.Stride, mr, panels, then.K, true)
}

// bf16Value is the value of the bfloat16 in the high half of pair.
func bf16Value(pair uint32) float32 { return flush(math.Float32frombits(pair & 0xffff0000)) }

// pairElement is the first or second value of a pair, subnormal ones included.
func pairElement(pair float32, i int) float32 {
	return math.Float32frombits(math.Float32bits(pair) >> (16 * i) << 16)
}

// flush makes subnormals zeros of their sign.
func flush(x float32) float32 {
	if b := math.Float32bits(x); b&0x7f800000 == 0 {
		return math.Float32frombits(b & 0x80000000)
	}
	return x
}

// mulAddBF16 is sum + x·w with one rounding; x and w have bfloat16's 8 significant bits, so their product needs
// only that f32's exponents hold it to be exact.
func mulAddBF16(sum, x, w float32) float32 {
	p := float32(x * w)
	if b := math.Float32bits(p) & 0x7f800000; b > 1<<23 && b < 0x7f800000 || x == 0 || w == 0 {
		return flush(sum + p)
	}
	exact := float64(x) * float64(w)
	s := float64(sum) + exact
	// Of the 53 bits of s 24 will stay. Where s is rounded, an odd last bit keeps the second rounding right.
	back := s - exact
	if e := float64(sum) - back + (exact - (s - back)); e != 0 && !math.IsInf(s, 0) && !math.IsNaN(s) {
		if bits := math.Float64bits(s); bits&1 == 0 {
			if (e > 0) == (s > 0) {
				bits++
			} else {
				bits--
			}
			s = math.Float64frombits(bits)
		}
	}
	// A result is subnormal if it would be one after rounding to 24 bits without a limit to the exponent.
	if math.Abs(s) < 0x1p-126-0x1p-151 {
		return float32(math.Copysign(0, s))
	}
	return float32(s)
}
