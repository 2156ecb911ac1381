package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"hone/engine"
	"hone/platform/api"
	"hone/serve"
)

// serveCommand is "hone serve".
type serveCommand struct {
	Models    list
	Adapters  string
	Addr      string
	Data      string
	Dev       bool
	Batch     int
	Precision string
	Threads   int
	Grace     time.Duration
	JSON      bool
}

// adapterName is what an adapter's folder, and so the model it becomes, may be called.
var adapterName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$`)

func (c *serveCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("serve", "--model M [--adapters DIR] [flags]",
		"serves models and adapters over the OpenAI API: /v1/models, /v1/chat/completions, /v1/completions, /health. "+
			"Clients send the key in $HONE_API_KEY; --dev needs none and serves this machine alone. The first Ctrl-C or SIGTERM lets running requests finish, the second ends at once",
		"hone serve --model smollm2-135m-instruct --dev",
		"HONE_API_KEY=… hone serve --model smollm2-135m-instruct --adapters adapters --addr 127.0.0.1:8080")
	f.Var(&c.Models, "model", "`M`: model name, folder or file; may be given again")
	f.StringVar(&c.Adapters, "adapters", "", "`DIR`: each folder in it is an adapter and becomes a model of that name")
	f.StringVar(&c.Addr, "addr", "127.0.0.1:8080", "`HOST:PORT` to listen on")
	f.StringVar(&c.Data, "data", "", "`DIR` for the server's own files: requests.log, a JSON line a request")
	f.BoolVar(&c.Dev, "dev", false, "ask for no key, and serve this machine alone")
	f.IntVar(&c.Batch, "batch", serve.DefaultMaxStreams, "texts generated together for each model; others wait")
	f.StringVar(&c.Precision, "precision", engine.AutoPrecision, precisionHelp)
	f.IntVar(&c.Threads, "threads", 0, "threads to use; 0 is all")
	f.DurationVar(&c.Grace, "grace", 30*time.Second, "how long running requests may go on after the first signal")
	f.BoolVar(&c.JSON, "json", false, "print the address and the models as JSON")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	key := m.Env("HONE_API_KEY")
	switch {
	case len(c.Models) == 0:
		return f.wrong("--model is missing")
	case c.Batch < 1:
		return f.wrong("--batch must be at least 1")
	case c.Dev:
		key = ""
		if err := loopbackOnly(c.Addr); err != nil {
			return f.wrong("--dev: %w", err)
		}
	case key == "":
		return errors.New("HONE_API_KEY is not set: set it to the key that clients must send, or use --dev to serve this machine alone without one")
	}
	load, err := loadOptions(m, f, c.Threads, c.Precision)
	if err != nil {
		return err
	}
	return c.serve(ctx, m, key, load)
}

// serve loads everything, says where it listens and answers until ctx is done.
func (c *serveCommand) serve(ctx context.Context, m *Main, key string, load engine.LoadOptions) error {
	logger, closeLog, err := c.openLog()
	if err != nil {
		return err
	}
	defer closeLog()
	models := &served{}
	defer models.close()
	for _, name := range c.Models {
		if err := models.addBase(name, c.Batch, load, logger); err != nil {
			return err
		}
	}
	if c.Adapters != "" {
		if err := models.addAdapters(c.Adapters); err != nil {
			return err
		}
	}
	server, err := api.New(models, api.Options{APIKey: key, Dev: c.Dev, Logger: logger})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.Addr, err)
	}
	if err := c.announce(m.Stdout, listener.Addr().String(), models, key != ""); err != nil {
		return err
	}
	if loopbackOnly(c.Addr) != nil {
		fmt.Fprintln(m.Stderr, "warning: this is plain HTTP on a network address; put a proxy with TLS in front of it")
	}
	return server.Serve(ctx, listener, c.Grace)
}

// announce says where the server is and how to ask it.
func (c *serveCommand) announce(w io.Writer, addr string, models *served, key bool) error {
	var names []string
	for _, m := range models.List() {
		names = append(names, m.ID)
	}
	if c.JSON {
		return json.NewEncoder(w).Encode(map[string]any{"base_url": "http://" + addr + "/v1", "models": names})
	}
	header := ""
	if key {
		header = ` -H "Authorization: Bearer $HONE_API_KEY"`
	}
	last := models.all[len(models.all)-1]
	route, body := "chat/completions", `"messages": [{"role": "user", "content": "Hello!"}]`
	if last.Scheduler.Model().Template == nil {
		route, body = "completions", `"prompt": "Once upon a time", "max_tokens": 60`
	}
	_, err := fmt.Fprintf(w, `serving %s
base URL: http://%s/v1

curl http://%s/v1/%s%s -H 'Content-Type: application/json' \
  -d '{"model": "%s", %s}'
