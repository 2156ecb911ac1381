package main

import (
	"encoding/hex"
	"testing"
)

// VPDPWSSD differs from VDPBF16PS in the prefix alone, and Go's assembler has it: these are its bytes for
// VPDPWSSD rm, vvvv, reg. They leave no bit of a register's number untried.
func TestEncode(t *testing.T) {
	for _, c := range []struct {
		rm, vvvv, reg int
		want          string
	}{
		{0, 3, 8, "6272654852c0"}, {1, 6, 31, "62624d4852f9"}, {17, 2, 9, "62326d4852c9"},
		{28, 27, 22, "6282254052f4"}, {15, 16, 0, "62d27d4052c7"}, {8, 9, 10, "6252354852d0"},
	} {
		const prefix66 = 1
		got := encode(prefix66, opDot, c.reg, c.vvvv, c.rm)
		if hex.EncodeToString(got[:]) != c.want {
			t.Errorf("VPDPWSSD Z%d, Z%d, Z%d is %x, want %s", c.rm, c.vvvv, c.reg, got, c.want)
		}
	}
}
