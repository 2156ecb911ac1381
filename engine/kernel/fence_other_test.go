//go:build !unix

package kernel

import "testing"

// fencedMemory returns n bytes; only guard words stand around operands here.
func fencedMemory(_ testing.TB, n int) []byte { return make([]byte, n) }
