package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"hone/catalog"
	"hone/engine/tokenizer"
)

// tokenizeCommand is "hone tokenize".
type tokenizeCommand struct {
	Model       string
	In          string
	Decode      bool
	JSON        bool
	Special     bool
	SkipSpecial bool
}

func (c *tokenizeCommand) run(ctx context.Context, m *Main, args []string) (err error) {
	f := newFlags("tokenize", "--model M [flags]",
		"turns each input line into a list of token ids, or back with --decode; control tokens in the text are matched",
		"echo 'Hello, world' | hone tokenize --model smollm2-135m-instruct",
		"echo '19556 28 905' | hone tokenize --model smollm2-135m-instruct --decode",
		`echo '"two\nlines"' | hone tokenize --model path/to/tokenizer.json --json`)
	f.StringVar(&c.Model, "model", "", "`M`: model name, folder, file, or a bare tokenizer.json")
	f.StringVar(&c.In, "in", "-", "`FILE` to read; - is stdin")
	f.BoolVar(&c.Decode, "decode", false, "ids to text")
	f.BoolVar(&c.JSON, "json", false, "text is a JSON string, ids are a JSON list, one a line")
	f.BoolVar(&c.Special, "special", false, "add BOS and EOS as the model does")
	f.BoolVar(&c.SkipSpecial, "skip-special", false, "leave control tokens out of decoded text")
	if _, err := f.parse(m, args, 0, 0); err != nil {
		return err
	}
	if c.Model == "" {
		return f.wrong("--model is missing")
	}
	tok, _, closeModel, err := catalog.OpenTokenizer(c.Model)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeModel()) }()
	in, err := openInput(m, c.In)
	if err != nil {
		return err
	}
	defer in.Close()
	out := bufio.NewWriter(m.Stdout)
	defer out.Flush()
	return eachLine(ctx, in, func(n int, line []byte) error {
		var text string
		var err error
		if c.Decode {
			text, err = c.decode(tok, line)
		} else {
			text, err = c.encode(tok, line)
		}
		if err != nil {
			return fmt.Errorf("%s line %d: %w", inputName(c.In), n, err)
		}
		_, err = fmt.Fprintln(out, text)
		return err
	})
}

// encode turns a line of text into a line of ids.
func (c *tokenizeCommand) encode(tok *tokenizer.Tokenizer, line []byte) (string, error) {
	text := string(line)
	if c.JSON {
		text = ""
		if err := decodeRow(line, &text); err != nil {
			return "", fmt.Errorf("not a JSON string: %w", err)
		}
	}
	ids := tok.Encode(text, tokenizer.Options{Control: true, AddSpecial: c.Special})
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(map[bool]byte{true: ',', false: ' '}[c.JSON])
		}
		b.WriteString(strconv.Itoa(int(id)))
	}
	if c.JSON {
		return "[" + b.String() + "]", nil
	}
	return b.String(), nil
}

// decode turns a line of ids into a line of text.
func (c *tokenizeCommand) decode(tok *tokenizer.Tokenizer, line []byte) (string, error) {
	ids, err := parseIDs(line, c.JSON)
	if err != nil {
		return "", err
	}
	for _, id := range ids {
		if _, ok := tok.Token(id); !ok {
			return "", fmt.Errorf("the vocabulary has no token %d", id)
		}
	}
	text := tok.Decode(ids, c.SkipSpecial)
	if !c.JSON {
		return text, nil
	}
	return plainJSON(text)
}

// parseIDs reads a list of ids: a JSON list, or numbers with spaces or commas between them.
func parseIDs(line []byte, strict bool) ([]int32, error) {
	line = bytes.TrimSpace(line)
	if strict || bytes.HasPrefix(line, []byte("[")) {
		var ids []int32
		if err := decodeRow(line, &ids); err != nil {
			return nil, fmt.Errorf("not a JSON list of ids: %w", err)
		}
		return ids, nil
	}
	var ids []int32
	for _, word := range strings.FieldsFunc(string(line), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		id, err := strconv.ParseInt(word, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%q is not a token id", word)
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

// plainJSON writes v as one line of JSON without HTML escapes.
func plainJSON(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// maxLine is the longest input line accepted, in bytes.
const maxLine = 64 << 20

// eachLine calls f with every line of r (numbered from 1, without its line feed) until f fails or ctx ends.
func eachLine(ctx context.Context, r io.Reader, f func(n int, line []byte) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), maxLine)
	s.Split(splitLines)
	n := 0
	for s.Scan() {
		n++
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := f(n, s.Bytes()); err != nil {
			return err
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("line %d is longer than %d MB", n+1, maxLine>>20)
	}
	return s.Err()
}

// splitLines splits at line feeds alone: a carriage return belongs to the text.
func splitLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// openInput opens a file to read, or stdin for "-".
func openInput(m *Main, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(m.Stdin), nil
	}
	return os.Open(path)
}

// inputName names an input in messages.
func inputName(path string) string {
	if path == "-" {
		return "stdin"
	}
	return path
}
