package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"hone/engine"
)

func TestGenerate(t *testing.T) {
	greek := "αβγ δ"
	tests := []struct {
		name       string
		says       string
		r          Request
		text       string
		finish     string
		completion int
	}{
		{"to the end of text", "hello", Request{}, "hello", FinishStop, 6},
		{"to the bound", "hello", Request{MaxTokens: 3}, "hel", FinishLength, 3},
		{"bound at the last token", "hello", Request{MaxTokens: 5}, "hello", FinishLength, 5},
		{"bound by the context", strings.Repeat("x", 200), Request{}, strings.Repeat("x", 59), FinishLength, 59},
		{"bound beyond the context", strings.Repeat("x", 200), Request{MaxTokens: 1 << 40}, strings.Repeat("x", 59), FinishLength, 59},
		{"past the end of text", "hi", Request{IgnoreEOS: true, MaxTokens: 10}, "hi", FinishLength, 10},
		{"stop string", "one. two. three.", Request{Stop: []string{". t"}}, "one", FinishStop, 6},
		{"stop string over token borders, of several", "abcabd!", Request{Stop: []string{"xyz", "abd"}}, "abc", FinishStop, 6},
		{"stop string that never completes", "aaab", Request{Stop: []string{"aaaa"}}, "aaab", FinishStop, 5},
		{"stop string at the very start", "stop", Request{Stop: []string{"s"}}, "", FinishStop, 1},
		{"stop string of whole characters", greek, Request{Stop: []string{"γ"}}, "αβ", FinishStop, 6},
		{"stop string sharing a first byte", "αβγ", Request{Stop: []string{"δ"}}, "αβγ", FinishStop, 7},
		{"held back text comes out at the bound", "abcd", Request{Stop: []string{"cdef"}, MaxTokens: 4}, "abcd", FinishLength, 4},
		{"cut character at the bound", greek, Request{MaxTokens: 3}, "α\ufffd", FinishLength, 3},
		{"empty text", "", Request{}, "", FinishStop, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, &fakeEngine{context: 64, script: says(tt.says)}, Options{})
			tt.r.Prompt = ids("hello")
			got, err := s.Generate(t.Context(), tt.r)
			if err != nil {
				t.Fatal(err)
			}
			if got.Text != tt.text || got.Finish != tt.finish || got.Usage != (Usage{5, tt.completion}) {
				t.Errorf("got %q, %s, %+v; want %q, %s, %d completion tokens", got.Text, got.Finish, got.Usage, tt.text, tt.finish, tt.completion)
			}
			var joined strings.Builder
			for _, token := range got.Tokens {
				joined.WriteString(token.Text)
			}
			if joined.String() != got.Text {
				t.Errorf("the tokens say %q, the text is %q", joined.String(), got.Text)
			}
		})
	}
}

func TestTokensCarryBytesAndCandidates(t *testing.T) {
	s := start(t, &fakeEngine{context: 64, script: says("aé€\xff!")}, Options{})
	got, err := s.Generate(t.Context(), Request{Prompt: ids("p"), Sampling: engine.Sampling{TopLogProbs: 2}})
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	for _, token := range got.Tokens {
		raw = append(raw, token.Bytes...)
		if token.LogProb != -0.5 || len(token.Top) != 2 || token.Top[0].ID != token.ID {
			t.Errorf("token %+v", token)
		}
	}
	if string(raw) != "aé€\xff!" || got.Text != "aé€\ufffd!" {
		t.Errorf("bytes %q, text %q", raw, got.Text)
	}
}

