// Package api is hone's HTTP face: the OpenAI-compatible routes over the schedulers of package serve. What a body
// looks like is package openai's business; here is who may ask, how a stream is written, and what happens when a
// client goes, a queue is full or the server shuts down.
package api

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"hone/engine"
	"hone/serve"
)

// Model is what a model name of the API stands for: a base, or one of its adapters.
type Model struct {
	ID        string
	Created   time.Time
	OwnedBy   string
	Scheduler *serve.Scheduler
	Adapter   *engine.Adapter // nil: the base itself
}

// Registry knows the models of the moment. Both methods are called from many goroutines.
type Registry interface {
	List() []Model // in the order to show
	Lookup(name string) (m Model, ok bool)
}

// Options configure a Server. Their zero value is no valid one: either APIKey or Dev must be set.
type Options struct {
	APIKey string // what clients must send as "Authorization: Bearer KEY"
	Dev    bool   // without APIKey: ask for no key, and answer only requests addressed to this machine by a loopback name

	Now    func() time.Time // nil: time.Now
	NewID  func() string    // a fresh id, without prefix; nil: random
	Seed   func() uint64    // the seed of a request without one; nil: random
	Logger *slog.Logger     // access log and failures; nil: none

	MaxBody      int64         // bytes of a request body; 0: DefaultMaxBody
	BodyTimeout  time.Duration // for a client to send its body; 0: DefaultTimeout
	WriteTimeout time.Duration // for a client to take one chunk or response; 0: DefaultTimeout
}

// Defaults of Options.
const (
	DefaultMaxBody = 8 << 20
	DefaultTimeout = 30 * time.Second
)

// abortTime is how long Wait goes on waiting for requests that it has told to end.
const abortTime = 10 * time.Second

// Server is the http.Handler of the API. It needs no closing of its own; Drain and Wait end its work.
type Server struct {
	registry Registry
	options  Options
	mux      *http.ServeMux
	keyHash  [32]byte

	mu       sync.Mutex
	draining bool
	inflight sync.WaitGroup // requests that generate

	abort     context.Context // done when generating requests must end
	abortWith context.CancelCauseFunc
}

// New returns a server of the registry's models. It refuses to serve without a key unless Dev is set.
func New(r Registry, o Options) (*Server, error) {
	if o.APIKey == "" && !o.Dev {
		return nil, errors.New("start the API: no API key is set; set one, or use the development mode, which serves this machine alone")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = newID
	}
	if o.Seed == nil {
		o.Seed = newSeed
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.BodyTimeout <= 0 {
		o.BodyTimeout = DefaultTimeout
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = DefaultTimeout
	}
	s := &Server{registry: r, options: o, keyHash: hashKey(o.APIKey)}
	s.abort, s.abortWith = context.WithCancelCause(context.Background())
	s.mux = s.routes()
	return s, nil
}

func newID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func newSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.LittleEndian.Uint64(b[:])
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(method, allow, pattern string, h http.HandlerFunc) {
		mux.HandleFunc(method+" "+pattern, h)
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { methodNotAllowed(w, r, allow) })
	}
	handle("GET", "GET, HEAD", "/health", s.health)
	handle("GET", "GET, HEAD", "/healthz", s.health)
	handle("GET", "GET, HEAD", "/v1/models", s.listModels)
	handle("GET", "GET, HEAD", "/v1/models/{model...}", s.getModel)
	handle("POST", "POST", "/v1/chat/completions", s.generating(s.chat))
	handle("POST", "POST", "/v1/completions", s.generating(s.complete))
	mux.HandleFunc("/", notFound)
	return mux
}

// health says whether new requests are taken; it asks for no key and says nothing else.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	if draining {
		w.Header().Set("Retry-After", retryAfterDrain)
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "draining"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// generating wraps a handler that uses a model: it is refused while draining, and waited for by Wait.
func (s *Server) generating(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if s.draining {
			s.mu.Unlock()
			writeError(w, serve.ErrClosed)
			return
		}
		s.inflight.Add(1)
		s.mu.Unlock()
		defer s.inflight.Done()

		ctx, cancel := context.WithCancelCause(r.Context())
		defer cancel(nil)
		stop := context.AfterFunc(s.abort, func() { cancel(context.Cause(s.abort)) })
		defer stop()
		if err := h(w, r.WithContext(ctx)); err != nil {
			record(w).err = err
			if errors.Is(err, context.Canceled) {
				record(w).gone = true // nobody is there to read an answer
				return
			}
			writeError(w, err)
		}
	}
}

// Drain refuses new requests from now on, with 503 and Retry-After; those that run go on.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
}

// Wait drains and waits until no request generates any more. When ctx is done first it ends those that are left,
// with an error to their clients, and returns ctx's error once they have ended, or abortTime later.
func (s *Server) Wait(ctx context.Context) error {
	s.Drain()
	idle := make(chan struct{})
	go func() {
		s.inflight.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	s.abortWith(serve.ErrClosed)
	select {
	case <-idle: // usually after the step that runs
	case <-time.After(abortTime):
	}
	return ctx.Err()
}

// Serve answers requests on l until ctx is done. Then it drains for at most grace, still listening so that new
// requests get their 503, and closes everything. It returns nil unless l fails.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	h := s.HTTPServer()
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := s.Wait(end); err != nil {
		s.options.Logger.Warn("requests were ended by the shutdown", "grace", grace)
	}
	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancelLast()
	if h.Shutdown(last) != nil { // what is left are clients that do not take their last bytes
		_ = h.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// HTTPServer is an http.Server for the API whose limits keep slow and oversized clients out. Its Addr is not set.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
		// Bodies and writes have deadlines of their own, in body.go and sse.go: a WriteTimeout would end long streams.
	}
}
