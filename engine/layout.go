package engine

import (
	"hone/engine/nn"
)

// minShared is the shortest common beginning of rows that is worth computing once.
const minShared = 16

// layout says how a micro-batch goes through the model: the tokens to read, the sequences they form, and the
// positions whose next token matters.
type layout struct {
	ids  []int32
	segs []nn.Segment
	pos  []int32
	ts   []target
}

// add appends tokens as a segment that starts at position pos, and returns its first row.
func (l *layout) add(tokens []int32, pos int, s nn.Segment) (row int) {
	s.Start, s.End = len(l.ids), len(l.ids)+len(tokens)
	l.ids = append(l.ids, tokens...)
	for i := range tokens {
		l.pos = append(l.pos, int32(pos+i)) //nolint:gosec // bounded by MaxPositions
	}
	l.segs = append(l.segs, s)
	return s.Start
}

// lay plans a micro-batch. Where share is set, rows that begin alike, as with one system prompt, read their common
// beginning once; losses and gradients are the same, but for rounding.
func (b *Base) lay(rows []Datum, a *Adapter, share bool) *layout {
	l := &layout{}
	shared := make([]int, len(rows)) // tokens that stand in another segment
	from := make([]int, len(rows))   // 1 + that segment
	first := make([]int, len(rows))  // its first row
	if share {
		for _, group := range alike(rows) {
			if n := common(rows, group); n >= minShared {
				row := l.add(rows[group[0]].Tokens[:n], 0, nn.Segment{Adapter: a.modules()})
				for _, i := range group {
					shared[i], from[i], first[i] = n, len(l.segs), row
				}
			}
		}
	}
	for i, d := range rows {
		n := d.inputs()
		if n == 0 {
			continue
		}
		own := l.add(d.Tokens[shared[i]:n], shared[i], nn.Segment{Adapter: a.modules(), Row: d.Row, Continues: from[i]})
		for j := 1; j <= n; j++ {
			if d.Weights[j] == 0 {
				continue
			}
			row := own + j - 1 - shared[i]
			if j-1 < shared[i] {
				row = first[i] + j - 1
			}
			l.ts = append(l.ts, target{row: row, token: d.Tokens[j], datum: i, pos: j})
		}
	}
	return l
}

// alike groups the rows, in order, whose first minShared tokens are equal; groups of one are left out.
func alike(rows []Datum) (groups [][]int) {
	seen := map[[minShared]int32]int{}
	for i, d := range rows {
		if d.inputs() <= minShared {
			continue
		}
		key := [minShared]int32(d.Tokens[:minShared])
		at, ok := seen[key]
		if !ok {
			at = len(groups)
			seen[key] = at
			groups = append(groups, nil)
		}
		groups[at] = append(groups[at], i)
	}
	kept := groups[:0]
	for _, g := range groups {
		if len(g) > 1 {
			kept = append(kept, g)
		}
	}
	return kept
}

// common is how many leading tokens the rows of a group can share: the token after them is still common, since
// the last shared position predicts it, and every row keeps at least one of its own.
func common(rows []Datum, group []int) int {
	lead := rows[group[0]].Tokens
	n := len(lead)
	for _, i := range group {
		d := rows[i]
		n = min(n, d.inputs())
		for j := range n {
			if d.Tokens[j] != lead[j] {
				n = j
				break
			}
		}
	}
	return n - 1
}

// start takes a call for the layout.
func (b *Base) start(l *layout) *nn.Call {
	c := b.begin(len(l.ids))
	c.Pos = append(c.Pos, l.pos...)
	c.Segs = append(c.Segs, l.segs...)
	return c
}
