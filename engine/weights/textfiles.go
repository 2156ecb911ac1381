package weights

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxTemplate caps chat_template.jinja; the longest published ones have some 30 kB.
const maxTemplate = 4 << 20

// readTextFiles reads what else a Hugging Face folder says about text: generation_config.json, tokenizer.json,
// tokenizer_config.json, chat_template.jinja and the licence in README.md. All of them may be absent.
func (m *Model) readTextFiles(dir string) error {
	var generation struct {
		EOS ids `json:"eos_token_id"`
	}
	if err := readOptional(filepath.Join(dir, "generation_config.json"), &generation); err != nil {
		return err
	}
	for _, id := range generation.EOS {
		if !slices.Contains(m.EOS, id) {
			m.EOS = append(m.EOS, id)
		}
	}
	if p := filepath.Join(dir, "tokenizer.json"); exists(p) {
		m.TokenizerPath = p
	}
	var tok struct {
		Template chatTemplate `json:"chat_template"`
		BOS      tokenText    `json:"bos_token"`
		EOS      tokenText    `json:"eos_token"`
	}
	if err := readOptional(filepath.Join(dir, "tokenizer_config.json"), &tok); err != nil {
		return err
	}
	m.ChatTemplate, m.BOSToken, m.EOSToken = string(tok.Template), string(tok.BOS), string(tok.EOS)
	jinja, err := readCapped(filepath.Join(dir, "chat_template.jinja"), maxTemplate)
	switch {
	case err == nil:
		m.ChatTemplate = string(jinja)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	m.Licence = readLicence(filepath.Join(dir, "README.md"))
	return nil
}

func readOptional(path string, v any) error {
	err := readJSON(path, v)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// chatTemplate is the field chat_template: a string, or a list of named templates of which "default" counts.
type chatTemplate string

func (t *chatTemplate) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil { // null leaves it empty
		*t = chatTemplate(one)
		return nil
	}
	var list []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return errors.New("chat_template: want a string or a list of {name, template}")
	}
	for _, e := range list {
		if e.Name == "default" {
			*t = chatTemplate(e.Template)
		}
	}
	return nil
}

// tokenText is a special token: its text, or an object with the text as content.
type tokenText string

func (t *tokenText) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = tokenText(s)
		return nil
	}
	var added struct {
		Content string `json:"content"`
	}
	if err := json.Unmarshal(data, &added); err != nil {
		return errors.New("want a token's text or an object with content")
	}
	*t = tokenText(added.Content)
	return nil
}

// readLicence returns the licence that a model card names in its front matter, "" if it names none.
func readLicence(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	head := make([]byte, 16<<10)
	n, _ := f.Read(head)
	lines := strings.Split(string(head[:n]), "\n")
	if strings.TrimSpace(lines[0]) != "---" {
		return ""
	}
	for _, l := range lines[1:] {
		if strings.TrimSpace(l) == "---" {
			break
		}
		if v, ok := strings.CutPrefix(l, "license:"); ok {
			return strings.Trim(strings.TrimSpace(v), `"'`)
		}
	}
	return ""
}
