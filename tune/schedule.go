package tune

import "math"

// LearningRateAt returns the learning rate of step s, counted from 0, of n. In the first W = warmup steps it is
// lr·(s+1)/W. After them linear is lr·(n−s)/(n−W), so that the first step after the warm-up has all of lr and the
// step after the last would have none; cosine is lr·(1+cos(π·(s−W)/(n−W)))/2 over the same steps; constant is lr.
func LearningRateAt(schedule string, lr float64, s, n, warmup int) float64 {
	if s < warmup {
		return lr * float64(s+1) / float64(warmup)
	}
	span := float64(n - warmup)
	switch {
	case schedule == "constant" || span <= 0:
		return lr
	case schedule == "cosine":
		return lr * (1 + math.Cos(math.Pi*float64(s-warmup)/span)) / 2
	}
	return lr * float64(n-s) / span
}
