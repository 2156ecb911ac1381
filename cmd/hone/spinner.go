package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// spinner shows one line with what is being done and the seconds it takes: drawn over and over on a terminal, a
// plain line for each stage elsewhere.
type spinner struct {
	w        io.Writer
	terminal bool
	done     chan struct{}
	stopped  sync.WaitGroup

	mu    sync.Mutex
	stage string
	since time.Time
}

// startSpinner starts drawing on w. The caller must stop it.
func startSpinner(w io.Writer) *spinner {
	s := &spinner{w: w, terminal: isTerminal(w), done: make(chan struct{})}
	if s.terminal {
		s.stopped.Go(s.draw)
	}
	return s
}

// say names what is being done from now on.
func (s *spinner) say(stage string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stage, s.since = stage, time.Now()
	if !s.terminal {
		fmt.Fprintln(s.w, stage)
	}
}

// draw redraws the line until the spinner is stopped.
func (s *spinner) draw() {
	tick := time.NewTicker(120 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-s.done:
			fmt.Fprint(s.w, "\r\033[K")
			return
		case <-tick.C:
			s.mu.Lock()
			if s.stage != "" {
				fmt.Fprintf(s.w, "\r\033[K%c %s, %.0f s", `|/-\`[i%4], s.stage, time.Since(s.since).Seconds())
			}
			s.mu.Unlock()
		}
	}
}

// stop ends the drawing and clears the line.
func (s *spinner) stop() {
	close(s.done)
	s.stopped.Wait()
}
