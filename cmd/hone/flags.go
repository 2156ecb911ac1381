package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// usageError is wrong use of a command: exit code 2.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

var (
	errHelpShown = errors.New("help shown")       // --help was asked for and printed
	errReported  = errors.New("already reported") // the command failed and has said so itself
)

// flags is a subcommand's flag set with its help. Flags and arguments may come in any order.
type flags struct {
	*flag.FlagSet
	usage    string // the arguments, as "NAME [flags]"
	about    string // what the command does
	examples []string
}

// newFlags makes the flag set of the subcommand name.
func newFlags(name, usage, about string, examples ...string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), usage: usage, about: about, examples: examples}
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	return f
}

// wrong makes a usage error of this command.
func (f *flags) wrong(format string, args ...any) error {
	return &usageError{command: f.Name(), err: fmt.Errorf(format, args...)}
}

// parse reads args and returns those that are not flags; all after "--" are arguments. --help prints the help on
// stdout and returns errHelpShown. The number of arguments must lie in [least, most]; most < 0 means any number.
func (f *flags) parse(m *Main, args []string, least, most int) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		if args[0] == "--" {
			rest = append(rest, args[1:]...)
			break
		}
		if err := f.Parse(args); err != nil {
			return nil, f.explain(m, err)
		}
		parsed := args[:len(args)-f.NArg()]
		args = f.Args()
		if len(parsed) > 0 && parsed[len(parsed)-1] == "--" {
			rest = append(rest, args...)
			break
		}
		if len(args) > 0 {
			rest = append(rest, args[0])
			args = args[1:]
		}
	}
	if len(rest) < least {
		return nil, f.wrong("too few arguments; usage: hone %s %s", f.Name(), f.usage)
	}
	if most >= 0 && len(rest) > most {
		return nil, f.wrong("unexpected argument %q; usage: hone %s %s", rest[most], f.Name(), f.usage)
	}
	return rest, nil
}

// explain turns an error of package flag into ours.
func (f *flags) explain(m *Main, err error) error {
	if errors.Is(err, flag.ErrHelp) {
		f.help(m.Stdout)
		return errHelpShown
	}
	if name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -"); ok {
		name = strings.TrimPrefix(name, "-")
		var known []string
		f.VisitAll(func(x *flag.Flag) { known = append(known, "--"+x.Name) })
		return f.wrong("unknown flag --%s%s", name, didYouMean("--"+name, known))
	}
	return f.wrong("%w", err)
}

// help writes the command's help.
func (f *flags) help(w io.Writer) {
	fmt.Fprintf(w, "hone %s: %s\n\nUsage: hone %s %s\n", f.Name(), f.about, f.Name(), f.usage)
	width := 0
	f.VisitAll(func(x *flag.Flag) {
		kind, _ := flag.UnquoteUsage(x)
		width = max(width, len(x.Name)+len(kind)+1)
	})
	if width > 0 {
		fmt.Fprint(w, "\nFlags:\n")
	}
	f.VisitAll(func(x *flag.Flag) {
		kind, usage := flag.UnquoteUsage(x)
		dash := "--"
		if len(x.Name) == 1 {
			dash = "-"
		}
		left := strings.TrimSpace(x.Name + " " + kind)
		fmt.Fprintf(w, "  %2s%-*s  %s", dash, width, left, usage)
		if x.DefValue != "" && x.DefValue != "false" && x.DefValue != "[]" {
			fmt.Fprintf(w, " (default %s)", x.DefValue)
		}
		fmt.Fprintln(w)
	})
	if len(f.examples) > 0 {
		fmt.Fprint(w, "\nExamples:\n")
		for _, e := range f.examples {
			fmt.Fprintf(w, "  %s\n", e)
		}
	}
}

// list is a flag that may be given many times.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// isTerminal reports whether w is a terminal a person looks at.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
