package tensor

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"
)

// Matrices that share a room have the values of matrices by themselves, and start on cache lines.
func TestMatricesInARoom(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 1))
	for _, d := range []DType{F32, F16, BF16, Q8_0, Q4_0, Q4_1} {
		const rows, cols = 21, 96
		data := make([]byte, rows*cols/d.BlockSize()*d.BlockBytes())
		for i := range data {
			data[i] = byte(r.Uint32()) & 0x3f
		}
		size := RoomFor(d, rows, cols, data)
		room := Room(3 * size)
		want, err := NewMatrix(d, rows, cols, data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := NewMatrixIn(room[size:2*size], d, rows, cols, data)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.data, want.data) || !slices.Equal(got.f32, want.f32) || got.Bytes() > size {
			t.Errorf("%s: a matrix in a room of %d bytes differs", d, size)
		}
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(room[size:]))); at%64 != 0 {
			t.Errorf("%s: a matrix starts at %x", d, at)
		}
		if slices.ContainsFunc(room[:size], nonzero) || slices.ContainsFunc(room[2*size:], nonzero) {
			t.Errorf("%s: wrote outside its part of the room", d)
		}
	}
	if Room(0) != nil || RoomFor(Q4_1, 3, 33, nil) != 0 || RoomFor(Q4_1, 3, 32, make([]byte, 59)) != 0 {
		t.Error("room for what is no matrix")
	}
}

func nonzero(b byte) bool { return b != 0 }

// Rooms go with their matrices: a hundred models loaded one after the other take the memory of a few.
func TestRoomsAreFreed(t *testing.T) {
	const size = 9 << 20
	data := make([]byte, size/4*4)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 100 {
		room := Room(size)
		if _, err := NewMatrixIn(room, F32, size/4/1024, 1024, data); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 2*size {
		t.Errorf("100 rooms of %d bytes left %d more in use", size, grown)
	}
	if grown := int64(after.Sys) - int64(before.Sys); grown > 20*size {
		t.Errorf("100 rooms of %d bytes took %d from the system", size, grown)
	}
}
