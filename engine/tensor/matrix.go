package tensor

import (
	"encoding/binary"
	"fmt"
	"math"

	"hone/engine/kernel"
)

// Matrix is a weight of Rows output features by Cols input features, kept in its stored precision. Rows are
// grouped in panels of 16 whose values at one column are adjacent (of quantised blocks: the scales, then words
// of 4 columns), so that expanding a panel to f32 is a straight loop and an f32 panel needs none. Rows
// past the last are zero. A Matrix may be shared; only SetF32 changes one.
type Matrix struct {
	DType      DType
	Rows, Cols int

	f32    []float32 // panels of F32
	data   []byte    // panels of all other types
	panels int
}

const panelRows = kernel.PanelRows

// NewMatrix repacks row-major data as the file stores it; data is not kept. It errs if the type is no weight
// type, if a dimension is not positive, if cols is not whole blocks or if data is not exactly rows·cols long.
func NewMatrix(d DType, rows, cols int, data []byte) (*Matrix, error) {
	return NewMatrixIn(nil, d, rows, cols, data)
}

// NewMatrixIn is NewMatrix with the values in room, RoomFor bytes of a Room that has not been used.
func NewMatrixIn(room []byte, d DType, rows, cols int, data []byte) (*Matrix, error) {
	if err := checkMatrix(d, rows, cols, data); err != nil {
		return nil, err
	}
	rowBytes := cols / d.BlockSize() * d.BlockBytes()
	if room == nil {
		room = Room(RoomFor(d, rows, cols, data))
	}
	m := &Matrix{DType: d, Rows: rows, Cols: cols, panels: (rows + panelRows - 1) / panelRows}
	if d == F32 {
		m.f32 = floats(room, m.panels*panelRows*cols)
		for r := range rows {
			m.setRow(r, data[r*rowBytes:(r+1)*rowBytes])
		}
		return m, nil
	}
	m.data = room[: m.panels*panelRows*rowBytes : m.panels*panelRows*rowBytes]
	size := panelRows * rowBytes
	for p := range m.panels {
		panel, rows := m.data[p*size:(p+1)*size], data[p*size:min((p+1)*size, len(data))]
		switch d {
		case Q4_1:
			repackQuantised(panel, rows, rowBytes, 2, 4)
		case Q4_0:
			repackQuantised(panel, rows, rowBytes, 1, 4)
		case Q8_0:
			repackQuantised(panel, rows, rowBytes, 1, 8)
		default:
			repackHalves(panel, rows, rowBytes)
		}
	}
	return m, nil
}

// checkMatrix errs for what is no matrix.
func checkMatrix(d DType, rows, cols int, data []byte) error {
	if d > Q4_1 {
		return fmt.Errorf("matrix of %s: not a weight type", d)
	}
	if rows <= 0 || cols <= 0 || rows > math.MaxInt/4/cols-16 {
		return fmt.Errorf("matrix %d×%d: dimensions out of range", rows, cols)
	}
	if cols%d.BlockSize() != 0 {
		return fmt.Errorf("matrix %d×%d of %s: columns are not a multiple of the block of %d", rows, cols, d, d.BlockSize())
	}
	rowBytes := cols / d.BlockSize() * d.BlockBytes()
	if rowBytes > len(data) || rows*rowBytes != len(data) {
		return fmt.Errorf("matrix %d×%d of %s: %d bytes of data, want %d", rows, cols, d, len(data), rows*rowBytes)
	}
	return nil
}

func (m *Matrix) setRow(r int, row []byte) {
	panel := m.f32[r/panelRows*panelRows*m.Cols:][:panelRows*m.Cols]
	for k := range m.Cols {
		panel[k*panelRows+r%panelRows] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*k:]))
	}
}

// FromF32 makes an F32 matrix of row-major values (rows, cols). It panics unless data has rows·cols values.
func FromF32(rows, cols int, data []float32) *Matrix {
	m := &Matrix{DType: F32, Rows: rows, Cols: cols, panels: (rows + panelRows - 1) / panelRows}
	m.f32 = aligned[float32](m.panels * panelRows * cols)
	m.SetF32(data)
	return m
}

