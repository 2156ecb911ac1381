package tensor

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the usual size of one. Advice for a part of another size is taken for the whole ones in it.
const hugePage = 2 << 20

// preferHugePages asks for huge pages for those that room fills by itself, so that no memory around it grows.
// Without them all is slower, not wrong.
func preferHugePages(room []byte) {
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(room)))) & (hugePage - 1)
	if whole := (len(room) - skip) / hugePage * hugePage; whole > 0 {
		_ = unix.Madvise(room[skip:skip+whole], unix.MADV_HUGEPAGE)
	}
}
