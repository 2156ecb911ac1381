package chat

import (
	"encoding/json"
	"strings"
	"testing"

	"hone/engine/tokenizer"
)

// byteTokenizer has a token for every byte and the given control tokens.
func byteTokenizer(t testing.TB, control ...string) *tokenizer.Tokenizer {
	t.Helper()
	v := tokenizer.Vocab{Model: "gpt2", Pre: "gpt-2", BOS: -1, EOS: -1, UNK: -1, PAD: -1}
	for b, extra := 0, 0; b < 256; b++ { // the byte alphabet of GPT-2
		r := rune(b)
		if b < '!' || b > '~' && b < 0xa1 || b == 0xad {
			r = rune(256 + extra)
			extra++
		}
		v.Tokens = append(v.Tokens, string(r))
		v.Types = append(v.Types, 1)
	}
	for _, c := range control {
		v.Tokens = append(v.Tokens, c)
		v.Types = append(v.Types, 3)
	}
	tok, err := tokenizer.FromVocab(v)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

const (
	chatML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
	instruct = "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content|trim + eos_token }}{% endif %}{% endfor %}"
	// Drops the thinking of all but the last turn and wraps what is left, as reasoning models do.
	thinking = "{% for m in messages %}{% set c = m.content %}{% if m.role == 'assistant' and not loop.last and '</think>' in c %}{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}" +
		"{{ '<|im_start|>' ~ m.role ~ '\n' }}{% if m.role == 'assistant' and loop.last and m.reasoning_content is defined %}{{ '<think>\n' ~ m.reasoning_content ~ '\n</think>\n\n' }}{% endif %}{{ c ~ '<|im_end|>\n' }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
	// Raises unless user and assistant alternate, and ends turns with text alone.
	plainText = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}" +
		"{{ ('Human: ' if m.role == 'user' else 'AI: ') + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}AI:{% endif %}"
	// Ends a turn only where another one follows.
	between = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content }}{% if not loop.last or add_generation_prompt %}{{ '<|im_end|>\n' }}{% endif %}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
	// Has control tokens that open turns, none that ends them.
	opening    = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
	generation = "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>A\n{% generation %}{{ m.content }}<|im_end|>{% endgeneration +%}\n{% else %}<|im_start|>{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
	tooling    = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}{% for c in m.tool_calls or [] +%}\n<tool_call>\n{{ c.function.name }} {{ c.function.arguments | tojson }}\n</tool_call>{% endfor %}<|im_end|>\n{% endfor %}" +
		"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
	concatenated = "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.tool_calls or [] %}{{ c.function.name + '(' + c.function.arguments + ')' }}{% else %}{{ m.content }}{% endfor %}<|im_end|>\n{% endfor %}"
)

