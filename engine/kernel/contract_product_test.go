package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
)

// storedFormats are the kernels of each stored format: the bytes of 32 columns of a panel and how to fill them.
var storedFormats = []struct {
	format storedFormat
	name   string
	expand func() func(dst []float32, src []byte)
	row    func() rowFunc
	fill   func(r *rand.Rand, b []byte)
	plant  func(b []byte, where position, class int)
}{
	{q41, "Q41", func() func([]float32, []byte) { return active.expandQ41 }, func() rowFunc { return active.rowQ41 }, fillPanel(PanelBlockQ41), plantScale(PanelBlockQ41)},
	{q40, "Q40", func() func([]float32, []byte) { return active.expandQ40 }, func() rowFunc { return active.rowQ40 }, fillPanel(PanelBlockQ40), plantScale(PanelBlockQ40)},
	{q80, "Q80", func() func([]float32, []byte) { return active.expandQ80 }, func() rowFunc { return active.rowQ80 }, fillPanel(PanelBlockQ80), plantScale(PanelBlockQ80)},
	{f16, "F16", func() func([]float32, []byte) { return active.expandF16 }, func() rowFunc { return active.rowF16 }, fillHalves, plantHalf(&specialHalves)},
	{b16, "B16", func() func([]float32, []byte) { return active.expandB16 }, func() rowFunc { return active.rowB16 }, fillHalves, plantHalf(&specialB16)},
}

// storedContracts are those of expansions and of single-row products.
func storedContracts() (all []*contract) {
	for _, f := range storedFormats {
		step, values := f.format.panelBlock(), 512
		if f.format >= f16 {
			step, values = 32, 16
		}
		all = append(all, &contract{field: "expand" + f.name, shapes: upTo(1, 18, 1),
			slots: func(s []int) []slot {
				return []slot{out(s[0] * values), {n: s[0] * step, bytes: true, fill: f.fill, plant: f.plant}}
			},
			run: func(_ []int, o operands) { f.expand()(o.f(0), o[1]) },
		})
		// Shapes: blocks of 32 columns, panels, bytes between panels, accumulate.
		block := f.format.panelBlock()
		all = append(all, &contract{field: "row" + f.name, ulps: 2, perTerm: 32, shapes: upTo(1, 4, 24, span(1, 7), []int{0, 2, 6}, span(0, 1)),
			slots: func(s []int) []slot {
				return []slot{out(s[1] * PanelRows), in(32 * s[0]),
					{n: s[1] * (s[0]*block + s[2]), bytes: true, plant: f.plant, fill: func(r *rand.Rand, b []byte) {
						for stride := s[0]*block + s[2]; len(b) > 0; b = b[stride:] {
							f.fill(r, b[:s[0]*block])
						}
					}}}
			},
			run: func(s []int, o operands) { f.row()(o.f(0), o.f(1), o[2], s[0]*block+s[2], s[1], s[3] != 0) },
			size: func(s []int, o operands) { // what run does, with the weights' magnitudes
				w := make([]float32, 512*s[0])
				for p := range s[1] {
					f.expand()(w, o[2][p*(s[0]*block+s[2]):][:s[0]*block])
					for i, v := range w {
						w[i] = float32(math.Abs(float64(v)))
					}
					tileGeneric(o.f(0)[p*PanelRows:], 0, o.f(1), w, 0, 1, 1, 32*s[0], s[3] != 0)
				}
			},
		})
	}
	return all
}

// tileShapes are those of tiles: k (or pairs), rows, panels, floats between rows of c, floats between panels, accumulate.
func tileShapes(least, rows, picks int) func(r *rand.Rand, dense bool) [][]int {
	return upTo(least, longest, picks, span(1, rows), span(1, TilePanels), span(0, 5), span(0, 5), span(0, 1))
}

func tileSlots(s []int, fill func(r *rand.Rand, b []byte), plant func(b []byte, where position, class int)) []slot {
	k, rows, panels := s[0], s[1], s[2]
	return []slot{
		out((rows-1)*(panels*PanelRows+s[3]) + panels*PanelRows),
		{n: k * rows, fill: fill, plant: plant},
		{n: (panels-1)*(k*PanelRows+s[4]) + k*PanelRows, fill: fill, plant: plant},
	}
}

// packing is a contract of a kernel that interleaves rows: width, rows, floats between rows of the source. Columns
// are adjacent at one k, and else at one row.
func packing(field string, columns, inPairs bool, run func(dst []float32, width int, src []float32, stride, rows, k int)) *contract {
	strides := func(s []int) (stride, size int) {
		k, rows := s[0], min(s[1], s[2])
		if columns {
			stride = rows + s[3]
			return stride, (k-1)*stride + rows
		}
		stride = k + s[3]
		return stride, (rows-1)*stride + k
	}
	return &contract{field: field, raw: true,
		shapes: upTo(1, longest, 12, []int{1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 16, 16, 17}, []int{1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 17}, span(0, 5)),
		slots: func(s []int) []slot {
			_, size := strides(s)
			steps := s[0]
			if inPairs {
				steps = (s[0] + 1) / 2
			}
			return []slot{out(steps * s[1]), in(size)}
		},
		run: func(s []int, o operands) {
			stride, _ := strides(s)
			run(o.f(0), s[1], o.f(1), stride, min(s[1], s[2]), s[0])
		},
	}
}

