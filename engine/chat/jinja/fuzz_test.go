package jinja

import (
	"errors"
	"testing"
	"unicode/utf8"
)

// FuzzParseRender holds any template to a rendering or a typed error, and any rendering to spans that lie in it.
func FuzzParseRender(f *testing.F) {
	for _, src := range []string{
		"{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content|trim }}{% endfor %}",
		"{%- set ns = namespace(a=1) -%}{% macro f(x, y=2) %}{{ x ~ y }}{% endmacro %}{{ f(*[1], **{'y': ns.a}) }}",
		"{{ '%s %05.2f' % (messages, 1.5) }}{{ '{:>{w}}'.format(1, w=5) }}{{ messages|tojson(indent=2) }}",
		"{% raw %}{{{% endraw %}{# c #}{% if a is defined and b not in c %}{% elif 1 < 2 <= 3 %}{% else %}{% endif %}",
		"{{ messages[::-1]|map(attribute='role')|select('string')|list }}{{ 1 // 0 }}{{ 2 ** -1 % 3 }}",
		"{% call(x) f() %}{{ x }}{% endcall %}{% filter upper|replace('A','b') %}{% endfilter %}{% generation %}{% endgeneration %}",
		"{{ 'é\\u00e9\\x41\\n'[1:]|title|indent|wordwrap(3)|truncate(5) }}{{ strftime_now('%Y') }}",
	} {
		f.Add(src)
	}
	data := []byte(`{"messages":[{"role":"user","content":"Hé <b>"},{"role":"assistant","content":null,"tool_calls":[{"a":1.5}]}],"tools":null}`)
	v, err := DecodeJSON(data)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src string) {
		tmpl, err := Parse(src)
		var out Output
		if err == nil {
			out, err = tmpl.Render(v.(*Dict), Options{Now: goldenNow, MaxSteps: 20000, MaxOutput: 1 << 16})
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		at := 0
		for _, s := range out.Spans {
			if s.Start < at || s.End <= s.Start || s.End > len(out.Text) || s.Message > 1 {
				t.Fatalf("span %+v after %d in %d bytes", s, at, len(out.Text))
			}
			at = s.End
		}
		if utf8.ValidString(src) && !utf8.ValidString(out.Text) {
			t.Fatalf("invalid UTF-8: %q", out.Text)
		}
	})
}
