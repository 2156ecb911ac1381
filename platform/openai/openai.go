// Package openai holds the wire format of the OpenAI API as far as hone speaks it: requests, strictly checked and
// turned into plain values, and responses. It is pure conversion; no HTTP and no server happen here.
package openai

import "fmt"

// Error is the object inside every error body. All four keys are always written; Param and Code may be null.
type Error struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// ErrorBody is the body of every failed response, and the payload of an error in the middle of a stream.
type ErrorBody struct {
	Error *Error `json:"error"`
}

// Error types, as OpenAI writes them.
const (
	TypeInvalidRequest = "invalid_request_error"
	TypeRateLimit      = "rate_limit_error"
	TypeServer         = "server_error"
)

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// NewError makes an error body's object; an empty param or code is written as null.
func NewError(kind, param, code, message string) *Error {
	e := &Error{Message: message, Type: kind}
	if param != "" {
		e.Param = &param
	}
	if code != "" {
		e.Code = &code
	}
	return e
}

// invalid is an invalid_request_error about the field param.
func invalid(param, code, format string, args ...any) *Error {
	return NewError(TypeInvalidRequest, param, code, fmt.Sprintf(format, args...))
}
