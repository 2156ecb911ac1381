package jinja

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"
)

// TestLanguage goes through the language feature by feature against the reference.
func TestLanguage(t *testing.T) {
	f, err := os.Open("testdata/language.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	var head struct{ Data json.RawMessage }
	if !sc.Scan() || json.Unmarshal(sc.Bytes(), &head) != nil {
		t.Fatal("no data")
	}
	n := 0
	for sc.Scan() {
		var c goldenCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		n++
		out, err := render(t, c.Template, head.Data)
		switch {
		case c.Expected == nil && err == nil:
			t.Errorf("%q renders %q; the reference raises %s", c.Template, out.Text, c.Error)
		case c.Expected != nil && err != nil:
			t.Errorf("%q: %v; want %q", c.Template, err, *c.Expected)
		case c.Expected != nil && out.Text != *c.Expected:
			t.Errorf("%q renders %q, want %q", c.Template, out.Text, *c.Expected)
		}
	}
	if n < 1000 {
		t.Errorf("only %d cases", n)
	}
}
