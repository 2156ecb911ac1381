package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"hone/platform/openai"
)

// readBody reads a request body within its bounds of size and time. The content type does not matter, an encoding
// does: a small compressed body may be a very large one.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return nil, &httpError{http.StatusUnsupportedMediaType, openai.NewError(openai.TypeInvalidRequest, "", "unsupported_encoding",
			fmt.Sprintf("Content-Encoding %s is not supported; send the body as it is.", clip(e)))}
	}
	tooLarge := &httpError{http.StatusRequestEntityTooLarge, openai.NewError(openai.TypeInvalidRequest, "", "request_too_large",
		fmt.Sprintf("The request body is larger than %d bytes.", s.options.MaxBody))}
	if r.ContentLength > s.options.MaxBody {
		w.Header().Set("Connection", "close")
		return nil, tooLarge
	}
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(s.options.BodyTimeout)) // a test's writer may have none
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.options.MaxBody))
	_ = connection.SetReadDeadline(time.Time{})
	var limit *http.MaxBytesError
	var late net.Error
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &limit):
		return nil, tooLarge
	case errors.As(err, &late) && late.Timeout():
		w.Header().Set("Connection", "close")
		return nil, &httpError{http.StatusRequestTimeout, openai.NewError(openai.TypeInvalidRequest, "", "request_timeout",
			fmt.Sprintf("The request body did not arrive within %v.", s.options.BodyTimeout))}
	}
	return nil, &httpError{http.StatusBadRequest, openai.NewError(openai.TypeInvalidRequest, "", "invalid_body",
		"The request body could not be read: "+err.Error()+".")}
}
