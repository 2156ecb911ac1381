//go:build !purego

package kernel

// A row of a multiple of four registers goes through the assembly; others are left to dot.
func dotRowsAVX2(s, q, k []float32, stride int) {
	if len(q) == 0 || len(q)%32 != 0 {
		for j := range s {
			s[j] = dotAVX2(q, k[j*stride:][:len(q)])
		}
		return
	}
	dotCacheAVX2(&s[0], &q[0], len(q)*4, &k[0], stride*4, len(s))
}

func dotRowsAVX512(s, q, k []float32, stride int) {
	if len(q) == 0 || len(q)%64 != 0 {
		for j := range s {
			s[j] = dotAVX512(q, k[j*stride:][:len(q)])
		}
		return
	}
	dotCacheAVX512(&s[0], &q[0], len(q)*4, &k[0], stride*4, len(s))
}

// Columns go through the assembly by four registers, then by one; axpy does those that fill none.
func addRowsAVX2(y, p, v []float32, stride int) {
	at := 0
	for ; at+32 <= len(y); at += 32 {
		addCacheAVX2_4(&y[at], &p[0], &v[at], stride*4, len(p))
	}
	for ; at+8 <= len(y); at += 8 {
		addCacheAVX2_1(&y[at], &p[0], &v[at], stride*4, len(p))
	}
	for j := 0; j < len(p) && at < len(y); j++ {
		axpyAVX2(y[at:], p[j], v[j*stride+at:][:len(y)-at])
	}
}

func addRowsAVX512(y, p, v []float32, stride int) {
	at := 0
	for ; at+64 <= len(y); at += 64 {
		addCacheAVX512_4(&y[at], &p[0], &v[at], stride*4, len(p))
	}
	for ; at+16 <= len(y); at += 16 {
		addCacheAVX512_1(&y[at], &p[0], &v[at], stride*4, len(p))
	}
	for j := 0; j < len(p) && at < len(y); j++ {
		axpyAVX512(y[at:], p[j], v[j*stride+at:][:len(y)-at])
	}
}
