//go:build !purego

package kernel

type rankAsm func(u, x, a *float32, stride, lines int)

var rankDotsSizes = [RankRows / RankStep]rankAsm{rankDotsAVX512_4, rankDotsAVX512_8, rankDotsAVX512_12, rankDotsAVX512_16}

func rankDotsAVX512(u, x, a []float32, rows, stride int) {
	rankDotsSizes[rows/RankStep-1](&u[0], &x[0], &a[0], stride*4, len(x)/linePairs)
}

func rankDotsAVX2(u, x, a []float32, rows, stride int) {
	for j := 0; j < rows; j += RankStep {
		rankDotsAVX2_4(&u[j], &x[0], &a[j*linePairs], stride*4, len(x)/linePairs)
	}
}

func prefetch(a []float32) { prefetchAMD64(&a[0], (len(a)+linePairs-1)/linePairs) }
