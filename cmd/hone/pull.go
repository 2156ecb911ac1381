package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"hone/catalog"
)

// pullCommand is "hone pull".
type pullCommand struct {
	As   string
	JSON bool
}

func (c *pullCommand) run(ctx context.Context, m *Main, args []string) error {
	f := newFlags("pull", "NAME [flags]",
		"gets a model into the cache: one of the catalogue, or a file or folder on this machine, which stays where it is",
		"hone pull smollm2-135m-instruct", "hone pull stories260k", "hone pull ./my-model.gguf --as mine")
	f.StringVar(&c.As, "as", "", "`NAME` of a local model in the cache (default: from its file name)")
	f.BoolVar(&c.JSON, "json", false, "print JSON")
	rest, err := f.parse(m, args, 1, 1)
	if err != nil {
		return err
	}
	name, err := pull(ctx, m, rest[0], c.As)
	if err != nil {
		return err
	}
	path, err := catalog.Resolve(name)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(m.Stdout).Encode(map[string]string{"name": name, "path": path})
	}
	_, err = fmt.Fprintf(m.Stdout, "%s is at %s\n", name, path)
	return err
}

// pull pulls a model and shows what is being done and for how long.
func pull(ctx context.Context, m *Main, name, as string) (string, error) {
	spin := startSpinner(m.Stderr)
	defer spin.stop()
	return catalog.Pull(ctx, name, catalog.PullOptions{As: as, Stage: spin.say})
}

// modelsCommand is "hone models".
type modelsCommand struct {
	JSON bool
}

func (c *modelsCommand) run(_ context.Context, m *Main, args []string) error {
	f := newFlags("models", "[flags]", "lists the models in the cache and those that 'hone pull' can get", "hone models", "hone models --json")
	f.BoolVar(&c.JSON, "json", false, "print JSON, a list of models")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	all, err := catalog.List()
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(m.Stdout).Encode(all)
	}
	w := tabwriter.NewWriter(m.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSIZE\tARCHITECTURE\tQUANTISATION\tLICENCE\tWHERE")
	for _, i := range all {
		where := i.Path
		switch {
		case where == "" && i.Here:
			where = "inside the program"
		case where == "":
			where = "not here: hone pull " + i.Name
		case !i.Here:
			where += " (gone)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", i.Name, megabytes(i.Size), dash(i.Architecture), dash(i.Quantisation), dash(i.Licence), where)
	}
	return w.Flush()
}

// megabytes writes a size for people.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// dash stands in for a fact a file does not tell.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