// rowPairs is a contract of a single-row product in bfloat16. Shapes: pairs, panels, elements between panels, accumulate.
func rowPairs(field string, column int, weights slot, run func(s []int, o operands, stride int)) *contract {
	return &contract{field: field, shapes: upTo(1, 70, 3, span(1, 5), span(0, 3), span(0, 1)),
		slots: func(s []int) []slot {
			w := weights
			w.n = (s[1]-1)*(2*s[0]+s[2])*column + 2*s[0]*column
			return []slot{out(s[1] * PanelRows), {n: s[0], fill: fillPairs, plant: plantWord(&specialPairs)}, w}
		},
		run: func(s []int, o operands) { run(s, o, (2*s[0]+s[2])*column) },
	}
}

// fixed is a contract of a product in fixed point with activations of block words a block. Shapes: blocks, rows, words
// between rows of x, of y, accumulate.
func fixed(f storedFormat, name string, block int, run func() fixedFunc) *contract {
	size := f.panelBlock()
	return &contract{field: "fixed" + name, shapes: upTo(1, 6, 48, span(1, FixedRows), span(0, 3), span(0, 5), span(0, 1)),
		slots: func(s []int) []slot {
			words, n := s[0]*block, (s[1]-1)*(s[0]*block+s[2])+s[0]*block
			return []slot{
				out((s[1]-1)*(PanelRows+s[3]) + PanelRows),
				{n: n, closed: true, fill: func(r *rand.Rand, b []byte) {
					for ; len(b) > 0; b = b[min(len(b), 4*(words+s[2])):] {
						fillQuantised(r, b[:4*words], block)
					}
				}, plant: func(b []byte, where position, class int) { plantQuantised(b[:4*words], where, class, block) }},
				{n: s[0] * size, bytes: true, fill: fillPanel(size), plant: plantScale(size)},
			}
		},
		run: func(s []int, o operands) {
			run()(o.f(0), PanelRows+s[3], o.w(1), s[0]*block+s[2], o[2], s[1], s[4] != 0)
		},
	}
}

// The generic tiles do any number of rows, though no more are asked of them.
func tile(s []int, o operands) {
	run := Tile
	if active == &generic {
		run = tileGeneric
	}
	run(o.f(0), s[2]*PanelRows+s[3], o.f(1), o.f(2), s[0]*PanelRows+s[4], s[1], s[2], s[0], s[5] != 0)
}

func tileBF16(s []int, o operands) {
	run := TileBF16
	if active == &generic {
		run = tileBF16Generic
	}
	run(o.f(0), s[2]*PanelRows+s[3], o.f(1), o.f(2), s[0]*PanelRows+s[4], s[1], s[2], s[0], s[5] != 0)
}

// thenSlots are a tile's operands and those of a second part of its sums, thenK(s) long.
func thenSlots(s []int, fill func(r *rand.Rand, b []byte), plant func(b []byte, where position, class int)) []slot {
	then := slices.Clone(s)
	then[0] = thenK(s)
	return append(tileSlots(s, fill, plant), tileSlots(then, fill, plant)[1:]...)
}

func thenK(s []int) int { return 1 + s[0]%7 }

// tileThen runs a tile in two parts: at the generic level itself by run, which does any number of rows.
func tileThen(s []int, o operands, exported, run func(c []float32, ldc, mr, panels int, accumulate bool, first, then Part)) {
	if active != &generic {
		run = exported
	}
	run(o.f(0), s[2]*PanelRows+s[3], s[1], s[2], s[5] != 0,
		Part{o.f(1), o.f(2), s[0]*PanelRows + s[4], s[0]}, Part{o.f(3), o.f(4), thenK(s)*PanelRows + s[4], thenK(s)})
}

func tileThenF32(s []int, o operands)  { tileThen(s, o, TileThen, tileThenGeneric) }
func tileThenBF16(s []int, o operands) { tileThen(s, o, TileThenBF16, thenBF16Generic) }

