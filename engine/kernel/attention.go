package kernel

import (
	"fmt"
	"math"
)

// What attention does to a block of scores between its products (Dao et al. 2022, arXiv 2205.14135): queries by
// KeyBlock keys, row-major. A row's softmax runs over blocks: m is its greatest score so far and l the sum of
// exp(score−m), and where a block raises m, what was summed before shrinks by a factor. A row's bits depend on its
// scores and mask alone, and not on what stands where the mask hides it.
//
// In assembly a row stays in registers, four of AVX-512 or eight of AVX2, from the loading of its scores to the
// storing of its probabilities.

// KeyBlock is the number of keys in a block of scores.
const KeyBlock = 64

// SoftmaxBlock turns rows of KeyBlock scores into exp(score−m) in place, for the new m of each row, and 0 where a bit
// of the row's mask is not set. It brings m and l up to date, and sets f to the factor exp(old m − new m) by which
// what was summed before shrinks. Before a row's first block m is −Inf and l is 0. A row whose visible scores so far
// are all −Inf, or have a NaN or +Inf, becomes NaN. sums is for the rows' sums within the block.
func SoftmaxBlock(s []float32, masks []uint64, m, l, f, sums []float32) {
	n := len(masks)
	checkBlock("SoftmaxBlock", n, len(s), len(m), len(l), len(f), len(sums))
	if n == 0 {
		return
	}
	active.softmaxBlock(s, masks, m, f, sums)
	for i, top := range f[:n] {
		f[i] = 1
		if top != m[i] {
			f[i] = exp32(m[i] - top)
		}
		l[i] = float32(l[i]*f[i]) + sums[i]
		m[i] = top
	}
}

// SoftmaxBlockBack makes the probabilities of a block again, p = exp(p−lse), and the gradient of its scores from that
// of its probabilities, d = p·(d−delta); both are 0 where the mask's bit is not set. lse is a row's log-sum-exp over
// all its scores, delta the sum of p·d over all of them.
func SoftmaxBlockBack(p, d []float32, masks []uint64, lse, delta []float32) {
	n := len(masks)
	checkBlock("SoftmaxBlockBack", n, min(len(p), len(d)), len(lse), len(delta))
	if n > 0 {
		active.softmaxBack(p, d, masks, lse, delta)
	}
}

func checkBlock(op string, n, scores int, vectors ...int) {
	ok := scores >= n*KeyBlock
	for _, v := range vectors {
		ok = ok && v >= n
	}
	if !ok {
		panic(fmt.Sprintf("kernel.%s: %d rows with %d scores and vectors of %d", op, n, scores, vectors))
	}
}

// Softcap replaces x by limit·tanh(x/limit), to 3 units in the last place.
func Softcap(x []float32, limit float32) { active.softcap(x, limit, 1/limit) }

// SoftcapBack multiplies d with the derivative of Softcap, 1 − (y/limit)², where y is its result.
func SoftcapBack(d, y []float32, limit float32) {
	sameLength("SoftcapBack", len(d), len(y))
	active.softcapBack(d, y, 1/limit)
}

func softmaxBlockGeneric(s []float32, masks []uint64, m, top, sums []float32) {
	for i, mask := range masks {
		row := s[i*KeyBlock:][:KeyBlock]
		t := m[i]
		for j, v := range row {
			if mask>>j&1 != 0 && v > t {
				t = v
			}
		}
		sum := 0.0
		for j, v := range row {
			row[j] = 0
			if mask>>j&1 != 0 {
				row[j] = exp32(v - t)
				sum += float64(row[j])
			}
		}
		top[i], sums[i] = t, float32(sum)
	}
}

func softmaxBackGeneric(p, d []float32, masks []uint64, lse, delta []float32) {
	for i, mask := range masks {
		pr, dr := p[i*KeyBlock:][:KeyBlock], d[i*KeyBlock:][:KeyBlock]
		for j := range pr {
			if mask>>j&1 == 0 {
				pr[j], dr[j] = 0, 0
				continue
			}
			pr[j] = exp32(pr[j] - lse[i])
			dr[j] = pr[j] * (dr[j] - delta[i])
		}
	}
}

func softcapGeneric(x []float32, limit, inverse float32) {
	for i, v := range x {
		x[i] = limit * float32(math.Tanh(float64(float32(v*inverse))))
	}
}

func softcapBackGeneric(d, y []float32, inverse float32) {
	for i, v := range y {
		t := v * inverse
		d[i] *= 1 - float32(t*t)
	}
}
