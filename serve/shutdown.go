package serve

import "context"

// endAll ends whatever is left when Run returns.
func (s *Scheduler) endAll() {
	s.keep(func(j *job) bool { j.end("", ErrClosed); return false })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endWaiting()
}

// endWaiting ends the waiting line for good; the caller holds mu.
func (s *Scheduler) endWaiting() {
	s.closing = true
	s.running = 0
	for _, j := range s.waiting {
		j.end("", ErrClosed)
	}
	s.waiting = nil
}

// Shutdown takes no new requests, waits until the running and the waiting ones have finished, and when ctx is
// done first ends those that are left and returns ctx's error.
func (s *Scheduler) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	running := s.ran
	s.signal()
	s.mu.Unlock()
	if running {
		select {
		case <-s.done:
			return nil
		case <-ctx.Done():
		}
	}
	s.Close()
	return ctx.Err()
}

// Close ends every request with ErrClosed at the next step and waits for Run to return.
func (s *Scheduler) Close() {
	s.mu.Lock()
	s.closing = true
	abort := s.abort
	if !s.ran { // and it never will
		s.ran, s.abort = true, func() {}
		abort = s.abort
		s.endWaiting()
		close(s.done)
	}
	s.mu.Unlock()
	abort()
	<-s.done
}
