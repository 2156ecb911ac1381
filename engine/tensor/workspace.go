package tensor

import "unsafe"

// Workspace is an arena for activations and scratch. Requests are cut from slabs that are kept and reused, so
// a loop that marks, allocates the same shapes and releases allocates nothing after its first round. It is
// for one goroutine at a time; products that take one use it for their packed operands and give that back.
type Workspace struct {
	floats slabs[float32]
	ints   slabs[int32]
	prod   product
	fixed  fixedProduct

	adapters adapterPass
}

// Mark is a point in the life of a Workspace to which Release returns.
type Mark struct{ floats, ints position }

type position struct{ slab, used int }

type slabs[T float32 | int32] struct {
	slab [][]T
	at   position
}

const (
	alignment = 16      // elements: slices start on a cache line of their own
	minSlab   = 1 << 18 // elements
)

// F32 returns n floats with whatever values an earlier use left in them. They are valid until the Release of
// a mark taken before. The slice starts on a 64-byte boundary and cannot be appended to in place.
func (w *Workspace) F32(n int) []float32 { return w.floats.take(n) }

// Zeros is F32 with all elements zero.
func (w *Workspace) Zeros(n int) []float32 {
	s := w.floats.take(n)
	clear(s)
	return s
}

// I32 is F32 for int32 values.
func (w *Workspace) I32(n int) []int32 { return w.ints.take(n) }

// Mark records what is in use now.
func (w *Workspace) Mark() Mark { return Mark{w.floats.at, w.ints.at} }

// Release gives back everything requested since m was taken. The memory stays with the workspace.
func (w *Workspace) Release(m Mark) { w.floats.at, w.ints.at = m.floats, m.ints }

// Bytes is the memory that the workspace holds, in use or not.
func (w *Workspace) Bytes() int {
	n := 0
	for _, s := range w.floats.slab {
		n += 4 * len(s)
	}
	for _, s := range w.ints.slab {
		n += 4 * len(s)
	}
	return n
}

func (s *slabs[T]) take(n int) []T {
	need := (n + alignment - 1) &^ (alignment - 1)
	for ; s.at.slab < len(s.slab); s.at = (position{slab: s.at.slab + 1}) {
		if current := s.slab[s.at.slab]; len(current)-s.at.used >= need {
			from := s.at.used
			s.at.used += need
			return current[from : from+n : from+n]
		}
	}
	s.slab = append(s.slab, aligned[T](max(need, s.grow())))
	s.at.used = need
	return s.slab[s.at.slab][:n:n]
}

// grow is the size of the next slab: half of what there is, so that the number of slabs stays small.
func (s *slabs[T]) grow() int {
	total := 0
	for _, x := range s.slab {
		total += len(x)
	}
	return max(minSlab, total/2)
}

// aligned allocates n elements from a 64-byte boundary on.
func aligned[T float32 | int32](n int) []T {
	s := make([]T, n+alignment)
	skip := 0
	if off := int(uintptr(unsafe.Pointer(&s[0])) % 64); off != 0 {
		skip = (64 - off) / 4
	}
	return s[skip : skip+n : skip+n]
}
