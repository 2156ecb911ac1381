package kernel

import (
	"encoding/binary"
	"math/rand/v2"
)

// rowMasks are masks of n rows of KeyBlock scores: all, causal, windows and any.
func rowMasks(n int) slot {
	return slot{n: 8 * n, bytes: true, fill: func(r *rand.Rand, b []byte) {
		for ; len(b) > 0; b = b[8:] {
			low, high := r.Uint64()|1<<r.IntN(64), r.IntN(64)
			m := [...]uint64{^uint64(0), ^uint64(0) >> high, ^uint64(0) << high, low}[r.IntN(4)]
			binary.LittleEndian.PutUint64(b, m)
		}
	}, plant: func(b []byte, where position, class int) {
		binary.LittleEndian.PutUint64(b[8*where.of(len(b)/8):], 0x0123456789abcdef<<class)
	}}
}

func masksOf(b []byte) (masks []uint64) {
	for ; len(b) > 0; b = b[8:] {
		masks = append(masks, binary.LittleEndian.Uint64(b))
	}
	return masks
}

func tileF16(s []int, o operands) {
	run := TileF16
	if active == &generic {
		run = tileF16Generic
	}
	run(o.f(0), s[2]*PanelRows+s[3], o.f(1), o[2], nil, s[0]*PanelRows+s[4], s[1], s[2], s[0], s[5] != 0)
}

var attentionContracts = []*contract{
	{field: "softmaxBlock", ulps: 8, noNaN: true, shapes: upTo(1, 9, 9), // rows
		slots: func(s []int) []slot {
			return []slot{out(s[0] * KeyBlock), rowMasks(s[0]), in(s[0]), out(s[0]), out(s[0])}
		},
		run: func(_ []int, o operands) { active.softmaxBlock(o.f(0), masksOf(o[1]), o.f(2), o.f(3), o.f(4)) }},
	{field: "softmaxBack", ulps: 6, shapes: upTo(1, 9, 9),
		slots: func(s []int) []slot {
			return []slot{out(s[0] * KeyBlock), out(s[0] * KeyBlock), rowMasks(s[0]), in(s[0]), in(s[0])}
		},
		run: func(_ []int, o operands) { active.softmaxBack(o.f(0), o.f(1), masksOf(o[2]), o.f(3), o.f(4)) }},
	{field: "softcap", ulps: 5, shapes: lengths, slots: vectors(1, 0),
		run: func(_ []int, o operands) { active.softcap(o.f(0), 1.5, 1/1.5) }},
	{field: "softcapBack", ulps: 2, shapes: lengths, slots: vectors(1, 1),
		run: func(_ []int, o operands) { active.softcapBack(o.f(0), o.f(1), 1.0/50) }},
	{field: "tileF16", shapes: tileShapes(1, 8, 8), ulps: 2, perTerm: 1, run: tileF16,
		slots: func(s []int) []slot {
			slots := tileSlots(s, nil, nil)
			slots[2] = slot{n: 2 * slots[2].n, bytes: true, fill: fillHalves, plant: plantHalf(&specialHalves)}
			return slots
		},
		fits: func(s []int) bool { return s[1] <= TileRows() },
		size: func(s []int, o operands) {
			for i := 1; i < len(o[2]); i += 2 {
				o[2][i] &= 0x7f
			}
			tileF16(s, o)
		},
		inside: func(s []int, i int) bool { return i%(s[2]*PanelRows+s[3]) < s[2]*PanelRows },
	},
	{field: "narrowF16", raw: true, shapes: lengths,
		slots: func(s []int) []slot { return []slot{out(s[0]), in(2 * s[0])} },
		run:   func(_ []int, o operands) { active.narrowF16(o[0], o.f(1)) }},
}
