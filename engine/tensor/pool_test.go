package tensor

import (
	"sync/atomic"
	"testing"
)

func TestPoolRunsEachTaskOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		p := NewPool(threads)
		if p.Threads() != threads {
			t.Fatalf("Threads() = %d, want %d", p.Threads(), threads)
		}
		for n := range 60 {
			ran := make([]atomic.Int32, n)
			busy := make([]atomic.Bool, threads)
			p.Run(n, func(task, worker int) {
				if busy[worker].Swap(true) {
					t.Errorf("worker %d runs two tasks at once", worker)
				}
				ran[task].Add(1)
				busy[worker].Store(false)
			})
			for i := range ran {
				if ran[i].Load() != 1 {
					t.Fatalf("%d threads: task %d of %d ran %d times", threads, i, n, ran[i].Load())
				}
			}
		}
		p.Close()
		p.Close()
	}
}

func TestPoolNestedAndConcurrentCalls(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	var sum atomic.Int64
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			for range 50 {
				p.Run(5, func(task, _ int) {
					p.Run(3, func(inner, _ int) { sum.Add(int64(task*3 + inner)) })
				})
			}
		}()
	}
	for range 4 {
		<-done
	}
	if want := int64(4 * 50 * 105); sum.Load() != want {
		t.Fatalf("sum %d, want %d", sum.Load(), want)
	}
}

func TestNilPool(t *testing.T) {
	var p *Pool
	n := 0
	p.Run(7, func(_, worker int) { n += 1 + worker })
	p.Close()
	if n != 7 || p.Threads() != 1 {
		t.Fatalf("ran %d tasks on %d threads", n, p.Threads())
	}
}

func TestWorkspace(t *testing.T) {
	var w Workspace
	a := w.F32(5)
	m := w.Mark()
	b := w.Zeros(minSlab * 2)
	c := w.I32(9)
	if len(a) != 5 || cap(a) != 5 || len(b) != minSlab*2 || len(c) != 9 {
		t.Fatalf("lengths %d/%d, %d, %d", len(a), cap(a), len(b), len(c))
	}
	a[4], b[0] = 1, 2
	w.Release(m)
	if got := w.F32(minSlab * 2); &got[0] != &b[0] {
		t.Error("memory is not reused after Release")
	}
	if a[4] != 1 {
		t.Error("a slice from before the mark was changed")
	}
	w.Release(m)
	held := w.Bytes()
	if n := testing.AllocsPerRun(10, func() {
		m := w.Mark()
		w.F32(100)
		w.Zeros(minSlab * 2)
		w.I32(50)
		w.Release(m)
	}); n != 0 || w.Bytes() != held {
		t.Errorf("%v allocations a round, %d bytes grew to %d", n, held, w.Bytes())
	}
	if z := w.Zeros(10); z[0] != 0 || z[9] != 0 {
		t.Error("Zeros is not zero")
	}
}

// TestPoolPanicReachesTheCaller panics on each worker and checks that the caller sees it and the pool works on.
func TestPoolPanicReachesTheCaller(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	for round := range 200 {
		bad := round % 50
		func() {
			defer func() {
				if v, ok := recover().(*TaskPanic); !ok || v.Value != bad || len(v.Stack) == 0 {
					t.Fatalf("round %d: recovered %v", round, v)
				}
			}()
			p.Run(50, func(task, _ int) {
				if task == bad {
					panic(bad)
				}
			})
			t.Fatal("Run returned")
		}()
		var sum atomic.Int64
		p.Run(100, func(task, _ int) { sum.Add(int64(task)) })
		if sum.Load() != 4950 {
			t.Fatalf("round %d: the next call summed to %d", round, sum.Load())
		}
	}
}

// BenchmarkPoolRun is what handing a call over to the workers and back takes.
func BenchmarkPoolRun(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	nothing := func(int, int) {}
	for b.Loop() {
		p.Run(2, nothing)
	}
}
