package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"hone/engine"
	"hone/serve"
)

// open starts a streamed chat and returns its response without reading the body.
func (f *fixture) open(t *testing.T, ctx context.Context, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "POST", f.URL+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := f.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// eventually waits for something that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s: not within 5 s", what)
}

func endless(string, engine.Sampling) string { return strings.Repeat("x", 1<<20) }

// A client that goes away costs two more tokens at the most, and its usage is still in the log.
func TestDisconnectStopsGeneration(t *testing.T) {
	for _, stream := range []string{"true", "false"} {
		t.Run("stream "+stream, func(t *testing.T) {
			e := &fakeEngine{say: endless, gate: make(chan struct{}), context: 1 << 20}
			f := newFixture(t, e, Options{}, serve.Options{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				r, _ := http.NewRequestWithContext(ctx, "POST", f.URL+"/v1/chat/completions", strings.NewReader(chatBody(`"stream":`+stream)))
				r.Header.Set("Authorization", "Bearer "+key)
				if resp, err := f.Client().Do(r); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}()
			for range 5 {
				e.gate <- struct{}{}
			}
			cancel()
			<-done
			before := e.steps.Load()
			eventually(t, "the stream ends", func() bool {
				select {
				case e.gate <- struct{}{}:
				default:
				}
				return e.open.Load() == 0
			})
			// It learns of the disconnect from the network, which takes a moment in which steps may still be given.
			if n := e.steps.Load() - before; n > 20 {
				t.Errorf("%d steps after the client had gone", n)
			}
			eventually(t, "the log has the usage", func() bool {
				return strings.Contains(f.log.String(), "client_gone=true") && !strings.Contains(f.log.String(), "completion_tokens=0")
			})
		})
	}
}

// An engine failure in the middle of a stream is an error event, and no normal end follows it.
func TestErrorInsideStream(t *testing.T) {
	e := &fakeEngine{say: endless, gate: make(chan struct{}, 3), breakAt: 7, context: 1 << 20}
	f := newFixture(t, e, Options{}, serve.Options{})
	e.gate <- struct{}{}
	resp := f.open(t, t.Context(), chatBody(`"stream":true,"stream_options":{"include_usage":true}`)) // begins with the first token
	close(e.gate)
	data, _ := io.ReadAll(resp.Body)
	body := string(data)
	payloads := events(t, body)
	last := payloads[len(payloads)-1]
	code, _ := checkError(t, last)
	if resp.StatusCode != 200 || code != "internal_error" || strings.Contains(body, "[DONE]") || strings.Contains(body, `"finish_reason":"`) || strings.Contains(body, "broke") {
		t.Errorf("status %d, body %s", resp.StatusCode, body)
	}
	if !strings.Contains(f.log.String(), "the engine broke") {
		t.Error("the failure is not in the log")
	}
}

// Where nothing has been sent yet, a failure is an ordinary error, and the next request is served.
func TestErrorBeforeAnswer(t *testing.T) {
	for _, stream := range []string{"false", "true"} {
		t.Run("stream "+stream, func(t *testing.T) {
			f := newFixture(t, &fakeEngine{say: endless, breakAt: 1, context: 1 << 20}, Options{}, serve.Options{})
			resp, body := f.call(t, "POST", "/v1/chat/completions", chatBody(`"stream":`+stream))
			if code, _ := checkError(t, body); resp.StatusCode != 500 || code != "internal_error" || strings.Contains(body, "broke") {
				t.Errorf("status %d, body %s", resp.StatusCode, body)
			}
			if resp, body = f.call(t, "POST", "/v1/chat/completions", chatBody(`"max_tokens":2,"stream":`+stream)); resp.StatusCode != 200 {
				t.Errorf("the request after the failure: status %d, body %s", resp.StatusCode, body)
			}
		})
	}
}

func TestBusy(t *testing.T) {
	e := &fakeEngine{gate: make(chan struct{})}
	f := newFixture(t, e, Options{}, serve.Options{MaxStreams: 1, MaxWaiting: 1})
	var bodies []<-chan string
	for i := range 2 {
		done := make(chan string, 1)
		bodies = append(bodies, done)
		go func() {
			_, body := f.call(t, "POST", "/v1/chat/completions", chatBody(""))
			done <- body
		}()
		eventually(t, "the request arrives", func() bool {
			st := f.scheduler.Stats()
			return st.Waiting+int(e.open.Load()) >= i+1 && e.open.Load() == 1
		})
	}
	resp, body := f.call(t, "POST", "/v1/chat/completions", chatBody(""))
	if code, _ := checkError(t, body); resp.StatusCode != 429 || code != "rate_limit_exceeded" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, %v: %s", resp.StatusCode, resp.Header, body)
	}
	resp, _ = f.call(t, "POST", "/v1/chat/completions", chatBody(`"n":3`))
	if resp.StatusCode != 429 {
		t.Errorf("more choices than places: %d", resp.StatusCode)
	}
	close(e.gate)
	for _, b := range bodies {
		if body := <-b; !strings.Contains(body, hello) {
			t.Errorf("a request that had its place: %s", body)
		}
	}
}

