package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"hone": main})
}

// TestScript runs the scripts of testdata/script: each is a document of what the program does. A script begins with
// "[!long] skip" where it takes more than a second or so, and with "[!model] skip" where it needs the test model.
func TestScript(t *testing.T) {
	cache := t.TempDir() // shared, so that the embedded model is unpacked once
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("HONE_HOME", cache)
			e.Setenv("MODEL", os.Getenv("HONE_TEST_MODEL"))
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "long":
				return !testing.Short(), nil
			case "model":
				return os.Getenv("HONE_TEST_MODEL") != "", nil
			}
			return false, nil
		},
	})
}

// TestHelp holds every command to a help with a usage line and examples, and to exit codes.
func TestHelp(t *testing.T) {
	run := func(args ...string) (code int, stdout, stderr string) {
		var out, errs bytes.Buffer
		m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Env: func(string) string { return "" }}
		code = m.Run(t.Context(), args)
		return code, out.String(), errs.String()
	}
	for _, c := range commandList {
		code, out, errs := run(c.name, "--help")
		if code != exitFine || errs != "" {
			t.Errorf("%s --help: exit %d, stderr %q", c.name, code, errs)
		}
		if c.name == "help" {
			continue
		}
		for _, want := range []string{"Usage: hone " + c.name, "Examples:\n  "} {
			if !strings.Contains(out, want) {
				t.Errorf("%s --help has no %q:\n%s", c.name, want, out)
			}
		}
		if code, _, errs := run(c.name, "--no-such-flag"); code != exitUsage || !strings.Contains(errs, "unknown flag --no-such-flag") && c.name != "version" {
			t.Errorf("%s --no-such-flag: exit %d, stderr %q", c.name, code, errs)
		}
	}
	if commandNamed("no-such-command") != nil {
		t.Error("a command of any name exists")
	}
}

func TestDidYouMean(t *testing.T) {
	for word, want := range map[string]string{"trian": "; did you mean train?", "modles": "; did you mean models?", "xyzzyxyzzy": ""} {
		if got := didYouMean(word, commandNames()); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"ab", "ba", 2}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\nb": "a\\n\nb", "\x1b[31mred": `\x1b[31mred`, "\xff": `\xff`, "tab\t": `tab\t`, "é": "é", "\u202e": `\u202e`,
	} {
		if got := visible([]byte(in)); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}
