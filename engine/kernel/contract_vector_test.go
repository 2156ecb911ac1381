package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
)

const longest = 130

// upTo makes shapes {n} of every length up to most, in short tests of some, and for each length picks of the other
// numbers, in short tests one.
func upTo(least, most, picks int, others ...[]int) func(r *rand.Rand, dense bool) [][]int {
	return func(r *rand.Rand, dense bool) (shapes [][]int) {
		step := 1
		if !dense {
			step, picks = max(1, (most-least)/26), 1
		}
		for n := least; n <= most; n += step {
			for range picks {
				s := []int{n}
				for _, o := range others {
					s = append(s, o[r.IntN(len(o))])
				}
				shapes = append(shapes, s)
			}
		}
		return shapes
	}
}

// span is the numbers from low to high.
func span(low, high int) (s []int) {
	for ; low <= high; low++ {
		s = append(s, low)
	}
	return s
}

var lengths = upTo(0, longest, 1)

// vectors are slots of s[0] floats each: outputs first, each read as well.
func vectors(outputs, inputs int) func(s []int) []slot {
	return func(s []int) (slots []slot) {
		for range outputs {
			slots = append(slots, out(s[0]))
		}
		for range inputs {
			slots = append(slots, in(s[0]))
		}
		return slots
	}
}

// reduction is a contract of a kernel that makes one number, which becomes the one element of operand 0.
func reduction(c contract, inputs int, reduce func(o operands) float32) *contract {
	c.shapes = lengths
	c.slots = func(s []int) []slot { return append([]slot{out(1)}, vectors(0, inputs)(s)...) }
	c.run = func(_ []int, o operands) { o.f(0)[0] = reduce(o) }
	if c.perTerm > 0 {
		c.size = c.run
	}
	return &c
}

// elementwise is a contract of a kernel that maps elements to elements, relative to the terms' magnitudes. The
// kernel's factor is alpha.
func elementwise(field, note string, inputs int, alpha float32, run func(o operands, alpha float32)) *contract {
	return &contract{field: field, note: note, shapes: lengths, slots: vectors(1, inputs), ulps: 2,
		run:  func(_ []int, o operands) { run(o, alpha) },
		size: func(_ []int, o operands) { run(o, max(alpha, -alpha)) },
	}
}

// gated is a contract of an activation times up, with inputs of a range where the exponential matters. Operands are
// outputs first; places says which are gate, up and dy.
func gated(field, note string, outputs, inputs int, gelu bool, places [3]int, run func(o operands)) *contract {
	return &contract{field: field, note: note, shapes: lengths, ulps: 8, signed: true,
		slots: func(s []int) []slot {
			slots := vectors(outputs, inputs)(s)
			for i := range slots {
				slots[i].fill = fillWide
			}
			return slots
		},
		run: func(_ []int, o operands) { run(o) },
		size: func(_ []int, o operands) {
			gate, up := slices.Clone(o.f(places[0])), slices.Clone(o.f(places[1]))
			dy := gate
			if outputs == 2 {
				dy = slices.Clone(o.f(places[2]))
			}
			for i := range gate {
				y, dgate, dup := gatedSizes(gelu, float64(gate[i]), float64(up[i]), float64(dy[i]))
				if outputs == 1 {
					o.f(0)[i] = float32(y)
				} else {
					o.f(0)[i], o.f(1)[i] = float32(dgate), float32(dup)
				}
			}
		},
	}
}

// gatedSizes are the magnitudes of an activation's terms. An error in the exponential's argument z is one of the
// exponential times z.
func gatedSizes(gelu bool, gate, up, dy float64) (y, dgate, dup float64) {
	z, slope := gate, gate
	if gelu {
		z, slope = gate*(geluA+geluB*gate*gate), gate*(geluA+3*geluB*gate*gate)
	}
	s := 1/(1+math.Exp(-z)) + 0x1p-108 // an exponential near overflow may get there early
	act := math.Abs(gate) * s * (1 + math.Abs(z)/4)
	return act * math.Abs(up), math.Abs(dy*up) * s * (1 + math.Abs(slope)*(1-s)) * (1 + math.Abs(z)/4), act * math.Abs(dy)
}

// adam takes AdamW's constants; with apart, its two terms of a weight add up for operands without signs.
func adam(apart bool) func(s []int, o operands) {
	c := adamConstants{gscale: 0.5, decay: 0.999, beta1: 0.9, oneBeta1: 0.1, beta2: 0.999, oneBeta2: 0.001, rootBC2: 10, eps: 1e-8, step: 0.01}
	if apart {
		c.step = -c.step
	}
	return func(_ []int, o operands) { active.adamW(o.f(0), o.f(1), o.f(2), o.f(3), &c) }
}

