package main

import "fmt"

// A stored is one stored format as the single-row products read it.
type stored struct {
	name       string
	blockBytes int // of 32 columns of one row
	scales     int // vectors of 16 halves at the start of a block
	nibbles    bool
	stepBytes  int // from one column to the next; four columns of a quantised format share a vector of words
}

var formats = []stored{
	{"Q41", 20, 2, true, 16}, {"Q40", 18, 1, true, 16}, {"Q80", 34, 1, false, 16},
	{"F16", 64, 0, false, 32}, {"B16", 64, 0, false, 32},
}

const rowParams = "y *float32, x *float32, src *byte, stride int, blocks int, accumulate bool"

// rows writes the products of one activation row with stored panels, which are bound by reading the panels:
// values go from their stored form to the multiplication without touching memory.
func rows(f *file) {
	nibbleConstants(f)
	for _, f.isa = range []isa{avx2, avx512} {
		for _, format := range formats {
			for panels := 1; panels <= f.rowPanels(); panels++ {
				row(f, format, panels)
			}
		}
	}
}

// rowPanels is how many panels the registers hold: accumulators, two scales each and three temporaries.
func (f *file) rowPanels() int {
	if f.reg == "Y" {
		return 2
	}
	return 3
}

func row(f *file, s stored, panels int) {
	f.function(fmt.Sprintf("row%s%s_%d", s.name, f.name, panels), rowParams, "")
	n := panels * 16 / f.lanes // accumulators; then as many registers for each scale
	perPanel := 16 / f.lanes
	x, t := 3*n, 3*n+1
	base := func(pointer string, i, offset int) string {
		return fmt.Sprintf("%d(%s)%s", offset, pointer, []string{"", "(R8*1)", "(R8*2)"}[i/perPanel])
	}
	f.op("MOVQ y+0(FP), DI")
	f.op("MOVQ x+8(FP), SI")
	f.op("MOVQ src+16(FP), BX")
	f.op("MOVQ stride+24(FP), R8")
	f.op("MOVQ blocks+32(FP), CX")
	f.op("MOVBLZX accumulate+40(FP), AX")
	for i := range n {
		zero(f, i)
	}
	f.op("TESTL AX, AX")
	f.op("JE block")
	for i := range n {
		f.op("VMOVUPS %d(DI), {%d}", i*f.lanes*4, i)
	}
	f.mark("block")
	for i := range n {
		for c := range s.scales {
			f.op("VCVTPH2PS %s, {%d}", base("BX", i, c*32+i%perPanel*f.lanes*2), n*(1+c)+i)
		}
	}
	passes := []string{""}
	if s.nibbles {
		passes = []string{"low", "high"}
	}
	for _, half := range passes {
		f.op("LEAQ %d(BX), R9", s.scales*32)
		f.op("MOVL $%d, DX", 32/len(passes)/4)
		f.mark("columns" + half)
		for u := range 4 {
			f.op("VBROADCASTSS %d(SI), {%d}", u*4, x)
			for i := range n {
				from := base("R9", i, u*s.stepBytes+i%perPanel*f.lanes*s.stepBytes/16)
				if s.scales > 0 {
					from = base("R9", i, i%perPanel*f.lanes*4)
				}
				value(f, s, half, from, u, t, n+i, 2*n+i)
				f.op("VFMADD231PS {%d}, {%d}, {%d}", t, x, i)
				t = 3*n + 1 + (t-3*n)%3 // several values in flight
			}
		}
		f.op("ADDQ $16, SI")
		f.op("ADDQ $%d, R9", 4*s.stepBytes)
		f.op("DECL DX")
		f.op("JNE columns%s", half)
	}
	f.op("ADDQ $%d, BX", 16*s.blockBytes)
	f.op("DECQ CX")
	f.op("JNE block")
	for i := range n {
		f.op("VMOVUPS {%d}, %d(DI)", i, i*f.lanes*4)
	}
	f.end()
}

// value loads one register of stored values and converts them, with exactly the operations of the expansions.
// Of a quantised format it takes byte u of the words.
func value(f *file, s stored, half, from string, u, t, d, m int) {
	switch s.name {
	case "F16":
		f.op("VCVTPH2PS %s, {%d}", from, t)
		return
	case "B16":
		f.op("VPMOVZXWD %s, {%d}", from, t)
		f.op("VPSLLD $16, {%d}, {%d}", t, t)
		return
	case "Q80":
		f.op("%s %s, {%d}", f.load(), from, t)
		f.signed(t, t, u)
		f.op("VCVTDQ2PS {%d}, {%d}", t, t)
		f.op("VMULPS {%d}, {%d}, {%d}", d, t, t)
		return
	}
	shift := 8 * u
	if half == "high" {
		shift += 4
	}
	if shift == 0 {
		f.op("%s %s, {%d}", f.load(), from, t)
	} else if f.reg == "Z" {
		f.op("VPSRLD $%d, %s, {%d}", shift, from, t)
	} else {
		f.op("VMOVDQU %s, {%d}", from, t)
		f.op("VPSRLD $%d, {%d}, {%d}", shift, t, t)
	}
	if shift < 28 {
		f.op("%s fifteen<>(SB), {%d}, {%d}", f.and(), t, t)
	}
	f.op("VCVTDQ2PS {%d}, {%d}", t, t)
	if s.name == "Q41" {
		f.op("VFMADD213PS {%d}, {%d}, {%d}", m, d, t)
		return
	}
	f.op("VADDPS minusEight<>(SB), {%d}, {%d}", t, t)
	f.op("VMULPS {%d}, {%d}, {%d}", d, t, t)
}

// and is the bitwise AND of whole registers.
func (f *file) and() string {
	if f.reg == "Z" {
		return "VPANDD"
	}
	return "VPAND"
}
