package jinja

import (
	"fmt"
	"strings"
	"testing"
)

// spans writes the output with what came from the data in brackets, each with its message and field.
func spans(out Output) string {
	var b strings.Builder
	at := 0
	for _, s := range out.Spans {
		b.WriteString(out.Text[at:s.Start])
		fmt.Fprintf(&b, "[%d%c|%s]", s.Message, s.Field[0], out.Text[s.Start:s.End])
		at = s.End
	}
	return b.String() + out.Text[at:]
}

func TestOrigins(t *testing.T) {
	const data = `{"bos_token":"<s>","tools":[{"name":"f","d":{"k":1}}],"messages":[
		{"role":"user","content":"  Hello Wörld  "},{"role":"assistant","content":"a<x>b","tool_calls":[{"name":"g"}],"n":5}]}`
	const u, a = "{% set c = messages[0].content %}", "{% set a = messages[1].content %}"
	for _, tt := range []struct{ src, want string }{
		{"x{{ bos_token }}y", "x<s>y"},
		{a + "{{ '<' + a + '>' }}", "<[1c|a<x>b]>"},
		{a + "{{ '<' ~ a ~ '>' ~ messages[1].role }}", "<[1c|a<x>b]>[1r|assistant]"},
		{u + "{{ c|trim }}.{{ c.strip() }}.{{ c.lstrip() }}", "[0c|Hello Wörld].[0c|Hello Wörld].[0c|Hello Wörld  ]"},
		{u + "{{ c[2:4] }}-{{ c[9] }}-{{ ('--' + c)[:5] }}-{{ c[::-1] }}", "[0c|He]-[0c|ö]---[0c|  H]-[0c|  dlröW olleH  ]"},
		{u + "{{ c|upper }}{{ ('ab' + c)|title }}", "[0c|  HELLO WÖRLD  ]Ab[0c|  Hello Wörld  ]"},
		{a + "{{ a.split('<')[1] }}|{{ ('q<' + a).split('<') }}", "[1c|x>b]|['q', [1c|'a'], [1c|'x>b']]"},
		{a + "{{ a|replace('<x>', '<y>') }}|{{ 'k-k'|replace('k', a) }}", "[1c|a]<y>[1c|b]|[1c|a<x>b]-[1c|a<x>b]"},
		{a + "{{ [a, 'z', a]|join(', ') }}{{ a.join(['1', '2']) }}", "[1c|a<x>b], z, [1c|a<x>b]1[1c|a<x>b]2"},
		{a + "{{ '%s=%5s' % (a, 'z') }}{{ '{}={:>7}'.format('z', a) }}", "[1c|a<x>b]=    zz=  [1c|a<x>b]"},
		{"{{ tools|tojson }}{{ {'a': 1}|tojson }}", `[-1t|[{"name": "f", "d": {"k": 1}}]]{"a": 1}`},
		{a + "{{ {'k': a}|tojson }}", `[1c|{"k": "a<x>b"}]`},
		{"{% for k, v in tools[0].d.items() %}{{ k }}={{ v }}{% endfor %}", "[-1t|k]=1"},
		{"{{ messages[1].tool_calls[0].name }}{{ messages[1].n }}", "[1t|g]5"},
		{a + "{% macro m(x) %}({{ x }}){% endmacro %}{{ m(a) }}{% set y %}<{{ a }}>{% endset %}{{ y }}", "([1c|a<x>b])<[1c|a<x>b]>"},
		{a + "{% filter upper %}q{{ a }}{% endfilter %}", "Q[1c|A<X>B]"},
		{a + "{{ a|indent(2, true) }}.{{ a|e }}.{{ a|safe }}.{{ a|string }}", "  [1c|a<x>b].[1c|a&lt;x&gt;b].[1c|a<x>b].[1c|a<x>b]"},
		{a + "{% for ch in a %}{{ ch }}.{% endfor %}", "[1c|a].[1c|<].[1c|x].[1c|>].[1c|b]."},
		{a + "{{ a|first }}{{ a|length }}{{ a == 'a<x>b' }}", "[1c|a]5True"},
		{a + "{{ {a: 1}|list|first }}{{ {'a<x>b': 7}[a] }}", "[1c|a<x>b]7"},
		{a + "{{ a * 2 }}{{ a|center(9) }}|{{ a.zfill(7) }}", "[1c|a<x>ba<x>b]  [1c|a<x>b]  |00[1c|a<x>b]"},
		{a + "{{ a|truncate(4, true, '~', 0) }}{{ a|list|join }}", "[1c|a<x]~[1c|a<x>b]"},
		{"{{ messages|map(attribute='role')|map('upper')|join('+') }}", "[0r|USER]+[1r|ASSISTANT]"},
	} {
		out, err := render(t, tt.src, []byte(data))
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
		} else if got := spans(out); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.src, got, tt.want)
		}
	}
}

func TestGenerationRanges(t *testing.T) {
	out, err := render(t, "{% for m in messages %}<{% generation %}{{ m.content }}.{% endgeneration %}>{% endfor %}",
		[]byte(`{"messages":[{"content":"a"},{"content":"bc"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(out.Text, out.Generation); got != "<a.><bc.> [{1 3} {5 8}]" && got != "<a.><bc.>[{1 3} {5 8}]" {
		t.Error(got)
	}
}