// SetF32 replaces the values by row-major data, after an optimiser's step. It panics if the matrix is not F32
// or the length differs. No product may read the matrix meanwhile.
func (m *Matrix) SetF32(data []float32) {
	if m.DType != F32 || len(data) != m.Rows*m.Cols {
		panic(fmt.Sprintf("tensor.SetF32: %d values for a %d×%d matrix of %s", len(data), m.Rows, m.Cols, m.DType))
	}
	if len(data) == 0 {
		return
	}
	for p := range m.panels {
		rows := min(panelRows, m.Rows-p*panelRows)
		kernel.Pack(m.f32[p*panelRows*m.Cols:(p+1)*panelRows*m.Cols], panelRows, data[p*panelRows*m.Cols:], m.Cols, 1, rows, m.Cols, 1)
	}
}

// Bytes is the memory that the values take, padding rows included.
func (m *Matrix) Bytes() int { return 4*len(m.f32) + len(m.data) }

// Row writes row i to dst as f32, exactly as the stored format defines the values; dst has Cols elements.
func (m *Matrix) Row(i int, dst []float32) {
	m.row(i, dst, make([]float32, rowBlock))
}

// RowsOf writes the rows ids, one after the other, to dst (len(ids), Cols): an embedding look-up.
func (m *Matrix) RowsOf(ws *Workspace, ids []int32, dst []float32) {
	mark := ws.Mark()
	block := ws.F32(rowBlock)
	for i, id := range ids {
		m.row(int(id), dst[i*m.Cols:(i+1)*m.Cols], block)
	}
	ws.Release(mark)
}

// rowBlock is the scratch that row wants: the 16 rows of a panel for the 32 columns of a block.
const rowBlock = 32 * panelRows

func (m *Matrix) row(i int, dst, block []float32) {
	if i < 0 || i >= m.Rows || len(dst) != m.Cols {
		panic(fmt.Sprintf("tensor.Row: row %d into %d values of a %d×%d matrix", i, len(dst), m.Rows, m.Cols))
	}
	lane := i % panelRows
	for k := 0; k < m.Cols; k += 32 {
		n := min(32, m.Cols-k)
		src := m.expand(block[:n*panelRows], i/panelRows, k, k+n)
		for j := range n {
			dst[k+j] = src[j*panelRows+lane]
		}
	}
}

// expand returns columns [k0,k1) of a panel as f32 [k][16], in dst unless the panel is f32 already. For
// quantised types k0 is a multiple of 32 and k1 another or Cols.
func (m *Matrix) expand(dst []float32, panel, k0, k1 int) []float32 {
	if m.DType == F32 {
		base := panel * panelRows * m.Cols
		return m.f32[base+k0*panelRows : base+k1*panelRows]
	}
	block, bytes := m.DType.BlockSize(), m.DType.BlockBytes()
	base := panel * m.Cols / block
	src := m.data[panelRows*bytes*(base+k0/block) : panelRows*bytes*(base+k1/block)]
	dst = dst[:(k1-k0)*panelRows]
	switch m.DType {
	case Q4_1:
		kernel.ExpandQ41(dst, src)
	case Q4_0:
		kernel.ExpandQ40(dst, src)
	case Q8_0:
		kernel.ExpandQ80(dst, src)
	case F16:
		kernel.ExpandF16(dst, src)
	case BF16:
		kernel.ExpandBF16(dst, src)
	}
	return dst
}

// rowProduct reports whether mulRow can be used. F32 panels need no conversion, so a tile does as well.
func (m *Matrix) rowProduct() bool { return m.DType != F32 && m.Cols%32 == 0 }

// mulRow multiplies one row of activations with panels [first,last), without expanding them in memory.
func (m *Matrix) mulRow(y, x []float32, first, last int, add bool) {
	stride := m.Cols / m.DType.BlockSize() * m.DType.BlockBytes() * panelRows
	src := m.data[first*stride : last*stride]
	switch m.DType {
	case Q4_1:
		kernel.RowQ41(y, x, src, stride, last-first, add)
	case Q4_0:
		kernel.RowQ40(y, x, src, stride, last-first, add)
	case Q8_0:
		kernel.RowQ80(y, x, src, stride, last-first, add)
	case F16:
		kernel.RowF16(y, x, src, stride, last-first, add)
	case BF16:
		kernel.RowBF16(y, x, src, stride, last-first, add)
	}
}
