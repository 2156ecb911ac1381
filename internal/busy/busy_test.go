package busy

import (
	"runtime"
	"testing"
	"time"
)

// TestSeconds sees the time that a loop takes.
func TestSeconds(t *testing.T) {
	before, ok := Seconds()
	if !ok {
		t.Skipf("%s does not say", runtime.GOOS)
	}
	sum := 0
	for start := time.Now(); time.Since(start) < 20*time.Millisecond; {
		sum++
	}
	after, _ := Seconds()
	if used := after - before; used <= 0 || used > 10 {
		t.Errorf("20 ms of counting to %d took %v s of processor time", sum, used)
	}
}

func TestShare(t *testing.T) {
	if s := Share(3, 2, 2); s != 0.75 {
		t.Errorf("3 s of two threads in 2 s: %v", s)
	}
	if s := Share(1, 0, 2); s != 0 {
		t.Errorf("in no time: %v", s)
	}
}
