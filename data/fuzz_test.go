package data

import (
	"encoding/json"
	"testing"
)

// FuzzRead holds the reader to this: it never panics, whatever it accepts is JSON, and every row it drops has an
// error.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		good, "\xef\xbb\xbf" + good + "\r\n", `{"text": "\ud83d\ude00"}`, `{"text": "\ud83d"}`, `{"a":{"a":[1,2,{"b":null}]}}`,
		`{"input_ids":[1,2],"labels":[-100,2]}`, `{"prompt":"a","completion":[{"role":"assistant","content":"b"}]}`, "[1", `{"n":1e400}`, "{\"\xff\":1}",
		`{"tools":[{"function":{"name":"f"}}],"messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{}"}}]}]}`,
		`{"messages":[{"role":"user","content":[{"type":"text","text":""}],"weight":1.0}]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := read(t, text)
		if file.Skipped > file.Problems.Errors {
			t.Fatalf("%d rows dropped, %d errors", file.Skipped, file.Problems.Errors)
		}
		if checkJSON([]byte(text)) == nil && !json.Valid([]byte(text)) {
			t.Fatalf("accepted %q, which is not JSON", text)
		}
		for _, p := range file.Problems.List {
			if p.Message == "" || p.Fix == "" || p.File == "" {
				t.Fatalf("unfinished problem %+v", p)
			}
		}
	})
}