func TestSubmitRefuses(t *testing.T) {
	tests := []struct {
		name  string
		r     Request
		field string
	}{
		{"empty prompt", Request{}, "Prompt"},
		{"token outside the vocabulary", Request{Prompt: []int32{5, 258}}, "Prompt"},
		{"negative token", Request{Prompt: []int32{-1}}, "Prompt"},
		{"empty stop string", Request{Prompt: ids("a"), Stop: []string{"x", ""}}, "Stop"},
		{"negative bound", Request{Prompt: ids("a"), MaxTokens: -1}, "MaxTokens"},
		{"bias outside the vocabulary", Request{Prompt: ids("a"), Sampling: engine.Sampling{LogitBias: map[int32]float64{258: 1}}}, "LogitBias"},
	}
	s := start(t, &fakeEngine{context: 8, script: says("x")}, Options{})
	for _, tt := range tests {
		_, err := s.Submit(t.Context(), tt.r)
		var bad *RequestError
		if !errors.As(err, &bad) || bad.Field != tt.field {
			t.Errorf("%s: got %v, want a RequestError about %s", tt.name, err, tt.field)
		}
	}
	for _, n := range []int{8, 9, 1000} {
		_, err := s.Submit(t.Context(), Request{Prompt: make([]int32, n)})
		var long *PromptTooLongError
		if !errors.As(err, &long) || long.Prompt != n || long.Context != 8 {
			t.Errorf("prompt of %d: %v", n, err)
		}
	}
	if got, err := s.Generate(t.Context(), Request{Prompt: make([]int32, 7)}); err != nil || got.Text != "x" {
		t.Errorf("the longest prompt that fits: %q, %v", got.Text, err)
	}
}

// A request's text is the same alone and among others that come and go.
func TestCompanionsChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &fakeEngine{context: 256, script: hashed, prefill: func(p []int32) int { return len(p) % 3 }, onStep: func(int) { time.Sleep(time.Millisecond) }}
		s := start(t, e, Options{MaxStreams: 4})
		request := func(i int) Request {
			return Request{Prompt: ids(fmt.Sprintf("prompt %d", i)), MaxTokens: 5 + i%37, Stop: []string{"ab"}, Sampling: engine.Sampling{Seed: uint64(i)}}
		}
		want := make([]Result, 60)
		for i := range want {
			var err error
			if want[i], err = s.Generate(t.Context(), request(i)); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for i := range want {
			wg.Go(func() {
				time.Sleep(time.Duration(i%7) * 3 * time.Millisecond)
				got, err := s.Generate(t.Context(), request(i))
				if err != nil || got.Text != want[i].Text || got.Finish != want[i].Finish || got.Usage != want[i].Usage {
					t.Errorf("request %d among others: %q %s %v, alone %q %s", i, got.Text, got.Finish, err, want[i].Text, want[i].Finish)
				}
			})
		}
		wg.Wait()
		if e.widest != 4 {
			t.Errorf("the widest batch had %d streams, want 4", e.widest)
		}
	})
}

func TestCancelStopsWithinTwoTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("the client has gone")
		steps := 0
		e := &fakeEngine{context: 1 << 20, script: hashed}
		e.onStep = func(int) {
			if steps++; steps == 50 {
				cancel(gone)
			}
		}
		s := start(t, e, Options{})
		got, err := s.Generate(ctx, Request{Prompt: ids("p")})
		if !errors.Is(err, gone) {
			t.Errorf("error %v, want the cause of the cancellation", err)
		}
		if got.Usage.Completion < 49 || got.Usage.Completion > 51 {
			t.Errorf("%d tokens were generated, the client left at 49", got.Usage.Completion)
		}
		synctest.Wait()
		if st := s.Stats(); st != (Stats{}) {
			t.Errorf("stats %+v after the client has gone", st)
		}
	})
}

func TestWaitingLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		e := &fakeEngine{context: 64, script: says("ok"), onStep: func(int) { <-gate }}
		s := start(t, e, Options{MaxStreams: 1, MaxWaiting: 2})
		first, err := s.Submit(t.Context(), Request{Prompt: ids("1")})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the first is in the batch
		second, _ := s.Submit(t.Context(), Request{Prompt: ids("2")})
		ctx, cancel := context.WithCancel(t.Context())
		third, _ := s.Submit(ctx, Request{Prompt: ids("3")})
		if _, err := s.Submit(t.Context(), Request{Prompt: ids("4")}); !errors.Is(err, ErrBusy) {
			t.Errorf("with a full line: %v, want ErrBusy", err)
		}
		if st := s.Stats(); st != (Stats{Active: 1, Waiting: 2}) {
			t.Errorf("stats %+v", st)
		}
		cancel()
		close(gate)
		if _, err := Collect(third); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while waiting: %v", err)
		}
		for _, events := range []<-chan Event{first, second} {
			if got, err := Collect(events); err != nil || got.Text != "ok" {
				t.Errorf("got %q, %v", got.Text, err)
			}
		}
		synctest.Wait()
		if e.opened != 2 {
			t.Errorf("%d streams were opened, want 2", e.opened)
		}
	})
}

// A reader that never reads costs no one else a step, and still gets all of its text.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &fakeEngine{context: 512, script: says(strings.Repeat("slow", 50))}, Options{})
		slow, err := s.Submit(t.Context(), Request{Prompt: ids("p")})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Generate(t.Context(), Request{Prompt: ids("q")}); err != nil || len(got.Text) != 200 {
			t.Errorf("the quick reader got %d bytes, %v", len(got.Text), err)
		}
		synctest.Wait()
		e := <-slow
		if e.Text != strings.Repeat("slow", 50) || e.Finish != FinishStop || len(e.Tokens) != 200 || e.Usage.Completion != 201 {
			t.Errorf("the slow reader got %d bytes, %d tokens, %q, %+v", len(e.Text), len(e.Tokens), e.Finish, e.Usage)
		}
		if _, more := <-slow; more {
			t.Error("the channel is open after the last event")
		}
	})
}

func TestFailuresStayInTheirRequest(t *testing.T) {
	e := &fakeEngine{context: 64, script: func(p []int32, s engine.Sampling, n int) int32 {
		if p[0] == 'X' {
			panic("a bad stream")
		}
		return says("fine")(p, s, n)
	}}
	s := start(t, e, Options{})
	if _, err := s.Generate(t.Context(), Request{Prompt: ids("p"), Sampling: engine.Sampling{TopK: 666}}); !errors.Is(err, ErrEngine) {
		t.Errorf("a stream that does not open: %v", err)
	}
	if _, err := s.Generate(t.Context(), Request{Prompt: ids("X")}); !errors.Is(err, ErrEngine) || !strings.Contains(err.Error(), "a bad stream") {
		t.Errorf("a panic in the engine: %v", err)
	}
	if got, err := s.Generate(t.Context(), Request{Prompt: ids("p")}); err != nil || got.Text != "fine" {
		t.Errorf("the request after the panic: %q, %v", got.Text, err)
	}
	broken := start(t, &fakeEngine{context: 64, script: hashed, fail: errors.New("out of memory")}, Options{})
	if _, err := broken.Generate(t.Context(), Request{Prompt: ids("p")}); !errors.Is(err, ErrEngine) || !strings.Contains(err.Error(), "out of memory") {
		t.Errorf("a failing engine: %v", err)
	}
}