var productContracts = []*contract{
	{field: "tileThen", shapes: tileShapes(1, 8, 8), ulps: 9, perTerm: 1, run: tileThenF32,
		slots:  func(s []int) []slot { return thenSlots(s, nil, nil) },
		fits:   func(s []int) bool { return s[1] <= TileRows() },
		size:   tileThenF32,
		inside: func(s []int, i int) bool { return i%(s[2]*PanelRows+s[3]) < s[2]*PanelRows },
	},
	{field: "thenBF16", shapes: tileShapes(1, 8, 4),
		slots: func(s []int) []slot { return thenSlots(s, fillPairs, plantWord(&specialPairs)) },
		fits:  func(s []int) bool { return s[1] <= BF16Rows() },
		run:   tileThenBF16,
	},
	{field: "tile", shapes: tileShapes(0, 8, 16), ulps: 2, perTerm: 1, run: tile,
		slots:  func(s []int) []slot { return tileSlots(s, nil, nil) },
		fits:   func(s []int) bool { return s[1] <= TileRows() },
		size:   tile,
		inside: func(s []int, i int) bool { return i%(s[2]*PanelRows+s[3]) < s[2]*PanelRows },
	},
	{field: "tileBF16", shapes: tileShapes(1, 8, 4),
		slots: func(s []int) []slot { return tileSlots(s, fillPairs, plantWord(&specialPairs)) },
		fits:  func(s []int) bool { return s[1] <= BF16Rows() },
		run:   tileBF16,
	},
	packing("pack", false, false, func(dst []float32, width int, src []float32, stride, rows, k int) {
		active.pack(dst, width, src, stride, rows, k)
	}),
	packing("columns", true, false, func(dst []float32, width int, src []float32, stride, rows, k int) {
		active.columns(dst, width, src, stride, rows, k)
	}),
	packing("packBF16", false, true, func(dst []float32, width int, src []float32, stride, rows, k int) {
		active.packBF16(dst, width, src, stride, rows, k, -1.7)
	}),
	packing("columnsBF16", true, true, func(dst []float32, width int, src []float32, stride, rows, k int) {
		active.columnsBF16(dst, width, src, stride, rows, k, -1.7)
	}),
	{field: "narrowBF16", raw: true, shapes: lengths, slots: func(s []int) []slot { return []slot{out((s[0] + 1) / 2), in(s[0])} },
		run: func(_ []int, o operands) { active.narrowBF16(o.f(0), o.f(1)) }},
	{field: "widenBF16", raw: true, shapes: lengths,
		slots: func(s []int) []slot {
			half := in((s[0] + 1) / 2)
			half.fill, half.plant = fillPairs, plantWord(&specialPairs)
			return []slot{out(s[0]), half}
		},
		run: func(_ []int, o operands) { active.widenBF16(o.f(0), o.f(1)) }},
	{field: "transpose", raw: true, shapes: upTo(256, 256, 1), slots: vectors(1, 1),
		run: func(_ []int, o operands) { active.transpose(o.f(0), o.f(1)) }},
	{field: "turn", raw: true, shapes: upTo(1, longest, 8, span(1, 40), span(0, 5), span(0, 5)),
		slots: func(s []int) []slot { // columns, rows, floats between rows of the result, of the source
			return []slot{out((s[0]-1)*(s[1]+s[2]) + s[1]), in((s[1]-1)*(s[0]+s[3]) + s[0])}
		},
		run: func(s []int, o operands) {
			active.turn(o.f(0), s[1]+s[2], o.f(1), s[0]+s[3], s[1], s[0])
		}},

	rowPairs("rowPairsF32", PanelRows, slot{}, func(s []int, o operands, stride int) {
		active.rowPairsF32(o.f(0), o.f(1), o.f(2), stride, s[1], s[3] != 0)
	}),
	rowPairs("rowPairsF16", 2*PanelRows, slot{bytes: true, fill: fillHalves, plant: plantHalf(&specialHalves)}, func(s []int, o operands, stride int) {
		active.rowPairsF16(o.f(0), o.f(1), o[2], stride, s[1], s[3] != 0)
	}),
	rowPairs("rowPairsB16", 2*PanelRows, slot{bytes: true, fill: fillHalves, plant: plantHalf(&specialB16)}, func(s []int, o operands, stride int) {
		active.rowPairsB16(o.f(0), o.f(1), o[2], stride, s[1], s[3] != 0)
	}),

	rankDots,

	{field: "quantise", raw: true, shapes: upTo(1, 40, 3),
		slots: func(s []int) []slot { return []slot{out(s[0] * FixedWords), {n: s[0] * 32, fill: fillBlocks}} },
		run:   func(_ []int, o operands) { active.quantise(o.w(0), o.f(1)) }},
	{field: "quantisePairs", raw: true, shapes: upTo(1, 40, 3),
		slots: func(s []int) []slot { return []slot{out(s[0] * PairWords), {n: s[0] * 32, fill: fillBlocks}} },
		run:   func(_ []int, o operands) { active.quantisePairs(o.w(0), o.f(1)) }},
	fixed(q41, "Q41", PairWords, func() fixedFunc { return active.fixedQ41 }),
	fixed(q40, "Q40", PairWords, func() fixedFunc { return active.fixedQ40 }),
	fixed(q80, "Q80", FixedWords, func() fixedFunc { return active.fixedQ80 }),
}

// contracts are those of every kernel in the table.
var contracts = slices.Concat(vectorContracts, productContracts, storedContracts(), attentionContracts)
