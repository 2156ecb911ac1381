//go:build !purego

package kernel

func softmaxBlockAVX2(s []float32, masks []uint64, m, top, sums []float32) {
	softmaxRowsAVX2(&s[0], &masks[0], &m[0], &top[0], &sums[0], len(masks))
}

func softmaxBlockAVX512(s []float32, masks []uint64, m, top, sums []float32) {
	softmaxRowsAVX512(&s[0], &masks[0], &m[0], &top[0], &sums[0], len(masks))
}

func softmaxBackAVX2(p, d []float32, masks []uint64, lse, delta []float32) {
	softmaxBackRowsAVX2(&p[0], &d[0], &masks[0], &lse[0], &delta[0], len(masks))
}

func softmaxBackAVX512(p, d []float32, masks []uint64, lse, delta []float32) {
	softmaxBackRowsAVX512(&p[0], &d[0], &masks[0], &lse[0], &delta[0], len(masks))
}
