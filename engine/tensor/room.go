package tensor

import "unsafe"

// Memory for the weights of a model. A decoding step reads them from end to end, so they lie in one piece, on huge
// pages where the system gives them: with pages of 4 KiB the translation of addresses costs a stream of them
// several percent. The piece is of Go's heap, and goes when the last of its matrices does.

// roomAlign is the alignment of matrices in a room: a cache line.
const roomAlign = 64

// Room returns memory for n bytes of matrices (see NewMatrixIn), zeroed, from a 64-byte boundary on. Untouched parts
// of it cost nothing.
func Room(n int) []byte {
	if n <= 0 {
		return nil
	}
	room := make([]byte, n+roomAlign)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(room)))) & (roomAlign - 1)
	room = room[skip : skip+n : skip+n]
	hugePages(floats(room, n/4), false)
	return room
}

// RoomFor is the bytes of a room that NewMatrixIn takes for a matrix; 0 for one that it refuses.
func RoomFor(d DType, rows, cols int, data []byte) int {
	if checkMatrix(d, rows, cols, data) != nil {
		return 0
	}
	n := (rows + panelRows - 1) / panelRows * panelRows * (cols / d.BlockSize() * d.BlockBytes())
	return (n + roomAlign - 1) &^ (roomAlign - 1)
}

// RoomF32 is a room of n floats.
func RoomF32(n int) []float32 { return floats(Room(4*n), n) }

// floats are the first n floats of a room.
func floats(room []byte, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(room))), n)
}
