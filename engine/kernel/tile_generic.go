package kernel

func tileGeneric(c []float32, ldc int, a, b []float32, bStride, mr, panels, k int, accumulate bool) {
	for p := range panels {
		bp := b[p*bStride : p*bStride+k*PanelRows]
		for i := range mr {
			ci := c[i*ldc+p*PanelRows:][:PanelRows]
			var sum [PanelRows]float32
			if accumulate {
				copy(sum[:], ci)
			}
			for kk := range k {
				x := a[kk*mr+i]
				row := bp[kk*PanelRows:][:PanelRows]
				for j, w := range row {
					sum[j] += float32(x * w)
				}
			}
			copy(ci, sum[:])
		}
	}
}

func tileThenGeneric(c []float32, ldc, mr, panels int, accumulate bool, first, then Part) {
	tileGeneric(c, ldc, first.A, first.B, first.Stride, mr, panels, first.K, accumulate)
	tileGeneric(c, ldc, then.A, then.B, then.Stride, mr, panels, then.K, true)
}

func packGeneric(dst []float32, width int, src []float32, rowStride, rows, k int) {
	dst = dst[:k*width]
	for i := range width {
		if i >= rows {
			for at := i; at < len(dst); at += width {
				dst[at] = 0
			}
			continue
		}
		row := src[i*rowStride : i*rowStride+k]
		at := i
		for _, v := range row {
			dst[at] = v
			at += width
		}
	}
}

func columnsGeneric(dst []float32, width int, src []float32, kStride, rows, k int) {
	for kk := range k {
		d := dst[kk*width : kk*width+width]
		clear(d[copy(d, src[kk*kStride:kk*kStride+rows]):])
	}
}

func transposeGeneric(dst, src []float32) {
	for i := range 16 {
		for j := range 16 {
			dst[j*16+i] = src[i*16+j]
		}
	}
}

func turnGeneric(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	for r := range rows {
		for c, v := range src[r*srcStride:][:cols] {
			dst[c*dstStride+r] = v
		}
	}
}