var vectorContracts = []*contract{
	reduction(contract{field: "dot", ulps: 1, perTerm: 1}, 2, func(o operands) float32 { return active.dot(o.f(1), o.f(2)) }),
	reduction(contract{field: "dot", note: "with itself", ulps: 1, perTerm: 1}, 1, func(o operands) float32 { return active.dot(o.f(1), o.f(1)) }),
	reduction(contract{field: "dotMul", ulps: 2, perTerm: 1}, 3, func(o operands) float32 { return active.dotMul(o.f(1), o.f(2), o.f(3)) }),
	reduction(contract{field: "sum", ulps: 1, perTerm: 1}, 1, func(o operands) float32 { return active.sum(o.f(1)) }),
	reduction(contract{field: "max", noNaN: true}, 1, func(o operands) float32 { return active.max(o.f(1)) }),
	reduction(contract{field: "sumExp", ulps: 4, perTerm: 1}, 1, func(o operands) float32 { return active.sumExp(o.f(1), 1.5) }),

	elementwise("axpy", "", 1, 1.7, func(o operands, alpha float32) { active.axpy(o.f(0), alpha, o.f(1)) }),
	elementwise("axpy", "negative", 1, -1.7, func(o operands, alpha float32) { active.axpy(o.f(0), alpha, o.f(1)) }),
	elementwise("add", "", 1, 0, func(o operands, _ float32) { active.add(o.f(0), o.f(1)) }),
	elementwise("scale", "", 0, -1.7, func(o operands, alpha float32) { active.scale(o.f(0), alpha) }),
	elementwise("mul", "", 1, 0, func(o operands, _ float32) { active.mul(o.f(0), o.f(1)) }),
	elementwise("mulAdd", "", 2, 0, func(o operands, _ float32) { active.mulAdd(o.f(0), o.f(1), o.f(2)) }),
	elementwise("scaleMul", "", 2, -1.7, func(o operands, s float32) { active.scaleMul(o.f(0), o.f(1), o.f(2), s) }),
	elementwise("scaleMul", "in place", 1, -1.7, func(o operands, s float32) { active.scaleMul(o.f(0), o.f(0), o.f(1), s) }),

	// The factor k is −alpha, so that the two terms add up for operands without signs.
	elementwise("normBack", "", 3, -0.3, func(o operands, alpha float32) { active.normBack(o.f(0), o.f(1), o.f(2), o.f(3), 1.7, -alpha) }),
	elementwise("normBack", "in place", 2, -0.3, func(o operands, alpha float32) { active.normBack(o.f(0), o.f(0), o.f(1), o.f(2), 1.7, -alpha) }),
	elementwise("normAdd", "", 3, -0.3, func(o operands, alpha float32) { active.normAdd(o.f(0), o.f(1), o.f(2), o.f(3), 1.7, -alpha) }),

	{field: "expShift", ulps: 4, shapes: lengths,
		slots: func(s []int) []slot {
			return []slot{out(s[0]), out(1), {n: s[0], fill: fillWide}}
		},
		run: func(_ []int, o operands) { o.f(1)[0] = active.expShift(o.f(0), o.f(2), 1.5) }},
	{field: "expShift", note: "in place", ulps: 4, shapes: lengths,
		slots: func(s []int) []slot {
			return []slot{{n: s[0], written: true, fill: fillWide}, out(1)}
		},
		run: func(_ []int, o operands) { o.f(1)[0] = active.expShift(o.f(0), o.f(0), 20) }},

	gated("siluMul", "", 1, 2, false, [3]int{1, 2}, func(o operands) { active.siluMul(o.f(0), o.f(1), o.f(2)) }),
	gated("siluMul", "onto gate", 1, 1, false, [3]int{0, 1}, func(o operands) { active.siluMul(o.f(0), o.f(0), o.f(1)) }),
	gated("siluMul", "onto up", 1, 1, false, [3]int{1, 0}, func(o operands) { active.siluMul(o.f(0), o.f(1), o.f(0)) }),
	gated("geluMul", "", 1, 2, true, [3]int{1, 2}, func(o operands) { active.geluMul(o.f(0), o.f(1), o.f(2)) }),
	gated("geluMul", "onto gate", 1, 1, true, [3]int{0, 1}, func(o operands) { active.geluMul(o.f(0), o.f(0), o.f(1)) }),
	gated("siluBack", "", 2, 3, false, [3]int{2, 3, 4}, func(o operands) { active.siluBack(o.f(0), o.f(1), o.f(2), o.f(3), o.f(4)) }),
	gated("siluBack", "onto gate and up", 2, 1, false, [3]int{0, 1, 2}, func(o operands) { active.siluBack(o.f(0), o.f(1), o.f(0), o.f(1), o.f(2)) }),
	gated("geluBack", "", 2, 3, true, [3]int{2, 3, 4}, func(o operands) { active.geluBack(o.f(0), o.f(1), o.f(2), o.f(3), o.f(4)) }),
	gated("geluBack", "onto up and gate", 2, 1, true, [3]int{1, 0, 2}, func(o operands) { active.geluBack(o.f(0), o.f(1), o.f(1), o.f(0), o.f(2)) }),

	{field: "adamW", ulps: 8, shapes: lengths, run: adam(false), size: adam(true),
		slots: func(s []int) []slot {
			return []slot{out(s[0]), in(s[0]), out(s[0]), {n: s[0], written: true, closed: true, fill: fillPositive, plant: plantPositive}}
		}},
}

// plantPositive is plantWord without signs, for moments of squares.
func plantPositive(b []byte, where position, class int) {
	plantWord(&specialFloats)(b, where, class)
	b[4*where.of(len(b)/4)+3] &= 0x7f
}