func TestShutdown(t *testing.T) {
	endless := func() (*fakeEngine, Request) {
		e := &fakeEngine{context: 1 << 30, script: hashed, onStep: func(int) { time.Sleep(time.Millisecond) }}
		return e, Request{Prompt: ids("p")}
	}
	t.Run("drains", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, r := endless()
			s := start(t, e, Options{MaxStreams: 1})
			synctest.Wait() // Run runs
			r.MaxTokens = 20
			var events []<-chan Event
			for range 3 {
				c, err := s.Submit(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				events = append(events, c)
			}
			if err := s.Shutdown(t.Context()); err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			for _, c := range events {
				if got, err := Collect(c); err != nil || len(got.Text) != 20 {
					t.Errorf("drained request: %q, %v", got.Text, err)
				}
			}
			if _, err := s.Submit(t.Context(), r); !errors.Is(err, ErrClosed) {
				t.Errorf("after shutdown: %v, want ErrClosed", err)
			}
		})
	})
	t.Run("gives up at the deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, r := endless()
			s := start(t, e, Options{MaxStreams: 1})
			synctest.Wait() // Run runs
			running, _ := s.Submit(t.Context(), r)
			waiting, _ := s.Submit(t.Context(), r)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 1100*time.Millisecond {
				t.Errorf("Shutdown: %v after %v", err, time.Since(began))
			}
			got, err := Collect(running)
			if !errors.Is(err, ErrClosed) || got.Usage.Completion < 900 {
				t.Errorf("running request: %v, %+v", err, got.Usage)
			}
			if _, err := Collect(waiting); !errors.Is(err, ErrClosed) {
				t.Errorf("waiting request: %v", err)
			}
		})
	})
	t.Run("run's context ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e, r := endless()
			s := NewOver(e, Model{}, Options{})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- s.Run(ctx) }()
			events, _ := s.Submit(t.Context(), r)
			time.Sleep(10 * time.Millisecond)
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
			if _, err := Collect(events); !errors.Is(err, ErrClosed) {
				t.Errorf("request: %v", err)
			}
		})
	})
	t.Run("never run", func(t *testing.T) {
		e, r := endless()
		s := NewOver(e, Model{}, Options{})
		events, _ := s.Submit(t.Context(), r)
		s.Close()
		s.Close()
		if _, err := Collect(events); !errors.Is(err, ErrClosed) {
			t.Errorf("request: %v", err)
		}
		if err := s.Run(t.Context()); err != nil {
			t.Errorf("Run after Close: %v", err)
		}
		if err := s.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown after Close: %v", err)
		}
	})
}

func TestScoreTakesItsTurn(t *testing.T) {
	e := &fakeEngine{context: 64, script: says("text")}
	s := start(t, e, Options{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got, err := s.Score(t.Context(), ids("abc"), nil, 1); err != nil || len(got.LogProbs) != 2 {
				t.Errorf("score: %+v, %v", got, err)
			}
		})
		wg.Go(func() {
			if got, err := s.Generate(t.Context(), Request{Prompt: ids("p")}); err != nil || got.Text != "text" {
				t.Errorf("generate: %q, %v", got.Text, err)
			}
		})
	}
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Score(ctx, ids("abc"), nil, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := s.Score(t.Context(), ids(strings.Repeat("a", 65)), nil, 0); err == nil {
		t.Error("scoring beyond the context succeeded")
	}
	s.Close()
	if _, err := s.Score(t.Context(), ids("abc"), nil, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Calls that came while nothing ran are all answered, though they wake the scheduler only once.
func TestScoresBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewOver(&fakeEngine{context: 64}, Model{}, Options{})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if _, err := s.Score(t.Context(), ids("abc"), nil, 0); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		go s.Run(t.Context())
		wg.Wait()
		s.Close()
	})
}

func TestModelWithoutTokenizer(t *testing.T) {
	s := NewOver(&fakeEngine{context: 64, script: says("xyz")}, Model{EOS: []int32{imEnd}}, Options{})
	go s.Run(t.Context())
	defer s.Close()
	got, err := s.Generate(t.Context(), Request{Prompt: []int32{1}})
	if err != nil || got.Text != "" || len(got.Tokens) != 3 || got.Tokens[0].ID != 'x' {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestChoiceSeed(t *testing.T) {
	seen := map[uint64]bool{}
	for choice := range 1000 {
		seen[ChoiceSeed(7, choice)] = true
	}
	if ChoiceSeed(7, 0) != 7 || len(seen) != 1000 {
		t.Errorf("choice 0 has seed %d; %d different seeds of 1000", ChoiceSeed(7, 0), len(seen))
	}
}
