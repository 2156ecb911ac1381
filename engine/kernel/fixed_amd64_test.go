//go:build !purego

package kernel

import "testing"

// A CPU with AVX-512 but without VPDPBUSD computes fixed-point products as AVX2 does.
func TestFixedWithoutVNNI(t *testing.T) {
	was := hasVNNI
	defer func() { hasVNNI = was }()
	hasVNNI = false
	TestFixedEqualsGeneric(t)
}
