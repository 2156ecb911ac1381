package tensor

import "encoding/binary"

// How the rows of a file become panels. rows holds up to 16 rows one after the other, as the file stores them; a
// panel's lanes without a row stay as they are, zero. See kernel's expansions for the layout.

// repackQuantised moves scales (16 bits each) and words (32 bits each) of every block to its lane.
func repackQuantised(panel, rows []byte, rowBytes, scales, words int) {
	size := 2*scales + 4*words
	for lane := 0; len(rows) > 0; lane, rows = lane+1, rows[rowBytes:] {
		row, to := rows[:rowBytes], panel
		for len(row) >= size && len(to) >= size*panelRows {
			block, at := row[:size], to[2*lane:size*panelRows]
			for range scales {
				binary.LittleEndian.PutUint16(at, binary.LittleEndian.Uint16(block))
				block, at = block[2:], at[2*panelRows:]
			}
			at = at[2*lane:]
			for len(block) >= 8 { // pairs of words: their number is even
				binary.LittleEndian.PutUint32(at, binary.LittleEndian.Uint32(block))
				binary.LittleEndian.PutUint32(at[4*panelRows:], binary.LittleEndian.Uint32(block[4:]))
				if block = block[8:]; len(block) > 0 {
					at = at[8*panelRows:]
				}
			}
			row, to = row[size:], to[size*panelRows:]
		}
	}
}

// repackHalves interleaves values of 16 bits: four rows by four columns at a time, then what is left singly.
func repackHalves(panel, rows []byte, rowBytes int) {
	lanes, k4 := len(rows)/rowBytes, rowBytes/8*8
	lane := 0
	for ; lane+4 <= lanes; lane += 4 {
		a, b, c, d := rows[:rowBytes], rows[rowBytes:2*rowBytes], rows[2*rowBytes:3*rowBytes], rows[3*rowBytes:4*rowBytes]
		rows = rows[4*rowBytes:]
		to := panel[2*lane:]
		for k := 0; k < k4; k += 8 {
			w, x := binary.LittleEndian.Uint64(a[k:]), binary.LittleEndian.Uint64(b[k:])
			y, z := binary.LittleEndian.Uint64(c[k:]), binary.LittleEndian.Uint64(d[k:])
			at := to[k*panelRows:]
			at = at[:3*2*panelRows+8]
			binary.LittleEndian.PutUint64(at, w&0xffff|x&0xffff<<16|y&0xffff<<32|z<<48)
			binary.LittleEndian.PutUint64(at[2*panelRows:], w>>16&0xffff|x&0xffff0000|y>>16&0xffff<<32|z>>16<<48)
			binary.LittleEndian.PutUint64(at[4*panelRows:], w>>32&0xffff|x>>32&0xffff<<16|y&(0xffff<<32)|z>>32<<48)
			binary.LittleEndian.PutUint64(at[6*panelRows:], w>>48|x>>48<<16|y>>48<<32|z>>48<<48)
		}
		for r, row := range [][]byte{a, b, c, d} {
			repackHalfRow(panel, row, lane+r, k4)
		}
	}
	for ; lane < lanes; lane, rows = lane+1, rows[rowBytes:] {
		repackHalfRow(panel, rows[:rowBytes], lane, 0)
	}
}

// repackHalfRow moves one row's values from byte k on.
func repackHalfRow(panel, row []byte, lane, k int) {
	for ; k+2 <= len(row); k += 2 {
		binary.LittleEndian.PutUint16(panel[k*panelRows+2*lane:], binary.LittleEndian.Uint16(row[k:]))
	}
}
