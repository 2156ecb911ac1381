//go:build !linux

package tensor

// preferHugePages does nothing: this system has no advice on the size of pages.
func preferHugePages([]byte) {}
