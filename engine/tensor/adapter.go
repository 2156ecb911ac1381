package tensor

import (
	"fmt"

	"hone/engine/kernel"
)

// Adapters in decoding: y += scale·B·(A·x) for rows of a product that each may have an adapter of their own. Nothing
// is read twice, so memory bounds them, while the product with the base that eight such rows share is bound by
// arithmetic. So the work is cut to use both at once: one pass computes the inner products u = A·x of all rows and
// of all products with the same x, beside the quantisation of x, and B·u is added inside the tasks of the base's
// product, for the columns that a task has just computed; B's part is asked for before it starts.
//
// A row's u is computed by itself (kernel.RankDots), and its chain of B·u starts at y and adds pairs of ranks in
// ascending order (kernel.TileBF16). So a row's bits depend on its values and its adapter alone, and are the same at
// every CPU level.

// Frozen is a LowRank change to a matrix (Out, In), both factors rounded to bfloat16 and laid out for decoding. It
// takes 2 bytes a parameter, R rounded up to a multiple of 4 for A and of 2 for B, In to one of 32 and Out to one of 16.
type Frozen struct {
	R, In, Out int
	Scale      float32
	a          []float32 // blocks of up to 16 rows, in lines (kernel.RankDots)
	b          []float32 // panels of 16 outputs in pairs of ranks (kernel.TileBF16)
}

const linePairs = kernel.LineColumns / 2

// Freeze lays changes out in one piece of memory, all A in the given order and then all B. They are not kept. Entries
// of rank 0 give nil.
func Freeze(lows []LowRank) []*Frozen {
	out := make([]*Frozen, len(lows))
	sizeA, sizeB := 0, 0
	for i, l := range lows {
		if l.R == 0 {
			continue
		}
		f := &Frozen{R: l.R, In: len(l.A) / l.R, Out: len(l.B) / l.R, Scale: l.Scale}
		if f.R < 0 || f.In == 0 || f.Out == 0 || len(l.A) != f.R*f.In || len(l.B) != f.Out*f.R {
			panic(fmt.Sprintf("tensor.Freeze: rank %d with %d and %d values", l.R, len(l.A), len(l.B)))
		}
		out[i] = f
		sizeA += f.ranks() * f.lines() * linePairs
		sizeB += f.pairs() * f.panels() * panelRows
	}
	mem := RoomF32(sizeA + sizeB)
	a, b := mem[:sizeA], mem[sizeA:]
	for i, f := range out {
		if f != nil {
			f.a, a = cut(a, f.ranks()*f.lines()*linePairs)
			f.b, b = cut(b, f.pairs()*f.panels()*panelRows)
			f.lay(&lows[i])
		}
	}
	hugePages(mem, true)
	return out
}

func cut(s []float32, n int) (head, tail []float32) { return s[:n:n], s[n:] }

// ranks is R as A is stored, pairs the pairs of ranks of B; lines and panels are those of a row and of a column.
func (f *Frozen) ranks() int  { return (f.R + kernel.RankStep - 1) &^ (kernel.RankStep - 1) }
func (f *Frozen) pairs() int  { return (f.R + 1) / 2 }
func (f *Frozen) lines() int  { return (f.In + kernel.LineColumns - 1) / kernel.LineColumns }
func (f *Frozen) panels() int { return (f.Out + panelRows - 1) / panelRows }

// Bytes is the memory that the factors take.
func (f *Frozen) Bytes() int { return 4 * (len(f.a) + len(f.b)) }

// lay fills a and b, which are zero.
func (f *Frozen) lay(l *LowRank) {
	row := make([]float32, f.lines()*linePairs)
	for j := range f.R {
		kernel.PackBF16(row[:(f.In+1)/2], 1, l.A[j*f.In:], f.In, 1, 1, f.In, 1)
		block, stride := f.block(j)
		for k := range f.lines() {
			copy(block[k*stride:][:linePairs], row[k*linePairs:])
		}
	}
	size := f.pairs() * panelRows
	for p := range f.panels() {
		rows := min(panelRows, f.Out-p*panelRows)
		kernel.PackBF16(f.b[p*size:(p+1)*size], panelRows, l.B[p*panelRows*f.R:], f.R, 1, rows, f.R, 1)
	}
}

