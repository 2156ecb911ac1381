package tensor

import (
	"syscall"
	"unsafe"
)

// hugePage is the size of the pages that hugePages asks for.
const hugePage = 2 << 20

// madvCollapse is MADV_COLLAPSE of Linux 6.1 and later.
const madvCollapse = 25

// hugePages asks for large pages for the memory of s: its weights are read once in each step, so that with small ones
// every page costs a walk through the tables. now says that the memory is in use already. It is advice: where the
// kernel does not follow it, nothing else changes.
func hugePages(s []float32, now bool) {
	if len(s) == 0 {
		return
	}
	skip := int(-uintptr(unsafe.Pointer(&s[0]))%hugePage) / 4
	n := (len(s) - skip) / (hugePage / 4) * (hugePage / 4)
	if n <= 0 {
		return
	}
	advice := syscall.MADV_HUGEPAGE
	if now {
		advice = madvCollapse
	}
	_ = syscall.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&s[skip])), 4*n), advice)
}
