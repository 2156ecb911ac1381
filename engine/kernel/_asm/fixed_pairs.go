package main

const (
	pairsBlock = 64 // bytes of a block of paired activations: 16 bytes each of a, b and g, four words
	lowPart    = 0
	highPart   = 16
	wholePart  = 32
	pairsScale = 48
	pairsSum   = 52
	pairsEight = 56
)

// few is how many rows have three sums each, one for each of a, b and g, so that enough chains are in flight and low
// nibbles need no shift; more rows have one sum each, and low nibbles are taken times 16.
const few = 2

// pairsAVX512 multiplies rows of paired activations with one panel of 4-bit weights. Z0…Z3 hold a block's bytes as
// stored, Z4…Z7 their low nibbles, Z8…Z11 the high ones, 4 columns of 16 rows each; Z12 and Z13 the scales; Z16… the
// integer sums; Z24… the f32 results. 12 VPDPBUSD and 3 multiplications a row and block share two of the CPU's four units, which bounds eight
// rows to 120 cycles a block.
func pairsAVX512(f *file, s stored, rows int) {
	activation := fixedStart(f, s, rows, 24)
	f.op("VMOVDQU32 nibbleMask<>(SB), {14}")
	f.op("VPSLLD $4, {14}, {15}")
	f.mark("block")
	for c := range s.scales {
		f.op("VCVTPH2PS %d(BX), {%d}", c*32, 12+c)
	}
	for g := range 4 {
		f.op("VMOVDQU32 %d(BX), {%d}", s.scales*32+g*64, g)
		if rows > few {
			f.op("VPSLLD $4, {%d}, {%d}", g, 4+g)
			f.op("VPANDD {15}, {%d}, {%d}", 4+g, 4+g)
		} else {
			f.op("VPANDD {14}, {%d}, {%d}", g, 4+g)
		}
		f.op("VPSRLD $4, {%d}, {%d}", g, 8+g)
		f.op("VPANDD {14}, {%d}, {%d}", 8+g, 8+g)
	}
	for at := 0; at < 16*s.blockBytes && rows > 4; at += 64 {
		f.op("PREFETCHT0 %d(BX)", prefetchAhead+at)
	}
	chains := 1
	if rows <= few {
		chains = 3
	}
	for i := range rows * chains {
		if s.scales == 1 && i%chains == 0 {
			f.op("VPBROADCASTD %s, {%d}", activation(i/chains, pairsEight), 16+i)
		} else {
			zero(f, 16+i)
		}
	}
	for g := range 4 {
		for p, part := range []struct{ offset, weights int }{{wholePart, 0}, {lowPart, 4}, {highPart, 8}} {
			for i := range rows {
				f.op("VPDPBUSD.BCST %s, {%d}, {%d}", activation(i, part.offset+4*g), part.weights+g, 16+i*chains+p%chains)
			}
		}
	}
	for i := 0; i < rows && chains > 1; i++ {
		sum := 16 + i*chains
		f.op("VPADDD {%d}, {%d}, {%d}", sum+2, sum, sum)
		f.op("VPSLLD $4, {%d}, {%d}", sum+1, sum+1)
		f.op("VPADDD {%d}, {%d}, {%d}", sum+1, sum, sum)
	}
	pairsScales(f, s, rows, chains, activation)
	fixedEnd(f, s, rows, 24, pairsBlock)
}

// pairsScales adds the sums to the results, step by step for all rows.
func pairsScales(f *file, s stored, rows, chains int, activation func(row, offset int) string) {
	for i := range rows {
		f.op("VCVTDQ2PS {%d}, {%d}", 16+i*chains, 16+i*chains)
		f.op("VMULPS.BCST %s, {12}, {%d}", activation(i, pairsScale), i)
		f.op("VMULPS {%d}, {%d}, {%d}", i, 16+i*chains, 16+i*chains)
		f.op("VADDPS {%d}, {%d}, {%d}", 16+i*chains, 24+i, 24+i)
		if s.scales == 2 {
			f.op("VMULPS.BCST %s, {13}, {%d}", activation(i, pairsSum), i)
			f.op("VADDPS {%d}, {%d}, {%d}", i, 24+i, 24+i)
		}
	}
}

// pairsAVX2 multiplies one or two rows of activations with half a panel. VPMADDUBSW sums pairs to 16 bits, where a
// whole byte times g would not fit: it is 16·high·g + low·g, so that 16·Σ(low·a + high·g) + Σ(high·b + low·g) is the
// sum, and each of the two fits 16 bits over a block. Y0…Y7 hold weights, Y8 and Y9 results, Y14 and Y15 scales.
func pairsAVX2(f *file, s stored, rows int) {
	fixedHalfStart(f, s, rows)
	for g := range 4 {
		f.op("VMOVDQU %d(BX), {%d}", g*64, 4+g)
		f.op("VPAND nibbleMask<>(SB), {%d}, {%d}", 4+g, g)
		f.op("VPSRLW $4, {%d}, {%d}", 4+g, 4+g)
		f.op("VPAND nibbleMask<>(SB), {%d}, {%d}", 4+g, 4+g)
	}
	for i := range rows {
		zero(f, 10)
		zero(f, 11)
		for g := range 4 {
			for _, part := range []struct {
				offset  int
				weights [2]int // each added to a sum: the first to that times 16
			}{{lowPart, [2]int{0, -1}}, {highPart, [2]int{-1, 4}}, {wholePart, [2]int{4, 0}}} {
				f.op("VPBROADCASTD %d%s, {12}", part.offset+4*g, halfActivation[i])
				for sum, w := range part.weights {
					if w >= 0 {
						f.op("VPMADDUBSW {12}, {%d}, {13}", w+g)
						f.op("VPADDW {13}, {%d}, {%d}", 10+sum, 10+sum)
					}
				}
			}
		}
		f.op("VPMADDWD ones<>(SB), {10}, {10}")
		f.op("VPMADDWD ones<>(SB), {11}, {11}")
		f.op("VPSLLD $4, {10}, {10}")
		f.op("VPADDD {11}, {10}, {10}")
		if s.scales == 1 {
			f.op("VPBROADCASTD %d%s, {12}", pairsEight, halfActivation[i])
			f.op("VPADDD {12}, {10}, {10}")
		}
		fixedHalfScale(f, s, i, pairsScale, pairsSum)
	}
	fixedHalfEnd(f, s, rows, pairsBlock)
}

