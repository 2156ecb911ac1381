package main

import (
	"strings"
	"testing"
)

func TestDecodeRowNamesTheField(t *testing.T) {
	var row struct {
		IDs  []int32 `json:"input_ids"`
		Text string  `json:"text"`
	}
	for line, want := range map[string]string{
		`{"input_ids":[1,2.5]}`: `"input_ids" holds a number 2.5 where a whole number belongs`,
		`{"input_ids":"x"}`:     `"input_ids" holds a string where a list belongs`,
		`{"text":3}`:            `"text" holds a number where a string belongs`,
		`[1]`:                   `the line holds a list where an object belongs`,
		`{"text":`:              `unexpected end of JSON input`,
	} {
		err := decodeRow([]byte(line), &row)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
	if err := decodeRow([]byte(`{"input_ids":[1,2]}`), &row); err != nil || len(row.IDs) != 2 {
		t.Errorf("a good row gave %v, %v", row.IDs, err)
	}
}
