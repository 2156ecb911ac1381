// Hone fine-tunes and serves language models on the machine you have. Each subcommand is a struct in a file of its
// own; this file picks one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of every subcommand.
const (
	exitFine   = 0
	exitFailed = 1
	exitUsage  = 2
	exitSignal = 130 // a second Ctrl-C
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals // the first asks the command to save and stop
		cancel()
		<-signals // the second means now
		os.Exit(exitSignal)
	}()
	m := &Main{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Env: os.Getenv, YieldTo: yieldTo}
	if os.Args[0] == "./hone" {
		m.Name = os.Args[0]
	}
	os.Exit(m.Run(ctx, os.Args[1:]))
}

// Main is the program with its surroundings passed in, so that tests run it in process.
type Main struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Env            func(string) string
	Name           string // how the program was called, for commands it suggests; "": hone

	YieldTo func(niceness int) error // lowers the process's priority; nil: it is not ours to lower
}

// name is how to call the program again.
func (m *Main) name() string {
	if m.Name == "" {
		return "hone"
	}
	return m.Name
}

// command is what every subcommand is.
type command interface {
	// run does the command with the arguments after its name.
	run(ctx context.Context, m *Main, args []string) error
}

// commandList names the subcommands in the order the help shows them.
var commandList = []struct{ name, summary string }{
	{"demo", "fine-tunes a small model and shows what changed, in one go"},
	{"pull", "gets a model into the cache"},
	{"models", "lists the models that are here"},
	{"data", "checks training data (data check) or shows what is trained (data preview)"},
	{"train", "fine-tunes a model"},
	{"plot", "draws the losses of several runs"},
	{"chat", "talks with a model in the terminal"},
	{"generate", "turns prompts into completions, as JSONL"},
	{"score", "gives the log-probability of every token of given rows, as JSONL"},
	{"tokenize", "turns text into token ids and back"},
	{"template", "renders a chat template"},
	{"eval", "measures a model's answers against expected ones"},
	{"serve", "serves models and adapters over the OpenAI API"},
	{"bench", "measures tokens per second of training, prefill and decode here"},
	{"version", "says which hone this is"},
	{"help", "shows this text, or a command's"},
}

// commandNamed returns a fresh command, or nil if there is none of that name.
func commandNamed(name string) command {
	switch name {
	case "pull":
		return &pullCommand{}
	case "models":
		return &modelsCommand{}
	case "data":
		return &dataCommand{}
	case "train":
		return &trainCommand{}
	case "plot":
		return &plotCommand{}
	case "chat":
		return &chatCommand{}
	case "generate":
		return &generateCommand{}
	case "score":
		return &scoreCommand{}
	case "tokenize":
		return &tokenizeCommand{}
	case "template":
		return &templateCommand{}
	case "eval":
		return &evalCommand{}
	case "serve":
		return &serveCommand{}
	case "bench":
		return &benchCommand{}
	case "demo":
		return &demoCommand{}
	case "version":
		return &versionCommand{}
	case "help":
		return &helpCommand{}
	}
	return nil
}

// Run runs the program with args (without the program's name) and returns its exit code.
func (m *Main) Run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		printOverview(m.Stderr)
		return exitUsage
	}
	name := args[0]
	switch name {
	case "-h", "--help", "-help":
		name = "help"
	case "-v", "--version", "-version":
		name = "version"
	}
	cmd := commandNamed(name)
	if cmd == nil {
		fmt.Fprintf(m.Stderr, "hone: unknown command %q%s\nRun 'hone help' for the list.\n", name, didYouMean(name, commandNames()))
		return exitUsage
	}
	return m.report(name, cmd.run(ctx, m, args[1:]))
}

// report prints what went wrong and turns it into the exit code.
func (m *Main) report(name string, err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, errHelpShown):
		return exitFine
	case errors.As(err, &usage):
		fmt.Fprintf(m.Stderr, "hone %s: %v\nRun 'hone %s --help' for its flags.\n", usage.command, err, usage.command)
		return exitUsage
	case errors.Is(err, errReported):
		return exitFailed
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(m.Stderr, "hone %s: interrupted\n", name)
		return exitFailed
	}
	fmt.Fprintf(m.Stderr, "hone %s: %v\n", name, err)
	return exitFailed
}

// commandNames lists the subcommands.
func commandNames() []string {
	var names []string
	for _, c := range commandList {
		names = append(names, c.name)
	}
	return names
}

// printOverview writes the program's own help.
func printOverview(w io.Writer) {
	fmt.Fprint(w, "hone fine-tunes and serves language models on the machine you have.\n\nUsage: hone COMMAND [flags]\n\nCommands:\n")
	for _, c := range commandList {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nStart with:\n  hone demo            eight minutes on two cores: download, train, measure, ask\n"+
		"  hone demo --tiny     the same path in seconds, with no download\n  hone COMMAND --help  flags and examples of a command\n")
}
