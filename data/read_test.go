package data

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hone/internal/golden"
)

func read(t testing.TB, text string) *File {
	t.Helper()
	f, err := ReadFrom("f.jsonl", strings.NewReader(text), ReadOptions{MaxLine: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

const good = `{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]}`

// TestHostile holds every row of bad input to one problem at its place.
func TestHostile(t *testing.T) {
	chat := func(messages string) string { return `{"messages": [` + messages + `]}` }
	user := `{"role": "user", "content": "hi"}, `
	for _, c := range []struct{ name, text, want string }{
		{"empty file", "", "f.jsonl: the file has no rows"},
		{"blank lines", "\n\r\n \t\n", "f.jsonl: the file has no rows"},
		{"only a byte order mark", "\xef\xbb\xbf", "f.jsonl: the file has no rows"},
		{"utf-16", "\xff\xfe{\x00", "f.jsonl: the file is UTF-16 text"},
		{"gzip", "\x1f\x8b\x08\x00", "f.jsonl: the file is gzip data"},
		{"parquet", "PAR1\x00", "f.jsonl: the file is a Parquet file"},
		{"array file", "[\n" + good + "\n]", "f.jsonl:1: [0]: the line ends inside"},
		{"array line", "[" + good + "]", "f.jsonl:1: the row is an array"},
		{"not json", good + "\nhello\n", "f.jsonl:2: not JSON at byte 1"},
		{"invalid utf-8", good + "\n\n{\"text\": \"a\xffb\"}", "f.jsonl:3: invalid UTF-8 at byte 12"},
		{"control character", "{\"text\": \"a\x01\"}", "f.jsonl:1: text: an unescaped control character (0x01)"},
		{"lone high surrogate", `{"text": "a\ud83d"}`, `f.jsonl:1: text: half of a surrogate pair (\ud83d)`},
		{"lone low surrogate", `{"text": "\ude00"}`, `f.jsonl:1: text: half of a surrogate pair`},
		{"two high surrogates", `{"text": "\ud83d\ud83d"}`, `f.jsonl:1: text: half of a surrogate pair`},
		{"duplicate keys", `{"text": "a", "text": "b"}`, `f.jsonl:1: text: key "text" is there twice`},
		{"duplicate keys through an escape", `{"text": "a", "t\u0065xt": "b"}`, `f.jsonl:1: text: key "text" is there twice`},
		{"duplicate role", chat(`{"role": "user", "role": "system", "content": ""}`), `f.jsonl:1: messages[0].role: key "role" is there twice`},
		{"deep nesting", strings.Repeat(`{"a":`, 100000) + "1" + strings.Repeat("}", 100000), "nested deeper than 100 levels"},
		{"deep arrays", strings.Repeat(`[`, 100000), "nested deeper than 100 levels"},
		{"1e400", `{"text": "a", "n": 1e400}`, "f.jsonl:1: n: a number too large"},
		{"NaN", `{"text": "a", "n": NaN}`, "f.jsonl:1: n: not JSON"},
		{"leading zero", `{"text": "a", "n": 012}`, "f.jsonl:1: n: a number that JSON does not have"},
		{"cut line", good[:40], "f.jsonl:1: messages[0].content: a colon is missing"},
		{"cut between members", `{"text": "a"`, "f.jsonl:1: the line ends inside a JSON value"},
		{"trailing comma", `{"text": "a",}`, "f.jsonl:1: a key in double quotes is missing"},
		{"single quotes", `{'text': 'a'}`, "a key in double quotes is missing"},
		{"two objects on a line", good + good, "f.jsonl:1: text after the end"},
		{"long line", `{"text": "` + strings.Repeat("a", 2<<20) + `"}`, "f.jsonl:1: the line is 2097164 bytes long"},
		{"string row", `"hello"`, "f.jsonl:1: the row is a string"},
		{"null row", `null`, "f.jsonl:1: the row is null"},
		{"misnamed key", `{"message": []}`, `did you mean "messages"?`},
		{"sharegpt", `{"conversations": []}`, `turn "conversations"`},
		{"alpaca", `{"instruction": "a", "output": "b"}`, `turn "instruction"`},
		{"no key", `{"a": 1}`, "the row has none of the keys"},
		{"two kinds", `{"text": "a", "input_ids": [1]}`, "more than one kind"},
		{"messages is a string", `{"messages": "hi"}`, "messages: must be a list of messages, not a string"},
		{"messages is null", `{"messages": null}`, "messages: must be a list of messages, not null"},
		{"no messages", `{"messages": []}`, "messages: is empty"},
		{"message is a string", `{"messages": ["hi"]}`, "messages[0]: must be an object"},
		{"no role", chat(`{"content": "hi"}`), "messages[0].role: is missing"},
		{"role human", chat(`{"role": "human", "content": "hi"}`), `write "user"`},
		{"role typo", chat(`{"role": "assitant", "content": "hi"}`), `did you mean "assistant"?`},
		{"role number", chat(`{"role": 1, "content": "hi"}`), "messages[0].role: must be a string, not a number"},
		{"no assistant", chat(`{"role": "user", "content": "hi"}`), "messages: there is no assistant message"},
		{"empty assistant", chat(user + `{"role": "assistant", "content": ""}`), "messages[1].content: is empty in an assistant message"},
		{"blank assistant", chat(user + `{"role": "assistant", "content": " \n"}`), "warning: messages[1].content: is only white space"},
		{"null assistant", chat(user + `{"role": "assistant", "content": null}`), "messages[1].content: is missing"},
		{"assistant of empty parts", chat(user + `{"role": "assistant", "content": []}`), "messages[1].content: is empty"},
		{"content number", chat(`{"role": "user", "content": 3}`), "messages[0].content: must be a string or a list of parts, not a number"},
		{"image", chat(`{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}`), `messages[0].content[0].type: is not "text"`},
		{"last is user", chat(user + `{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}`), "warning: messages[2].role: the last message is not from the assistant"},
		{"weight 2", chat(user + `{"role": "assistant", "content": "a", "weight": 2}`), "messages[1].weight: must be 0 or 1"},
		{"all weights 0", chat(user + `{"role": "assistant", "content": "a", "weight": 0}`), "warning: messages: every assistant message has weight 0"},
		{"tool calls of a user", chat(`{"role": "user", "content": "a", "tool_calls": [{"function": {"name": "f"}}]}`), "messages[0].tool_calls: is in a message of role user"},
		{"tool call without name", chat(user + `{"role": "assistant", "tool_calls": [{"id": "1", "function": {}}]}`), "messages[1].tool_calls[0].function.name: is missing"},
		{"tool calls empty", chat(user + `{"role": "assistant", "content": "a", "tool_calls": []}`), "messages[1].tool_calls: is empty"},
		{"tool answer to nothing", chat(user + `{"role": "tool", "tool_call_id": "x", "content": "a"}, {"role": "assistant", "content": "a"}`), "warning: messages[1].tool_call_id: answers a call"},
		{"tools object", `{"tools": {}, "messages": [` + user + `{"role": "assistant", "content": "a"}]}`, "tools: must be a list"},
		{"tool without name", `{"tools": [{"function": {}}], "messages": [` + user + `{"role": "assistant", "content": "a"}]}`, "tools[0].function.name: is missing"},
		{"parallel", `{"parallel_tool_calls": 1, "messages": [` + user + `{"role": "assistant", "content": "a"}]}`, "parallel_tool_calls: must be true or false"},
		{"old function call", chat(user + `{"role": "assistant", "content": "a", "function_call": {}}`), "messages[1].function_call: is the old form"},
		{"prompt alone", `{"prompt": "a"}`, "completion: the row has a prompt and no completion"},
		{"completion alone", `{"completion": "a"}`, "prompt: the row has a completion and no prompt"},
		{"empty completion", `{"prompt": "a", "completion": ""}`, "completion: is empty"},
		{"completion without assistant", `{"prompt": "a", "completion": [{"role": "user", "content": "b"}]}`, "completion: has no assistant message"},
		{"empty text", `{"text": ""}`, "text: is empty"},
		{"text list", `{"text": ["a"]}`, "text: must be a string, not an array"},
		{"no ids", `{"input_ids": []}`, "input_ids: is empty"},
		{"negative id", `{"input_ids": [1, -1]}`, "input_ids[1]: is not a token id"},
		{"fractional id", `{"input_ids": [1.5]}`, "input_ids[0]: is not a token id"},
		{"huge id", `{"input_ids": [4294967297]}`, "input_ids[0]: is not a token id"},
		{"id string", `{"input_ids": ["1"]}`, "input_ids[0]: is not a token id"},
		{"labels short", `{"input_ids": [1, 2], "labels": [1]}`, "labels: has 1 entries, input_ids has 2"},
		{"labels shifted", `{"input_ids": [1, 2], "labels": [2, -100]}`, "labels[0]: is 2 where input_ids has 1"},
		{"labels -1", `{"input_ids": [1, 2], "labels": [-1, 2]}`, "labels[0]: is not a token id"},
		{"padding", `{"input_ids": [1, 0], "attention_mask": [1, 0]}`, "attention_mask[1]: is not 1"},
		{"unread key", `{"text": "a", "label": 3}` + "\n" + `{"text": "b", "label": 4}`, `f.jsonl:1: warning: label: key "label" is not read`},
		{"mixed", good + "\n" + `{"text": "a"}`, "warning: the file mixes kinds of rows: 1 chat, 1 text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := read(t, c.text)
			if len(f.Problems.List) == 0 {
				t.Fatal("no problem found")
			}
			if got := f.Problems.List[0].String(); !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := f.Problems.List[0]; got.Fix == "" {
				t.Errorf("%s: no fix", got)
			}
			if warning := f.Problems.List[0].Severity == Warning; warning != (len(f.Rows) > 0 && f.Problems.Errors == 0) && c.name != "not json" && c.name != "invalid utf-8" {
				t.Errorf("severity %s with %d rows", f.Problems.List[0].Severity, len(f.Rows))
			}
			if len(f.Problems.List) > 1 && c.name != "array file" {
				t.Errorf("also %s", f.Problems.List[1])
			}
		})
	}
}

func TestFine(t *testing.T) {
	text := "\xef\xbb\xbf" + good + "\r\n\r\n" +
		`{"messages": [{"role": "developer", "content": ""}, {"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "c", "content": "r"}, {"role": "assistant", "content": "b", "weight": 1}], "tools": [{"type": "function", "function": {"name": "f"}}], "parallel_tool_calls": false}` + "\n" +
		`{"prompt": "p", "completion": "c"}` + "\n" +
		`{"prompt": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "q"}], "completion": [{"role": "assistant", "content": "c"}]}` + "\n" +
		`{"prompt": "p", "completion": [{"role": "assistant", "content": "c"}]}` + "\n" +
		`{"text": "\ud83d\ude00 \u0000"}` + "\n" +
		`{"input_ids": [1, 2], "labels": [-100, 2], "attention_mask": [1, 1]}` + "\n" +
		`  {"input_ids": [1, 2], "labels": null}  ` // no newline at the end
	f := read(t, text)
	if f.Problems.Errors != 0 || f.Problems.Warnings != 1 { // the mix
		t.Fatalf("problems: %v", f.Problems.List)
	}
	var lines []int
	for _, r := range f.Rows {
		lines = append(lines, r.Line)
	}
	if got := fmt.Sprint(lines); got != "[1 3 4 5 6 7 8 9]" {
		t.Errorf("lines %s", got)
	}
	if f.Rows[1].Tools == nil || len(f.Rows[1].Messages) != 5 {
		t.Errorf("chat row %+v", f.Rows[1])
	}
	if m := f.Rows[3].Messages; len(m) != 3 || m[1].Weight == nil || *m[1].Weight != 0 || m[2].Weight != nil {
		t.Errorf("prompt messages are not weighted 0: %+v", m)
	}
	if m := f.Rows[4].Messages; len(m) != 2 || m[0].Role != "user" || m[0].Content != "p" {
		t.Errorf("prompt text with completion messages: %+v", m)
	}
	if f.Rows[5].Text != "😀 \x00" {
		t.Errorf("text %q", f.Rows[5].Text)
	}
	if r := f.Rows[6]; len(r.Labels) != 2 || r.Labels[0] != Ignore {
		t.Errorf("labels %v", r.Labels)
	}
	if f.Rows[7].Labels != nil {
		t.Errorf("null labels read as %v", f.Rows[7].Labels)
	}
}

func TestAllProblemsCounted(t *testing.T) {
	var b strings.Builder
	for range 250 {
		b.WriteString("nope\n")
	}
	b.WriteString(good)
	f := read(t, b.String())
	if f.Problems.Errors != 250 || len(f.Problems.List) != 100 || f.Problems.Left() != 150 || len(f.Rows) != 1 || f.Skipped != 250 {
		t.Errorf("errors %d listed %d left %d rows %d", f.Problems.Errors, len(f.Problems.List), f.Problems.Left(), len(f.Rows))
	}
	err := f.Problems.Err()
	if err == nil || !strings.Contains(err.Error(), "and 240 more") {
		t.Errorf("error %v", err)
	}
	var all Problems
	all.Merge(f.Problems)
	all.Merge(f.Problems)
	if all.Errors != 500 || all.Left() != 400 {
		t.Errorf("merged: %d errors, %d left", all.Errors, all.Left())
	}
}

// TestLongLineIsNotKept feeds a line of 100 MB in pieces and holds memory to the cap.
func TestLongLineIsNotKept(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 100 MB")
	}
	long := bytes.Repeat([]byte("a"), 100<<20)
	r := bytes.NewReader(append(append([]byte(`{"text":"`), long...), []byte("\"}\n"+good+"\n")...))
	f, err := ReadFrom("f", r, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Problems.Errors != 1 || len(f.Rows) != 1 || f.Rows[0].Line != 2 {
		t.Errorf("%d errors, %d rows", f.Problems.Errors, len(f.Rows))
	}
}

func TestReadNotAFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir, ReadOptions{}); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("folder: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "no"), ReadOptions{}); err == nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}

func TestBanking77(t *testing.T) {
	f, err := Read(golden.Path(t, "banking77/train.jsonl"), ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Rows) != 2000 || len(f.Problems.List) != 0 {
		t.Errorf("%d rows, problems %v", len(f.Rows), f.Problems.List)
	}
}

func TestCheckReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.jsonl")
	ids := `{"input_ids": [1, 2, 3], "labels": [1, -100, 3]}` + "\n"
	text := ids + ids + `{"input_ids": [9, 9, 9, 9, 9, 9]}` + "\n" + `{"input_ids": [300]}` + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Check([]string{path}, CheckOptions{Encoder: &Encoder{Vocab: 256}, MaxLength: 5, TokensPerSecond: 1, Epochs: 5})
	if err != nil {
		t.Fatal(err)
	}
	if r.Rows != 4 || r.Duplicates != 1 || r.Kinds[Tokens] != 4 || r.OK() {
		t.Errorf("report %+v", r)
	}
	want := TokenReport{Median: 3, P95: 6, Max: 6, Total: 12, Trained: 7, OverLong: 1, Minutes: 1}
	if *r.Tokens != want {
		t.Errorf("tokens %+v, want %+v", *r.Tokens, want)
	}
	var all string
	for _, p := range r.Problems.List {
		all += p.String() + "\n"
	}
	for _, w := range []string{":4: token 300 at position 0 is outside the model's vocabulary of 256", ":3: 1 rows are longer than max_length 5; the longest has 6 tokens", "the file has 4 rows, fewer than 10"} {
		if !strings.Contains(all, w) {
			t.Errorf("%q is not in\n%s", w, all)
		}
	}
	if r.Problems.Errors != 2 || r.Problems.Warnings != 1 {
		t.Errorf("problems\n%s", all)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range [][2]string{{"leaning_rate", "learning_rate"}, {"lerning_rat", "learning_rate"}, {"bacth", "batch"}, {"zzz", ""}, {"", ""}, {"seeds", "seed"}} {
		if got := Nearest(c[0], []string{"learning_rate", "batch", "seed", "out"}); got != c[1] {
			t.Errorf("Nearest(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}
