package engine

import (
	"context"
	"slices"
	"testing"
	"time"

	"hone/engine/tensor"
)

// BenchmarkAdapterShare alternates steps of eight streams on the base with steps of eight streams on rank-16
// adapters of their own, so that both see the same machine, and reports the median of each and the part of the base's
// rate that is left.
func BenchmarkAdapterShare(b *testing.B) {
	base := openBase(b, testModel(b), LoadOptions{Precision: tensor.Fixed})
	var sets [2][]*Stream
	for i := range 8 {
		c := loraConfig(0)
		c.R, c.Alpha = 16, 32
		a, err := base.NewAdapter(c, uint64(i))
		if err != nil {
			b.Fatal(err)
		}
		if err := a.Freeze(); err != nil {
			b.Fatal(err)
		}
		for j, a := range []*Adapter{nil, a} {
			s, err := base.NewStream([]int32{1, 2, int32(3 + i)}, a, Sampling{})
			if err != nil {
				b.Fatal(err)
			}
			sets[j] = append(sets[j], s)
		}
	}
	out := make([]Token, 8)
	var times [2][]time.Duration
	for b.Loop() {
		for j, set := range sets {
			for range 5 {
				start := time.Now()
				if err := base.Decode(context.Background(), set, out); err != nil {
					b.Fatal(err)
				}
				times[j] = append(times[j], time.Since(start))
			}
		}
	}
	var median [2]float64
	for j := range times {
		slices.Sort(times[j])
		median[j] = times[j][len(times[j])/2].Seconds()
	}
	b.ReportMetric(8/median[0], "base-tokens/s")
	b.ReportMetric(8/median[1], "adapter-tokens/s")
	b.ReportMetric(100*median[0]/median[1], "%of-base")
	b.ReportMetric(1000*(median[1]-median[0]), "ms-more")
}
