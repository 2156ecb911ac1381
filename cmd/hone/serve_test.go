package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// runMain runs the program in process with one environment variable and returns what it wrote.
func runMain(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Env: func(string) string { return "" }}
	if code := m.Run(t.Context(), args); code != exitFine {
		t.Fatalf("hone %s: exit %d\n%s", strings.Join(args, " "), code, errs.String())
	}
	return out.String()
}

// tinyAdapter trains an adapter of two steps on the embedded model and returns its folder.
func tinyAdapter(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	rows := filepath.Join(dir, "rows.jsonl")
	if err := os.WriteFile(rows, []byte(strings.Repeat(`{"text": "Nib the mouse had a long red thread."}`+"\n", 12)), 0o600); err != nil {
		t.Fatal(err)
	}
	runMain(t, "train", "--model", "stories260k", "--train", rows, "--out", filepath.Join(dir, "run"), "--max_steps", "20", "--learning_rate", "0.01")
	return filepath.Join(dir, "run", "adapter")
}

// testServer is a running "hone serve".
type testServer struct {
	BaseURL string `json:"base_url"`
	Models  []string
	stop    func() // as the first signal does, and waits
}

const testKey = "a-test-key"

// startServer runs "hone serve" with a key on a free port until the test ends or stop is called.
func startServer(t *testing.T, args ...string) *testServer {
	t.Helper()
	out, in := io.Pipe()
	var errs bytes.Buffer
	m := &Main{Stdin: strings.NewReader(""), Stdout: in, Stderr: &errs, Env: func(name string) string {
		return map[string]string{"HONE_API_KEY": testKey}[name]
	}}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() {
		code <- m.Run(ctx, append([]string{"serve", "--addr", "127.0.0.1:0", "--json"}, args...))
		in.Close()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatalf("no announcement: %v, exit %d, %s", err, <-code, errs.String())
	}
	s := &testServer{}
	if err := json.Unmarshal([]byte(line), s); err != nil {
		cancel()
		t.Fatalf("announced %q: %v", line, err)
	}
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case c := <-code:
			if c != exitFine {
				t.Errorf("exit %d: %s", c, errs.String())
			}
		case <-time.After(20 * time.Second):
			t.Error("the server did not stop")
		}
	})
	t.Cleanup(s.stop)
	return s
}

// TestPythonClient asks the server through the openai package for Python.
func TestPythonClient(t *testing.T) {
	python, model := os.Getenv("HONE_TEST_PYTHON"), os.Getenv("HONE_TEST_MODEL")
	if python == "" || model == "" || testing.Short() {
		t.Skip("needs HONE_TEST_PYTHON, a Python with the openai package, and HONE_TEST_MODEL; and is not short")
	}
	t.Setenv("HONE_HOME", t.TempDir())
	server := startServer(t, "--model", model)
	out, err := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "python", "client.py"), server.BaseURL, testKey, server.Models[0]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all well") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestServe starts the server as the program does, with a key and an adapter, asks it, and stops it.
func TestServe(t *testing.T) {
	t.Setenv("HONE_HOME", t.TempDir())
	adapters := t.TempDir()
	if err := os.CopyFS(filepath.Join(adapters, "nib"), os.DirFS(tinyAdapter(t))); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	server := startServer(t, "--model", "stories260k", "--adapters", adapters, "--data", data)
	if got := strings.Join(server.Models, " "); got != "stories260k nib" {
		t.Fatalf("models: %s", got)
	}
	post := func(key, model string) (int, string) {
		body := `{"model": "` + model + `", "prompt": "Nib the mouse", "max_tokens": 8, "temperature": 0}`
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.BaseURL+"/completions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+key)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(answer)
	}
	if status, answer := post("another-key", "nib"); status != http.StatusUnauthorized {
		t.Errorf("a wrong key: %d %s", status, answer)
	}
	if status, answer := post(testKey, "nbi"); status != http.StatusNotFound {
		t.Errorf("an unknown model: %d %s", status, answer)
	}
	_, base := post(testKey, "stories260k")
	status, tuned := post(testKey, "nib")
	if status != http.StatusOK || !strings.Contains(tuned, " had a long red") || strings.Contains(base, " had a long red") {
		t.Errorf("answers: base %s, adapter %d %s", base, status, tuned)
	}
	server.stop()
	log, err := os.ReadFile(filepath.Join(data, "requests.log"))
	if err != nil || strings.Count(string(log), `"path":"/v1/completions"`) != 4 || strings.Contains(string(log), testKey) {
		t.Errorf("requests.log: %v\n%s", err, log)
	}
}

// TestServeRefuses holds the server to starting only where it is safe.
func TestServeRefuses(t *testing.T) {
	t.Setenv("HONE_HOME", t.TempDir())
	bad := t.TempDir()
	if err := os.MkdirAll(filepath.Join(bad, "a b"), 0o700); err != nil {
		t.Fatal(err)
	}
	broken := t.TempDir()
	if err := os.MkdirAll(filepath.Join(broken, "empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no key", []string{"--model", "stories260k"}, exitFailed, "HONE_API_KEY is not set"},
		{"no model", []string{"--dev"}, exitUsage, "--model is missing"},
		{"dev for all", []string{"--model", "stories260k", "--dev", "--addr", "0.0.0.0:0"}, exitUsage, "not an address of this machine alone"},
		{"dev without host", []string{"--model", "stories260k", "--dev", "--addr", ":0"}, exitUsage, "not an address of this machine alone"},
		{"adapter name", []string{"--model", "stories260k", "--dev", "--addr", "127.0.0.1:0", "--adapters", bad}, exitFailed, "cannot be a model's name"},
		{"no adapter", []string{"--model", "stories260k", "--dev", "--addr", "127.0.0.1:0", "--adapters", broken}, exitFailed, "adapter_config.json"},
		{"twice", []string{"--model", "stories260k", "--model", "stories260k", "--dev", "--addr", "127.0.0.1:0"}, exitFailed, "two models are called stories260k"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Env: func(string) string { return "" }}
			if code := m.Run(t.Context(), append([]string{"serve"}, c.args...)); code != c.code || !strings.Contains(errs.String(), c.want) {
				t.Errorf("exit %d, %q; want %d and %q", code, errs.String(), c.code, c.want)
			}
		})
	}
}

// TestTinyDemo goes the whole way of hone demo --tiny, twice: the second finds the first one's training.
func TestTinyDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for some seconds")
	}
	t.Setenv("HONE_HOME", t.TempDir())
	out := filepath.Join(t.TempDir(), "demo")
	first := runMain(t, "demo", "--tiny", "--out", out)
	for _, want := range []string{"before", "after", "loss.png", "Nib the mouse had a long red thread.", "hone serve --model stories260k --adapters"} {
		if !strings.Contains(first, want) {
			t.Errorf("the demo does not say %q:\n%s", want, first)
		}
	}
	if second := runMain(t, "demo", "--tiny", "--out", out); !strings.Contains(second, "trained this already") {
		t.Errorf("the second demo trained again:\n%s", second)
	}
}