// quantisePairsAVX512 converts a block of 32 activations a pass: 16 pairs of integers in Z0 and Z1.
func quantisePairsAVX512(f *file) {
	quantiseStart(f, "quantisePairBlocksAVX512")
	f.op("VMOVDQU32 magnitude<>(SB), {31}")
	f.op("VMOVDQU32 rounding<>(SB), {30}")
	f.op("VMOVDQU32 lowestBits<>(SB), {29}")
	f.mark("block")
	quantiseIntegersAVX512(f, "pairsMax", "pairsInverse")
	f.op("VPADDD {1}, {30}, {6}")
	f.op("VPSRAD $4, {6}, {6}")
	f.op("VPSUBD {0}, {6}, {7}")
	f.op("VPANDD {29}, {7}, {7}")
	f.op("VPSUBD {7}, {6}, {6}") // g
	f.op("VPMOVDB {6}, %d(DI)", wholePart)
	f.op("VPSUBD {6}, {0}, {7}")
	f.op("VPSRAD $4, {7}, {7}") // a
	f.op("VPMOVDB {7}, %d(DI)", lowPart)
	f.op("VPSLLD $4, {6}, {6}")
	f.op("VPSUBD {6}, {1}, {7}") // b
	f.op("VPMOVDB {7}, %d(DI)", highPart)
	f.op("VPADDD {0}, {1}, {2}")
	reduce(f, "VPADDD", 2, 3)
	quantiseEnd(f, pairsBlock, pairsScale, func() {
		f.op("VPXORD {0}, {0}, {0}")
		f.op("VMOVDQU32 {0}, (DI)")
	})
}

// quantisePairsAVX2 is quantisePairsAVX512 with two halves of 8 pairs.
func quantisePairsAVX2(f *file) {
	quantiseStart(f, "quantisePairBlocksAVX2")
	f.mark("block")
	quantiseIntegersAVX2(f, "pairsMax", "pairsInverse")
	f.op("VPADDD {6}, {7}, {0}")
	f.op("VPADDD {8}, {9}, {2}")
	f.op("VPADDD {0}, {2}, {2}")
	for i := range 2 { // Y6+i holds the first of the pairs, Y8+i the second
		g, rest := 10+i, 12
		f.op("VPADDD rounding<>(SB), {%d}, {%d}", 8+i, g)
		f.op("VPSRAD $4, {%d}, {%d}", g, g)
		f.op("VPSUBD {%d}, {%d}, {%d}", 6+i, g, rest)
		f.op("VPAND lowestBits<>(SB), {%d}, {%d}", rest, rest)
		f.op("VPSUBD {%d}, {%d}, {%d}", rest, g, g)
		f.op("VPSUBD {%d}, {%d}, {%d}", g, 6+i, 6+i)
		f.op("VPSRAD $4, {%d}, {%d}", 6+i, 6+i)
		f.op("VPSLLD $4, {%d}, {%d}", g, rest)
		f.op("VPSUBD {%d}, {%d}, {%d}", rest, 8+i, 8+i)
	}
	for _, part := range []struct{ at, from int }{{lowPart, 6}, {highPart, 8}, {wholePart, 10}} {
		f.op("VPACKSSDW {%d}, {%d}, {%d}", part.from+1, part.from, part.from)
		f.op("VPERMQ $0xd8, {%d}, {%d}", part.from, part.from)
		f.op("VEXTRACTI128 $1, {%d}, X12", part.from)
		f.op("VPACKSSWB X12, X%d, X%d", part.from, part.from)
		f.op("VMOVDQU X%d, %d(DI)", part.from, part.at)
	}
	reduce(f, "VPADDD", 2, 3)
	quantiseEnd(f, pairsBlock, pairsScale, func() {
		f.op("VPXOR {0}, {0}, {0}")
		f.op("VMOVDQU {0}, (DI)")
		f.op("VMOVDQU {0}, 32(DI)")
	})
}

// pairs writes the products of 4-bit weights of the current instruction set.
func pairs(f *file) {
	for _, s := range formats {
		if !s.nibbles {
			continue
		}
		if f.reg == "Z" {
			for rows := 1; rows <= fixedRows; rows++ {
				pairsAVX512(f, s, rows)
			}
			continue
		}
		for rows := 1; rows <= 2; rows++ {
			pairsAVX2(f, s, rows)
		}
	}
}
