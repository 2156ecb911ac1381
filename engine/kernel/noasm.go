//go:build !amd64 || purego

package kernel

// supported lists the implementations of this build, slowest first.
func supported() []*implementation { return []*implementation{&generic} }

func prefetch([]float32) {}

// Pause waits a few nanoseconds, n times.
func Pause(n int) {
	for range n {
		pauseStep()
	}
}

//go:noinline
func pauseStep() {}
