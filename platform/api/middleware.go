package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"hone/platform/openai"
	"hone/serve"
)

// recorder is the http.ResponseWriter of a request, and what the access log says of it.
type recorder struct {
	http.ResponseWriter
	elapsed func() time.Duration

	status int // 0: nothing written yet
	bytes  int64
	model  string
	stream bool
	usage  serve.Usage
	err    error
	gone   bool // the client left before its answer
}

// record is the recorder behind a handler's writer.
func record(w http.ResponseWriter) *recorder { return w.(*recorder) }

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader adds the processing time, which is the time to the first byte.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
		r.Header().Set("Openai-Processing-Ms", strconv.FormatInt(r.elapsed().Milliseconds(), 10))
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts the bytes.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// ServeHTTP answers a request: an id, a key check and a log line around the routes. A panic is this request's
// failure alone.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.options.Now()
	id := "req_" + s.options.NewID()
	rec := &recorder{ResponseWriter: w, elapsed: func() time.Duration { return s.options.Now().Sub(began) }}
	rec.Header().Set("X-Request-Id", id)
	rec.Header().Set("X-Content-Type-Options", "nosniff")
	defer s.logAccess(rec, r, id)
	defer func() {
		if p := recover(); p != nil {
			s.options.Logger.Error("panic in a handler", "request_id", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			rec.err = fmt.Errorf("panic: %v", p)
			writeError(rec, rec.err)
		}
	}()
	if refusal := s.admit(r); refusal != nil {
		if refusal.status == http.StatusUnauthorized {
			rec.Header().Set("WWW-Authenticate", "Bearer")
		}
		writeError(rec, refusal)
		return
	}
	s.mux.ServeHTTP(rec, r)
}

// admit decides whether a request may come in at all.
func (s *Server) admit(r *http.Request) *httpError {
	if r.URL.Path != path.Clean(r.URL.Path) && r.URL.Path != path.Clean(r.URL.Path)+"/" {
		return unknownURL(r) // ServeMux would redirect
	}
	if r.URL.Path == "/health" || r.URL.Path == "/healthz" {
		return nil
	}
	if s.options.APIKey == "" {
		return checkLoopback(r)
	}
	return s.checkKey(r.Header.Get("Authorization"))
}

func hashKey(key string) [32]byte { return sha256.Sum256([]byte(key)) }

// checkKey compares hashes, in a time that depends on neither key.
func (s *Server) checkKey(header string) *httpError {
	scheme, key, _ := strings.Cut(header, " ")
	key = strings.TrimSpace(key)
	if !strings.EqualFold(scheme, "Bearer") || key == "" {
		return &httpError{http.StatusUnauthorized, openai.NewError(openai.TypeInvalidRequest, "", "",
			"You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).")}
	}
	got := hashKey(key)
	if subtle.ConstantTimeCompare(got[:], s.keyHash[:]) != 1 {
		return &httpError{http.StatusUnauthorized, openai.NewError(openai.TypeInvalidRequest, "", "invalid_api_key", "Incorrect API key provided.")}
	}
	return nil
}

// checkLoopback keeps the keyless mode to this machine: a web page of elsewhere can make a browser here send
// requests to a loopback address, but under its own host name or with its own Origin.
func checkLoopback(r *http.Request) *httpError {
	origin := r.Header.Get("Origin")
	if _, host, ok := strings.Cut(origin, "://"); origin != "" && (!ok || !isLoopback(host)) || !isLoopback(r.Host) {
		return &httpError{http.StatusForbidden, openai.NewError(openai.TypeInvalidRequest, "", "not_loopback",
			"Without an API key this server answers only requests addressed to localhost.")}
	}
	return nil
}

func isLoopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// logAccess writes the line of a finished request. Values come from clients; slog's handlers quote them.
func (s *Server) logAccess(rec *recorder, r *http.Request, id string) {
	attrs := []slog.Attr{
		slog.String("request_id", id), slog.String("method", clip(r.Method)), slog.String("path", clip(r.URL.Path)), slog.String("remote", r.RemoteAddr),
		slog.Int("status", rec.status), slog.Int64("bytes", rec.bytes), slog.Float64("elapsed_ms", float64(rec.elapsed().Microseconds())/1000),
	}
	if rec.model != "" {
		attrs = append(attrs, slog.String("model", clip(rec.model)), slog.Bool("stream", rec.stream),
			slog.Int("prompt_tokens", rec.usage.Prompt), slog.Int("completion_tokens", rec.usage.Completion))
	}
	if rec.gone {
		attrs = append(attrs, slog.Bool("client_gone", true))
	}
	level := slog.LevelInfo
	if rec.err != nil {
		attrs = append(attrs, slog.String("error", rec.err.Error()))
		if rec.status >= 500 {
			level = slog.LevelError
		}
	}
	s.options.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

const maxClip = 128 // bytes

// clip keeps what a client sent small where it is repeated.
func clip(s string) string {
	if len(s) > maxClip {
		return strings.ToValidUTF8(s[:maxClip], "") + "…"
	}
	return s
}
