package weights

import "encoding/binary"

// cursor walks little-endian bytes. Its callers check left before they take; beyond the end it panics like any
// slice, never reads elsewhere.
type cursor struct {
	data []byte
	pos  int64
}

func (c *cursor) left() int64 { return int64(len(c.data)) - c.pos }

func (c *cursor) take(n int64) []byte {
	b := c.data[c.pos : c.pos+n : c.pos+n]
	c.pos += n
	return b
}

func (c *cursor) u32() uint32 { return binary.LittleEndian.Uint32(c.take(4)) }
func (c *cursor) u64() uint64 { return binary.LittleEndian.Uint64(c.take(8)) }