`, strings.Join(names, ", "), addr, addr, route, header, last.ID, body)
	return err
}

// openLog opens the log of requests, or none.
func (c *serveCommand) openLog() (*slog.Logger, func(), error) {
	if c.Data == "" {
		return slog.New(slog.DiscardHandler), func() {}, nil
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(filepath.Join(c.Data, "requests.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	return slog.New(slog.NewJSONHandler(file, nil)), func() { file.Close() }, nil
}

// loopbackOnly says why addr can be reached from other machines.
func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is not an address of this machine alone; use 127.0.0.1:PORT", addr)
}

// served is the models of a server: bases, each with the scheduler that runs it, and adapters on them. Nothing is
// added once the server runs.
type served struct {
	bases []servedBase
	all   []api.Model
}

// servedBase is an opened model and its scheduler.
type servedBase struct {
	model *opened
	s     *serve.Scheduler
	stop  func()
}

// List returns the models in the order they were added.
func (s *served) List() []api.Model { return s.all }

// Lookup finds a model by its name.
func (s *served) Lookup(name string) (api.Model, bool) {
	for _, m := range s.all {
		if m.ID == name {
			return m, true
		}
	}
	return api.Model{}, false
}

// addBase opens a model and starts its scheduler.
func (s *served) addBase(name string, batch int, load engine.LoadOptions, logger *slog.Logger) error {
	model, err := openModel(name, "", load)
	if err != nil {
		return err
	}
	if model.Tokenizer == nil {
		model.Close()
		return fmt.Errorf("model %s has no tokenizer, so it cannot be served: put its tokenizer.json beside the weights", name)
	}
	return s.addOpened(model, servedName(name), batch, logger)
}

// addOpened starts a scheduler over an opened model, which served closes.
func (s *served) addOpened(model *opened, id string, batch int, logger *slog.Logger) error {
	scheduler := serve.New(serve.Model{Base: model.Base, Tokenizer: model.Tokenizer, Template: model.Template, EOS: model.EOS},
		serve.Options{MaxStreams: batch, Logger: logger})
	ran := make(chan struct{})
	// The scheduler outlives the signal that ends the server, so that running requests can finish.
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ran)
		_ = scheduler.Run(ctx) // its requests have ended with the same error
	}()
	s.bases = append(s.bases, servedBase{model, scheduler, func() { cancel(); <-ran }})
	return s.add(api.Model{ID: id, Created: modified(model.Path), OwnedBy: "hone", Scheduler: scheduler})
}

// add registers a model under a name that is free.
func (s *served) add(m api.Model) error {
	if _, taken := s.Lookup(m.ID); taken {
		return fmt.Errorf("two models are called %s; rename one", m.ID)
	}
	s.all = append(s.all, m)
	return nil
}

// addAdapters loads each folder in dir onto the base it fits.
func (s *served) addAdapters(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read adapters: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if st, err := os.Stat(path); err != nil || !st.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if !adapterName.MatchString(e.Name()) {
			return fmt.Errorf("adapter folder %q cannot be a model's name; use letters, digits, '.', '_' and '-'", path)
		}
		base, adapter, err := s.place(path)
		if err != nil {
			return err
		}
		if err := s.add(api.Model{ID: e.Name(), Created: modified(path), OwnedBy: "hone", Scheduler: base.s, Adapter: adapter}); err != nil {
			return err
		}
	}
	return nil
}

// place finds the one base an adapter fits and loads it there.
func (s *served) place(path string) (servedBase, *engine.Adapter, error) {
	var base servedBase
	var adapter *engine.Adapter
	var refusals []error
	for _, b := range s.bases {
		a, err := b.model.Base.LoadAdapter(path)
		switch {
		case err != nil:
			refusals = append(refusals, err)
		case adapter != nil:
			return base, nil, fmt.Errorf("adapter %s fits both %s and %s; serve them apart", path, base.model.Name, b.model.Name)
		default:
			base, adapter = b, a
		}
	}
	if adapter == nil {
		return base, nil, errors.Join(refusals...)
	}
	return base, adapter, adapter.Seal()
}

// close ends the schedulers and closes the models.
func (s *served) close() {
	for _, b := range s.bases {
		b.stop()
		_ = b.model.Close() // the program is ending
	}
}

// servedName is a model's name on the wire: a catalogue name as it is, a path by its last part.
func servedName(name string) string {
	name = filepath.Base(name)
	for _, ext := range []string{".gguf", ".safetensors", ".bin"} {
		name = strings.TrimSuffix(name, ext)
	}
	return name
}

// modified is when a file was last written; zero time if that is not known.
func modified(path string) time.Time {
	st, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return st.ModTime()
}
