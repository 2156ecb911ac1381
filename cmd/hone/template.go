package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"hone/catalog"
	"hone/engine/chat"
)

// templateCommand is "hone template".
type templateCommand struct {
	Model    string
	Template string
	Data     string
	Now      string
}

func (c *templateCommand) run(_ context.Context, m *Main, args []string) error {
	f := newFlags("template", "(--model M | --template T.jinja) --data D.json [flags]",
		"renders a chat template and prints the text as it is, with no line feed added",
		"hone template --model smollm2-135m-instruct --data chat.json",
		"hone template --template chat_template.jinja --data chat.json --now 2025-07-10T12:00:00",
		`echo '{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}' | hone template --model smollm2-135m-instruct --data -`)
	f.StringVar(&c.Model, "model", "", "`M`: render this model's own template")
	f.StringVar(&c.Template, "template", "", "Jinja `FILE` to render")
	f.StringVar(&c.Data, "data", "", "JSON `FILE` with the variables (messages, tools, add_generation_prompt, …); - is stdin")
	f.StringVar(&c.Now, "now", "", "`TIME` that strftime_now sees, as 2025-07-10T12:00:00 (default: now)")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	if (c.Model == "") == (c.Template == "") {
		return f.wrong("give one of --model and --template")
	}
	if c.Data == "" {
		return f.wrong("--data is missing")
	}
	now := time.Now()
	if c.Now != "" {
		var err error
		if now, err = parseTime(c.Now); err != nil {
			return f.wrong("--now: %w", err)
		}
	}
	t, err := c.open()
	if err != nil {
		return err
	}
	in, err := openInput(m, c.Data)
	if err != nil {
		return err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxLine))
	if err != nil {
		return fmt.Errorf("read %s: %w", inputName(c.Data), err)
	}
	if len(data) == 0 {
		return fmt.Errorf("%s: is empty; want a JSON object with the variables, {} for none", inputName(c.Data))
	}
	text, err := t.RenderData(data, now)
	if err != nil {
		return fmt.Errorf("%s: %w", inputName(c.Data), err)
	}
	_, err = io.WriteString(m.Stdout, text)
	return err
}

// open gets the template from the model or the file.
func (c *templateCommand) open() (*chat.Template, error) {
	if c.Template != "" {
		src, err := os.ReadFile(c.Template)
		if err != nil {
			return nil, err
		}
		t, err := chat.NewTemplate(string(src), "", "")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Template, err)
		}
		return t, nil
	}
	_, t, closeModel, err := catalog.OpenTokenizer(c.Model)
	if err != nil {
		return nil, err
	}
	if err := closeModel(); err != nil {
		return nil, err
	}
	if t == nil {
		return nil, fmt.Errorf("model %s has no chat template; give one with --template", c.Model)
	}
	return t, nil
}

// parseTime reads a point in time in the forms a person may write.
func parseTime(s string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New(s + " is not a time; write it as 2025-07-10T12:00:00")
}
