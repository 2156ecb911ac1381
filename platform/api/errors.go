package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"hone/platform/openai"
	"hone/serve"
)

// httpError is an error with its status.
type httpError struct {
	status int
	body   *openai.Error
}

// Error is the message.
func (e *httpError) Error() string { return e.body.Message }

// Seconds a client is asked to wait.
const (
	retryAfterBusy  = "1"
	retryAfterDrain = "5"
)

// describe is the one place where errors become statuses. What is not known here is the server's fault: it is
// logged whole and shown to the client without its details.
func describe(err error) *httpError {
	var known *httpError
	var wire *openai.Error
	var long *serve.PromptTooLongError
	var bad *serve.RequestError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &wire):
		return &httpError{http.StatusBadRequest, wire}
	case errors.As(err, &long):
		return &httpError{http.StatusBadRequest, openai.NewError(openai.TypeInvalidRequest, "", "context_length_exceeded", fmt.Sprintf(
			"This model's maximum context length is %d tokens, and one of them must be left for the answer. However, your prompt resulted in %d tokens. Please reduce its length.", long.Context, long.Prompt))}
	case errors.As(err, &bad):
		return &httpError{http.StatusBadRequest, openai.NewError(openai.TypeInvalidRequest, paramOf[bad.Field], "invalid_value", "Invalid request: "+bad.Error()+".")}
	case errors.Is(err, serve.ErrBusy):
		return &httpError{http.StatusTooManyRequests, openai.NewError(openai.TypeRateLimit, "", "rate_limit_exceeded", "Too many requests are waiting for this model. Please try again later.")}
	case errors.Is(err, serve.ErrClosed):
		return &httpError{http.StatusServiceUnavailable, openai.NewError(openai.TypeServer, "", "shutting_down", "The server is shutting down. Please try again later.")}
	}
	return &httpError{http.StatusInternalServerError, openai.NewError(openai.TypeServer, "", "internal_error", "The server had an error while processing your request. The request id in the x-request-id header finds it in the server's log.")}
}

// paramOf names the API's field for a field of serve.Request.
var paramOf = map[string]string{"Prompt": "prompt", "MaxTokens": "max_tokens", "Stop": "stop", "LogitBias": "logit_bias"}

// writeError answers with an error, unless an answer has begun.
func writeError(w http.ResponseWriter, err error) {
	if rec, ok := w.(*recorder); ok && rec.status != 0 {
		return
	}
	e := describe(err)
	switch e.status {
	case http.StatusTooManyRequests:
		w.Header().Set("Retry-After", retryAfterBusy)
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", retryAfterDrain)
	}
	writeJSON(w, e.status, openai.ErrorBody{Error: e.body})
}

// writeJSON answers with a body. A failed write means that the client has gone, and nothing is left to do.
func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := marshal(body)
	if err != nil {
		panic(fmt.Sprintf("marshal a response: %v", err)) // our own types only
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}

// marshal is json.Marshal without the escapes for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func unknownURL(r *http.Request) *httpError {
	return &httpError{http.StatusNotFound, openai.NewError(openai.TypeInvalidRequest, "", "unknown_url",
		fmt.Sprintf("Unknown request URL: %s %s.", clip(r.Method), clip(r.URL.Path)))}
}

func notFound(w http.ResponseWriter, r *http.Request) { writeError(w, unknownURL(r)) }

func methodNotAllowed(w http.ResponseWriter, r *http.Request, allow string) {
	w.Header().Set("Allow", allow)
	writeError(w, &httpError{http.StatusMethodNotAllowed, openai.NewError(openai.TypeInvalidRequest, "", "method_not_supported",
		fmt.Sprintf("Not allowed to %s on %s; allowed: %s.", clip(r.Method), clip(r.URL.Path), allow))})
}
