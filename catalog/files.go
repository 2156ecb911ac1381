package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"hone/engine/tokenizer"
)

// textFiles are the files of a Hugging Face folder that say how its model reads and writes text.
var textFiles = []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json"}

// Files returns, by name, what must lie beside weights trained from the model for the folder to be a whole model:
// copies of the files beside the base's weights, or for a base with all of it in one file (GGUF, llama2.c) a
// tokenizer.json, tokenizer_config.json and generation_config.json that say the same.
func (m *Model) Files() (map[string][]byte, error) {
	switch {
	case m.Weights == nil:
		return nil, nil
	case m.Weights.Vocab != nil:
		return m.writeFiles(tokenizer.Vocab(*m.Weights.Vocab))
	}
	dir := m.Weights.Path
	if isFile(dir) {
		dir = filepath.Dir(dir)
	}
	files := map[string][]byte{}
	for _, name := range textFiles {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("copy the base's %s: %w", name, err)
		}
		files[name] = data
	}
	return files, nil
}

// tokenizerConfig is tokenizer_config.json.
type tokenizerConfig struct {
	Class        string `json:"tokenizer_class"`
	BOS          string `json:"bos_token,omitempty"`
	EOS          string `json:"eos_token,omitempty"`
	UNK          string `json:"unk_token,omitempty"`
	PAD          string `json:"pad_token,omitempty"`
	CleanUp      bool   `json:"clean_up_tokenization_spaces"`
	MaxLength    int    `json:"model_max_length,omitempty"`
	ChatTemplate string `json:"chat_template,omitempty"`
}

// generationConfig is generation_config.json.
type generationConfig struct {
	BOS *int32 `json:"bos_token_id,omitempty"`
	EOS any    `json:"eos_token_id,omitempty"` // an id or a list
	PAD *int32 `json:"pad_token_id,omitempty"`
}

// writeFiles makes the files of a vocabulary.
func (m *Model) writeFiles(v tokenizer.Vocab) (map[string][]byte, error) {
	tok, err := v.JSON()
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	c := tokenizerConfig{Class: "PreTrainedTokenizerFast", BOS: m.Weights.BOSToken, EOS: m.Weights.EOSToken, ChatTemplate: m.Weights.ChatTemplate}
	if m.Base != nil {
		c.MaxLength = m.Base.Config().MaxPositions
	}
	// A token named here becomes special to those who load it, so the others are left to tokenizer.json.
	special := func(id int32) string {
		if id < 0 || !m.Tokenizer.IsSpecial(id) {
			return ""
		}
		return v.Tokens[id]
	}
	c.UNK, c.PAD = special(v.UNK), special(v.PAD)
	var g generationConfig
	if v.BOS >= 0 {
		g.BOS = &v.BOS
	}
	if v.PAD >= 0 {
		g.PAD = &v.PAD
	}
	switch len(m.EOS) {
	case 0:
	case 1:
		g.EOS = m.EOS[0]
	default:
		g.EOS = m.EOS
	}
	files := map[string][]byte{"tokenizer.json": tok}
	for name, value := range map[string]any{"tokenizer_config.json": c, "generation_config.json": g} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		if err := e.Encode(value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = b.Bytes()
	}
	return files, nil
}
