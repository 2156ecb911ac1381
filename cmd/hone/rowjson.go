package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// decodeRow decodes one line of JSON. Its errors say what is wrong with which field in the words of JSON.
func decodeRow(line []byte, v any) error {
	err := json.Unmarshal(line, v)
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	place := "the line"
	if wrong.Field != "" {
		place = fmt.Sprintf("%q", wrong.Field)
	}
	value := "a " + wrong.Value
	switch wrong.Value {
	case "array":
		value = "a list"
	case "object":
		value = "an object"
	}
	return fmt.Errorf("%s holds %s where %s belongs", place, value, jsonKind(wrong.Type))
}

// jsonKind is what JSON calls the values of a type.
func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "an object"
}
