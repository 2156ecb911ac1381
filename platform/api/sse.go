package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"hone/platform/openai"
)

// eventStream writes server-sent events. Each has its own deadline, so a client that reads slowly is fine and one
// that does not read is left.
type eventStream struct {
	w       http.ResponseWriter
	timeout time.Duration
	open    bool
}

// send writes one event; the first brings the headers with it.
func (s *eventStream) send(payload any) error {
	data, err := marshal(payload)
	if err != nil {
		return fmt.Errorf("encode an event: %w", err)
	}
	return s.write(data)
}

// done writes the event that ends a stream that went well.
func (s *eventStream) done() error { return s.write([]byte("[DONE]")) }

// fail tells the client of an error in the middle of a stream; nothing may follow.
func (s *eventStream) fail(err error) {
	_ = s.send(openai.ErrorBody{Error: describe(err).body})
}

func (s *eventStream) write(data []byte) error {
	connection := http.NewResponseController(s.w)
	_ = connection.SetWriteDeadline(time.Now().Add(s.timeout)) // a test's writer may have none
	if !s.open {
		s.open = true
		h := s.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no")
		s.w.WriteHeader(http.StatusOK)
	}
	var b bytes.Buffer
	b.WriteString("data: ")
	b.Write(data)
	b.WriteString("\n\n")
	if _, err := s.w.Write(b.Bytes()); err != nil {
		return err
	}
	if err := connection.Flush(); err != nil {
		return err
	}
	_ = connection.SetWriteDeadline(time.Time{})
	return nil
}

// errClientGone marks a write that the client did not take.
var errClientGone = fmt.Errorf("write to the client: %w", context.Canceled)

func (s *Server) newEventStream(w http.ResponseWriter) *eventStream {
	return &eventStream{w: w, timeout: s.options.WriteTimeout}
}

// finishStream ends a stream: well, with the usage if it was asked for, or with the error. An error before the
// stream has begun is returned for an ordinary answer.
func finishStream(out *eventStream, err error, includeUsage bool, usage any) error {
	switch {
	case err != nil && out.open && !errors.Is(err, context.Canceled):
		out.fail(err)
		return err
	case err != nil:
		return err
	}
	if includeUsage {
		if err := out.send(usage); err != nil {
			return errors.Join(errClientGone, err)
		}
	}
	if err := out.done(); err != nil {
		return errors.Join(errClientGone, err)
	}
	return nil
}

// writeWhole answers with one body within the time a client has to take it.
func (s *Server) writeWhole(w http.ResponseWriter, body any) error {
	connection := http.NewResponseController(w)
	_ = connection.SetWriteDeadline(time.Now().Add(s.options.WriteTimeout))
	writeJSON(w, http.StatusOK, body)
	if err := connection.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errors.Join(errClientGone, err)
	}
	_ = connection.SetWriteDeadline(time.Time{})
	return nil
}