func TestMasks(t *testing.T) {
	tok := byteTokenizer(t, "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>")
	for _, tt := range []struct{ name, template, messages, want string }{
		{"chatml", chatML, `[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"b"}]`,
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n⟦a<|im_end|>⟧\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>⟧\n"},
		{"weight", chatML, `[{"role":"user","content":"q"},{"weight":0,"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"b","weight":1}]`,
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>⟧\n"},
		{"empty content", chatML, `[{"role":"user","content":"q"},{"role":"assistant","content":""}]`,
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n⟦<|im_end|>⟧\n"},
		{"assistant first", chatML, `[{"role":"assistant","content":"a"}]`, "<|im_start|>assistant\n⟦a<|im_end|>⟧\n"},
		{"two in a row", chatML, `[{"role":"assistant","content":"a"},{"role":"assistant","content":"b"}]`,
			"<|im_start|>assistant\n⟦a<|im_end|>⟧\n<|im_start|>assistant\n⟦b<|im_end|>⟧\n"},
		{"the prompt's text in the content", chatML, `[{"role":"user","content":"<|im_start|>assistant\n"},{"role":"assistant","content":"x<|im_start|>assistant\ny"}]`,
			"<|im_start|>user\n<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n⟦x<|im_start|>assistant\ny<|im_end|>⟧\n"},
		{"no generation prompt", instruct, `[{"role":"user","content":"q"},{"role":"assistant","content":" a "},{"role":"user","content":"r"},{"role":"assistant","content":"b"}]`,
			"<s>[INST] q [/INST] ⟦a</s>⟧[INST] r [/INST] ⟦b</s>⟧"},
		{"history rewritten", thinking, `[{"role":"user","content":"q"},{"role":"assistant","content":"<think>\nhm\n</think>\n\na"},{"role":"user","content":"r"},{"role":"assistant","content":"b","reasoning_content":"ho"}]`,
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n⟦a<|im_end|>⟧\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n⟦<think>\nho\n</think>\n\nb<|im_end|>⟧\n"},
		{"text alone", plainText, `[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"b"}]`,
			"Human: q\nAI:⟦ a⟧\nHuman: r\nAI:⟦ b⟧\n"},
		{"ended by the next turn", between, `[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"b"}]`,
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n⟦a<|im_end|>⟧\n<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n⟦b⟧"},
		{"only opened", opening, `[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"b"}]`,
			"<|user|>\nq<|assistant|>⟦\na⟧<|user|>\nr<|assistant|>⟦\nb⟧"},
		{"generation blocks", generation, `[{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"r"},{"role":"assistant","content":"b","weight":0}]`,
			"<|im_start|>q<|im_end|>\n<|im_start|>A\n⟦a<|im_end|>⟧\n<|im_start|>r<|im_end|>\n<|im_start|>A\nb<|im_end|>\n"},
		{"tool calls", tooling, `[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}}]},{"role":"tool","content":"res"},{"role":"assistant","content":"b"}]`,
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n⟦\n<tool_call>\nf {\"a\": 1}\n</tool_call><|im_end|>⟧\n<|im_start|>tool\nres<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>⟧\n"},
		{"arguments as a string where the template wants one", concatenated, `[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"a\": 1}"}}]}]`,
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n⟦f({\"a\": 1})<|im_end|>⟧\n"},
		{"calls without a generation prompt", "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]{% elif m.tool_calls %}[CALLS] [{{ m.tool_calls[0].function|tojson }}]{{ eos_token }}{% else %}{{ m.content + eos_token }}{% endif %}{% endfor %}",
			`[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},{"role":"assistant","content":"b"}]`,
			"<s>[INST]q[/INST]⟦[CALLS] [{\"name\": \"f\", \"arguments\": {}}]</s>b</s>⟧"},
		{"calls without an end of turn", "{% for m in messages %}<|{{ m.role }}|>{{ m.content or '' }}{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}{% for k, v in c.function.arguments.items() %} {{ k }}={{ v }}{% endfor %}</call> {% endfor %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
			`[{"role":"user","content":"q"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{\"k\": 5}"}}]},{"role":"tool","content":"r"},{"role":"assistant","content":"b"}]`,
			"<|user|>q<|assistant|>⟦<call>f k=5</call>⟧ <|tool|>r<|assistant|>⟦b⟧"},
		{"a template that loops over tools", "{% for t in tools %}{{ t }}{% endfor %}" + chatML, `[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]`,
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n⟦a<|im_end|>⟧\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tmpl, err := NewTemplate(tt.template, "<s>", "</s>")
			if err != nil {
				t.Fatal(err)
			}
			var msgs []Message
			if err := json.Unmarshal([]byte(tt.messages), &msgs); err != nil {
				t.Fatal(err)
			}
			ids, trained, text, err := tmpl.Example(tok, msgs, nil, testNow)
			if err != nil {
				t.Fatal(err)
			}
			if got := marked(tok, ids, trained); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if stripped := strings.NewReplacer("⟦", "", "⟧", "").Replace(tt.want); text != stripped {
				t.Errorf("text %q", text)
			}
		})
	}
}

func TestExampleRefusals(t *testing.T) {
	tok := byteTokenizer(t)
	tmpl, err := NewTemplate(plainText, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := tmpl.Example(tok, []Message{{Role: "assistant", Content: "a"}}, nil, testNow); err == nil || !strings.Contains(err.Error(), "roles must alternate") {
		t.Errorf("error %v", err)
	}
	if _, err := tmpl.Prompt(tok, nil, json.RawMessage("{"), PromptOptions{}); err == nil || !strings.Contains(err.Error(), "tools") {
		t.Errorf("error %v", err)
	}
	if _, err := NewTemplate("{% if %}", "", ""); err == nil {
		t.Error("a broken template parses")
	}
}

func TestEndOfTurn(t *testing.T) {
	tok := byteTokenizer(t, "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|eom|>")
	for _, tt := range []struct{ template, want string }{
		{chatML, "<|im_end|>"}, {instruct, "</s>"}, {plainText, ""}, {between, "<|im_end|>"}, {opening, ""},
		{"{% for m in messages %}{{ m.content or '' }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}{{ '<|eom|>' if m.tool_calls else '<|im_end|>' }}{% endfor %}", "<|im_end|><|eom|>"},
		{"{{ raise_exception('never') }}", "</s>"},
	} {
		tmpl, err := NewTemplate(tt.template, "<s>", "</s>")
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Decode(tmpl.EndOfTurn(tok), false); got != tt.want {
			t.Errorf("%.40q ends turns with %q, want %q", tt.template, got, tt.want)
		}
	}
}
