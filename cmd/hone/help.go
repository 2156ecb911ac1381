package main

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"hone/engine/kernel"
)

// release is the version of this source tree.
const release = "0.1.0"

// helpCommand is "hone help".
type helpCommand struct{}

func (c *helpCommand) run(ctx context.Context, m *Main, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "--help" || args[0] == "-h" {
		printOverview(m.Stdout)
		return nil
	}
	cmd := commandNamed(args[0])
	if cmd == nil {
		return &usageError{command: "help", err: fmt.Errorf("unknown command %q%s", args[0], didYouMean(args[0], commandNames()))}
	}
	return cmd.run(ctx, m, append(args[1:], "--help"))
}

// commit is what the Makefile says this program was built from, with a + where the tree had changes.
var commit string

// builtFrom is the commit this program was built from, or "" where nothing says it.
func builtFrom() string {
	if info, ok := debug.ReadBuildInfo(); ok && commit == "" {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return commit
}

// versionCommand is "hone version".
type versionCommand struct {
	JSON bool
}

func (c *versionCommand) run(_ context.Context, m *Main, args []string) error {
	f := newFlags("version", "[--json]", "says which hone this is, which Go built it and which CPU code it uses", "hone version --json")
	f.BoolVar(&c.JSON, "json", false, "print JSON")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	commit := builtFrom()
	facts := map[string]string{"version": release, "commit": commit, "go": runtime.Version(),
		"platform": runtime.GOOS + "/" + runtime.GOARCH, "cpu": kernel.Level()}
	if c.JSON {
		return json.NewEncoder(m.Stdout).Encode(facts)
	}
	_, err := fmt.Fprintf(m.Stdout, "hone %s %.12s %s %s cpu %s\n", release, commit, facts["go"], facts["platform"], facts["cpu"])
	return err
}
