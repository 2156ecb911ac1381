package main

import (
	"strings"
	"testing"
	"time"
)

func TestSpread(t *testing.T) {
	var times []time.Duration
	for i := 20; i > 0; i-- {
		times = append(times, time.Duration(i)*time.Millisecond)
	}
	if s := spreadOf(times); s != (spread{P50: 10, P95: 19, Max: 20, Requests: 20}) {
		t.Errorf("%+v", s)
	}
}

// TestFirstText waits for text: the role alone is not an answer.
func TestFirstText(t *testing.T) {
	const role, word, end = `data: {"choices":[{"delta":{"role":"assistant"},"finish_reason":null}]}` + "\n\n",
		`data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":null}]}` + "\n\n", "data: [DONE]\n\n"
	if d, err := firstText(strings.NewReader(role+word+end), time.Now()); err != nil || d <= 0 {
		t.Errorf("%v, %v", d, err)
	}
	for _, bad := range []string{role + end, "data: {\n"} {
		if _, err := firstText(strings.NewReader(bad), time.Now()); err == nil {
			t.Errorf("%q passed", bad)
		}
	}
}

func TestPrompt(t *testing.T) {
	if a, b := prompt(1), prompt(2); a == b || a != prompt(1) || len(strings.Fields(a)) != promptWords {
		t.Errorf("%q and %q", a, b)
	}
}