// block is A from row j on, as far as its block of rows goes, with the distance of a row's lines.
func (f *Frozen) block(j int) (a []float32, stride int) {
	first := j / kernel.RankRows * kernel.RankRows
	stride = min(kernel.RankRows, f.ranks()-first) * linePairs
	at := first * f.lines() * linePairs
	return f.a[at : at+f.lines()*stride][(j-first)*linePairs:], stride
}

// Addend is what an adapter adds to the rows [Lo,Hi) of a product.
type Addend struct {
	Lo, Hi int
	W      *Frozen

	u []float32 // Scale·A·x in pairs, by tiles that end at multiples of tileRows: [pair][row]
}

// tileRows is the number of rows that the B of one adapter is multiplied with at a time. It divides what the
// products' tasks are cut by.
func tileRows() int { return min(kernel.BF16Rows(), kernel.FixedRows) }

// tileEnd is where the tile ends that begins with row i, for rows of an addend up to hi.
func tileEnd(i, hi int) int { return min((i/tileRows()+1)*tileRows(), hi) }

// after is what is added to the columns of a product once they are computed.
type after struct {
	y    []float32 // (M, n)
	n    int
	bias []float32
	adds []Addend
}

func (p *Product) after() after { return after{p.Y, p.W.Rows, p.Bias, p.Adds} }

func (a *after) empty() bool { return a.bias == nil && len(a.adds) == 0 }

// prefetch asks for what apply will read of the adapters.
func (a *after) prefetch(first, last, from, to int) {
	for i := range a.adds {
		if add := &a.adds[i]; add.Lo < to && add.Hi > from {
			size := add.W.pairs() * panelRows
			kernel.Prefetch(add.W.b[first*size : last*size])
		}
	}
}

// apply adds to the columns of panels [first,last), for rows [from,to). from is a multiple of tileRows. edge is
// scratch for a tile whose columns are not all of the output.
func (a *after) apply(first, last, from, to int, edge []float32) {
	whole := max(first, min(last, a.n/panelRows))
	if whole > first {
		a.add(a.y[from*a.n+first*panelRows:], a.n, first, whole, from, to)
	}
	if whole == last {
		return
	}
	col := whole * panelRows
	for i := from; i < to; i += tileRows() {
		end := min(i+tileRows(), to)
		for r := i; r < end; r++ {
			copy(edge[(r-i)*panelRows:], a.y[r*a.n+col:(r+1)*a.n])
		}
		a.add(edge, panelRows, whole, last, i, end)
		for r := i; r < end; r++ {
			copy(a.y[r*a.n+col:(r+1)*a.n], edge[(r-i)*panelRows:])
		}
	}
}

// add adds to y, whose first element is column 16·first of row from.
func (a *after) add(y []float32, ldy, first, last, from, to int) {
	for r := from; r < to && a.bias != nil; r++ {
		bias := a.bias[first*panelRows : min(last*panelRows, a.n)]
		kernel.Add(y[(r-from)*ldy:][:len(bias)], bias)
	}
	for i := range a.adds {
		add := &a.adds[i]
		pairs := add.W.pairs()
		size := pairs * panelRows
		for r := max(from, add.Lo); r < min(to, add.Hi); {
			end := tileEnd(r, min(to, add.Hi))
			for p := first; p < last; p += kernel.TilePanels {
				n := min(kernel.TilePanels, last-p)
				kernel.TileBF16(y[(r-from)*ldy+(p-first)*panelRows:], ldy, add.u[(r-add.Lo)*pairs:], add.W.b[p*size:], size, end-r, n, pairs, true)
			}
			r = end
		}
	}
}
