package tensor

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"hone/engine/kernel"
)

// Pool runs the tasks of one call at a time on a fixed set of goroutines and the caller's own. Tasks are
// claimed from a counter, so which worker runs a task varies; a task must therefore compute the same whoever
// runs it, and then results depend neither on threads nor on load.
type Pool struct {
	threads int
	callers sync.Mutex // held by the call that has the workers

	// The open call. f and n are written before open is set and read after it is seen.
	f      func(task, worker int)
	n      int64
	next   atomic.Int64
	open   atomic.Bool
	active atomic.Int64 // workers that may be looking at the open call

	panicked atomic.Pointer[TaskPanic] // the first panic of a task

	waiting atomic.Bool // the caller is parked, or about to be, until active is 0
	idle    chan struct{}

	calls   atomic.Uint64 // counts calls; a worker waits for it to change
	closed  atomic.Bool
	workers []*poolWorker
	done    sync.WaitGroup
}

// TaskPanic is what Run panics with when a task has panicked, on whichever goroutine.
type TaskPanic struct {
	Value any
	Stack []byte // of the goroutine that ran the task
}

func (p *TaskPanic) Error() string {
	return fmt.Sprintf("panic in a pool's task: %v\n%s", p.Value, p.Stack)
}

type poolWorker struct {
	parked atomic.Bool
	wake   chan struct{}
}

// spins is how often a worker looks for a call before it parks, about 50 µs: longer than the gap between two
// products of a decoding step, since waking a parked goroutine costs more than most of them.
const spins = 400

// NewPool starts a pool of threads−1 goroutines; the caller of Run is the other one. threads ≤ 0 means
// GOMAXPROCS. Close releases the goroutines.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, idle: make(chan struct{}, 1)}
	for i := 1; i < threads; i++ {
		w := &poolWorker{wake: make(chan struct{}, 1)}
		p.workers = append(p.workers, w)
		p.done.Add(1)
		go p.serve(w, i)
	}
	return p
}

// Threads is the number of tasks that run at once, and one more than the largest worker number that tasks
// see. It is 1 for a nil pool.
func (p *Pool) Threads() int {
	if p == nil {
		return 1
	}
	return p.threads
}

// Run calls f(task, worker) once for each task 0…n−1 and returns when all are done. worker < Threads() is
// never used by two tasks of one call at the same time, so it may index scratch memory. If the pool is busy
// with another call (a nested one, say), or nil, all tasks run on the caller as worker 0.
func (p *Pool) Run(n int, f func(task, worker int)) {
	if p == nil || p.threads == 1 || n <= 1 || !p.callers.TryLock() {
		for i := range n {
			f(i, 0)
		}
		return
	}
	defer p.callers.Unlock()
	p.f, p.n = f, int64(n)
	p.next.Store(0)
	p.open.Store(true)
	p.calls.Add(1)
	for _, w := range p.workers {
		if w.parked.Load() && w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	p.guard(0)
	// A worker that wakes late finds the call closed and touches nothing of it, so a core that another
	// process holds delays nobody.
	p.open.Store(false)
	p.finish()
	p.f = nil
	if v := p.panicked.Swap(nil); v != nil {
		panic(v)
	}
}

// guard works, and keeps a panic for the caller, so that whoever called Run can recover from it. The tasks that
// nobody has claimed are then dropped.
func (p *Pool) guard(worker int) {
	defer func() {
		if v := recover(); v != nil {
			p.panicked.CompareAndSwap(nil, &TaskPanic{v, debug.Stack()})
			p.next.Store(p.n)
		}
	}()
	p.work(worker)
}

// finish waits until no worker is inside the closed call. If one has lost its core in the middle of a task,
// parking frees the caller's for it.
func (p *Pool) finish() {
	for range spins {
		if p.active.Load() == 0 {
			return
		}
		kernel.Pause(4)
	}
	p.waiting.Store(true)
	if p.active.Load() == 0 && p.waiting.CompareAndSwap(true, false) {
		return
	}
	<-p.idle
}

// work claims tasks until none is left: many at first, single ones towards the end, so that threads finish
// together even when one of them is slowed down.
func (p *Pool) work(worker int) {
	for {
		at := p.next.Load()
		left := p.n - at
		if left <= 0 {
			return
		}
		take := max(1, left/int64(4*p.threads))
		if !p.next.CompareAndSwap(at, at+take) {
			continue
		}
		for i := at; i < at+take; i++ {
			p.f(int(i), worker)
		}
	}
}

// serve is the life of one worker: spin for a call, then park until there is one.
func (p *Pool) serve(w *poolWorker, worker int) {
	defer p.done.Done()
	seen := uint64(0)
	for {
		p.await(w, seen)
		if p.closed.Load() {
			return
		}
		seen = p.calls.Load()
		p.active.Add(1)
		if p.open.Load() {
			p.guard(worker)
		}
		if p.active.Add(-1) == 0 && p.waiting.Load() && p.waiting.CompareAndSwap(true, false) {
			p.idle <- struct{}{}
		}
	}
}

// await returns when the number of calls differs from seen.
func (p *Pool) await(w *poolWorker, seen uint64) {
	for range spins {
		if p.calls.Load() != seen {
			return
		}
		kernel.Pause(4)
	}
	w.parked.Store(true)
	if p.calls.Load() != seen && w.parked.CompareAndSwap(true, false) {
		return // a call came in between and has not seen this worker parked
	}
	<-w.wake
}

// Close ends the goroutines and waits for them. The pool must not be in use; closing a nil pool is fine.
func (p *Pool) Close() {
	if p == nil || p.closed.Swap(true) {
		return
	}
	p.calls.Add(1)
	for _, w := range p.workers {
		if w.parked.CompareAndSwap(true, false) {
			w.wake <- struct{}{}
		}
	}
	p.done.Wait()
	p.threads = 1
}
