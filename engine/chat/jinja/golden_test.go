package jinja

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
	"time"

	"hone/internal/golden"
)

// goldenNow is the time that the reference renderings saw.
var goldenNow = time.Date(2025, 7, 10, 12, 0, 0, 0, time.UTC)

type goldenCase struct {
	Template string          `json:"template"`
	Data     json.RawMessage `json:"data"`
	Expected *string         `json:"expected"`
	Error    string          `json:"error"`
}

func readCases(t testing.TB) []goldenCase {
	t.Helper()
	f, err := os.Open(golden.Path(t, "chat-template/cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 16<<20)
	var out []goldenCase
	for sc.Scan() {
		var c goldenCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		t.Fatal("no cases")
	}
	return out
}

func render(t testing.TB, src string, data []byte) (Output, error) {
	t.Helper()
	v, err := DecodeJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := Parse(src)
	if err != nil {
		return Output{}, err
	}
	return tmpl.Render(v.(*Dict), Options{Now: goldenNow})
}

// TestGolden renders published templates over conversations as the reference does, errors included.
func TestGolden(t *testing.T) {
	var exact, differs, failed, refused, rendered int
	for i, c := range readCases(t) {
		out, err := render(t, c.Template, c.Data)
		switch {
		case c.Expected == nil && err != nil:
			refused++
		case c.Expected == nil:
			rendered++
			t.Errorf("case %d: the reference fails with %q, we render %d bytes", i, c.Error, len(out.Text))
		case err != nil:
			failed++
			t.Errorf("case %d: %v", i, err)
		case out.Text != *c.Expected:
			differs++
			t.Errorf("case %d differs:\n got %q\nwant %q", i, out.Text, *c.Expected)
		default:
			exact++
		}
	}
	t.Logf("rendered by the reference: %d exact, %d differ, %d fail; refused by it: %d refused, %d rendered", exact, differs, failed, refused, rendered)
}