// Requests that run are finished, new ones are refused, and at the deadline what is left gets an error.
func TestServe(t *testing.T) {
	for _, finishes := range []bool{true, false} {
		t.Run(fmt.Sprintf("finishes %v", finishes), func(t *testing.T) {
			e := &fakeEngine{say: endless, gate: make(chan struct{}, 1), context: 1 << 20}
			f := newFixture(t, e, Options{}, serve.Options{})
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			grace := 10 * time.Second
			if !finishes {
				grace = 200 * time.Millisecond
			}
			served := make(chan error, 1)
			go func() { served <- f.api.Serve(ctx, l, grace) }()
			post := func() *http.Response {
				r, _ := http.NewRequest("POST", "http://"+l.Addr().String()+"/v1/chat/completions", strings.NewReader(chatBody(`"stream":true,"max_tokens":4`)))
				r.Header.Set("Authorization", "Bearer "+key)
				resp, err := f.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				return resp
			}
			e.gate <- struct{}{}
			running := post() // its first token is there
			defer running.Body.Close()
			stop()
			eventually(t, "draining", func() bool {
				resp, err := f.Client().Get("http://" + l.Addr().String() + "/health")
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return resp.StatusCode == 503 && resp.Header.Get("Retry-After") != ""
			})
			if finishes {
				refused := post()
				data, _ := io.ReadAll(refused.Body)
				refused.Body.Close()
				if code, _ := checkError(t, string(data)); refused.StatusCode != 503 || code != "shutting_down" || refused.Header.Get("Retry-After") == "" {
					t.Errorf("a new request: %d, %s", refused.StatusCode, data)
				}
				close(e.gate)
			} else {
				// The step that runs at the deadline is finished before anyone is told.
				time.AfterFunc(2*grace, func() { e.gate <- struct{}{} })
			}
			data, err := io.ReadAll(running.Body)
			if err != nil {
				t.Errorf("the running request: %v", err)
			}
			if finished := strings.Contains(string(data), `"length"`) && strings.Contains(string(data), "[DONE]"); finished != finishes {
				t.Errorf("the running request got %s", data)
			}
			if !finishes && !strings.Contains(string(data), "shutting_down") {
				t.Errorf("the ended request got %s", data)
			}
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
	}
}

// raw sends bytes over a connection of its own and returns the status line.
func raw(t *testing.T, f *fixture, request string) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("tcp", f.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return c, ""
	}
	line, _ := bufio.NewReader(c).ReadString('\n')
	return c, strings.TrimSpace(line)
}

func TestRawRequests(t *testing.T) {
	f := newFixture(t, &fakeEngine{}, Options{BodyTimeout: 100 * time.Millisecond}, serve.Options{})
	auth := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + key + "\r\n"
	tests := []struct{ name, request, status string }{
		{"length and chunks (smuggling)", auth + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"two lengths", auth + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", "400"},
		{"negative length", auth + "Content-Length: -1\r\n\r\n", "400"},
		{"length of 10^18", auth + "Content-Length: 1000000000000000000\r\n\r\n", "413"},
		{"a body that never comes", auth + "Content-Length: 100\r\n\r\n{", "408"},
		{"a header flood", auth + strings.Repeat("X-Flood: "+strings.Repeat("y", 1000)+"\r\n", 200) + "\r\n", "431"},
		{"line break in a header", auth + "X-A: b\rc: d\r\n\r\n", "400"},
		{"two hosts", "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
	}
	for _, tt := range tests {
		if _, line := raw(t, f, tt.request); !strings.Contains(line, " "+tt.status+" ") {
			t.Errorf("%s: %q, want %s", tt.name, line, tt.status)
		}
	}
}

// The time a body may take ends with the body: an answer may take longer.
func TestAnswerOutlivesBodyTimeout(t *testing.T) {
	e := &fakeEngine{gate: make(chan struct{})}
	f := newFixture(t, e, Options{BodyTimeout: 50 * time.Millisecond}, serve.Options{})
	time.AfterFunc(300*time.Millisecond, func() { close(e.gate) })
	if resp, body := f.call(t, "POST", "/v1/chat/completions", chatBody("")); resp.StatusCode != 200 || !strings.Contains(body, hello) {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
}

// A client that does not read is left after the write timeout; others never notice.
func TestSlowReader(t *testing.T) {
	e := &fakeEngine{say: endless, context: 1 << 24}
	f := newFixture(t, e, Options{WriteTimeout: 100 * time.Millisecond}, serve.Options{})
	body := chatBody(`"stream":true,"logprobs":true,"top_logprobs":20`)
	c, line := raw(t, f, fmt.Sprintf("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", key, len(body), body))
	if !strings.Contains(line, " 200 ") {
		t.Fatalf("status %q", line)
	}
	_ = c // and never read again
	if resp, _ := f.call(t, "POST", "/v1/chat/completions", chatBody(`"max_tokens":50`)); resp.StatusCode != 200 {
		t.Errorf("another client: %d", resp.StatusCode)
	}
	eventually(t, "the slow client is left", func() bool { return e.open.Load() == 0 })
	eventually(t, "the log says so", func() bool { return strings.Contains(f.log.String(), "client_gone=true") })
}
