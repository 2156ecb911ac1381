package jinja

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestHostile holds each attack to a typed error of the right kind, soon.
func TestHostile(t *testing.T) {
	deep := func(n int, open, middle, end string) string {
		return strings.Repeat(open, n) + middle + strings.Repeat(end, n)
	}
	tests := []struct {
		name, src string
		kind      Kind
	}{
		{"huge range", "{% for i in range(1000000000) %}x{% endfor %}", KindLimit},
		{"range past int64", "{{ range(99999999999999999999) }}", KindLimit},
		{"endless loops", "{% for a in range(99999) %}{% for b in range(99999) %}{{ a }}{% endfor %}{% endfor %}", KindLimit},
		{"loops without output", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", KindLimit},
		{"recursion", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", KindLimit},
		{"mutual recursion", "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}", KindLimit},
		{"caller recursion", "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{{ caller }}{% endmacro %}{{ f() }}", KindLimit},
		{"recursive loop", "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", KindLimit},
		{"class walk", "{{ ''.__class__.__mro__[1].__subclasses__() }}", KindSecurity},
		{"class walk by item", "{{ ''['__class__']['__base__'] }}", KindSecurity},
		{"class walk by filter", "{{ ''|attr('__class__')|attr('__mro__') }}", KindSecurity},
		{"class walk by map", "{{ ['']|map(attribute='__class__.__mro__')|list }}", KindSecurity},
		{"globals", "{{ raise_exception.__globals__['os'] }}", KindSecurity},
		{"format walk", "{{ '{0.__class__.__mro__}'.format('') }}", KindSecurity},
		{"mutation of data", "{{ messages.append(1) }}", KindSecurity},
		{"mutation of a dict", "{{ {}.update({}) }}", KindSecurity},
		{"output", "{% set x = 'x' * 1000000 %}{% for i in range(99999) %}{{ x }}{% endfor %}", KindLimit},
		{"doubling", "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}", KindLimit},
		{"multiplied string", "{{ 'x' * 99999999999 }}", KindLimit},
		{"multiplied list", "{{ [0] * 99999999999 }}", KindLimit},
		{"doubling lists", "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", KindLimit},
		{"nested doubling", "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}", KindLimit},
		{"nested doubling as json", "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}", KindLimit},
		{"nested doubling compared", "{% set a = namespace(x=1) %}{% set b = namespace(x=1) %}{% for i in range(60) %}{% set a.x = [a.x, a.x] %}{% set b.x = [b.x, b.x] %}{% endfor %}{{ a.x == b.x }}", KindLimit},
		{"deep list printed", "{% set ns = namespace(x=1) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}", KindLimit},
		{"deep list as json", "{% set ns = namespace(x=1) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x|tojson }}", KindLimit},
		{"deep lists compared", "{% set a = namespace(x=1) %}{% set b = namespace(x=1) %}{% for i in range(90000) %}{% set a.x = [a.x] %}{% set b.x = [b.x] %}{% endfor %}{{ a.x == b.x }}", KindLimit},
		{"deep tuple as key", "{% set a = namespace(x=1) %}{% for i in range(90000) %}{% set a.x = (a.x, a.x) %}{% endfor %}{{ {a.x: 1} }}", KindLimit},
		{"deep generators", "{% set a = namespace(x=[1]) %}{% for i in range(90000) %}{% set a.x = a.x|map('string') %}{% endfor %}{{ a.x|list }}", KindLimit},
		{"power", "{{ 10 ** (10 ** 10) }}", KindLimit},
		{"growing integer", "{% set ns = namespace(x=3) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}", KindLimit},
		{"width", "{{ '%999999999999d' % 1 }}", KindLimit},
		{"width in format", "{{ '{:999999999999}'.format(1) }}", KindLimit},
		{"precision", "{{ '%.99999999f' % 1.5 }}", KindLimit},
		{"center", "{{ 'x'.center(99999999999) }}", KindLimit},
		{"center filter", "{{ 'x'|center(99999999999) }}", KindLimit},
		{"zfill", "{{ 'x'.zfill(99999999999) }}", KindLimit},
		{"indent", "{{ 'x'|indent(99999999999, true) }}", KindLimit},
		{"json indent", "{{ [1]|tojson(indent=99999999999) }}", KindLimit},
		{"json indent string", "{% set i = 'x' * 1000000 %}{{ [[[[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3]]]]|tojson(indent=i) }}", KindLimit},
		{"expandtabs", "{{ '\\t'.expandtabs(99999999999) }}", KindLimit},
		{"replace", "{% set x = 'a' * 1000000 %}{{ x.replace('a', x) }}", KindLimit},
		{"replace empty", "{% set x = 'a' * 1000000 %}{{ x|replace('', x) }}", KindLimit},
		{"join", "{% set x = 'a' * 1000000 %}{{ ([x] * 1000000)|join(x) }}", KindLimit},
		{"batch", "{{ [1]|batch(99999999999, 0)|list }}", KindLimit},
		{"slice filter", "{{ [1]|slice(99999999999, 0)|list }}", KindLimit},
		{"missing filter", "{{ 1|no_such_filter }}", KindSyntax},
		{"missing test", "{{ 1 is no_such_test }}", KindSyntax},
		{"missing filter by name", "{{ [1]|map('no_such_filter')|list }}", KindRuntime},
		{"unclosed if", "{% if 1 %}x", KindSyntax},
		{"unclosed for", "{% for x in y %}", KindSyntax},
		{"unclosed print", "{{ x", KindSyntax},
		{"unclosed block", "{% if x", KindSyntax},
		{"unclosed comment", "{# x", KindSyntax},
		{"unclosed raw", "{% raw %}x", KindSyntax},
		{"unclosed string", "{{ 'x }}", KindSyntax},
		{"unclosed bracket", "{{ [1 }}", KindSyntax},
		{"wrong end", "{% if 1 %}{% endfor %}", KindSyntax},
		{"break outside", "{% break %}", KindSyntax},
		{"deep parentheses", "{{ " + deep(100000, "(", "1", ")") + " }}", KindLimit},
		{"deep lists", "{{ " + deep(100000, "[", "", "]") + " }}", KindLimit},
		{"deep dicts", "{{ " + deep(100000, "{1:", "1", "}") + " }}", KindLimit},
		{"deep ifs", deep(100000, "{% if 1 %}", "x", "{% endif %}"), KindLimit},
		{"deep fors", deep(100000, "{% for x in [1] %}", "x", "{% endfor %}"), KindLimit},
		{"deep not", "{{ " + strings.Repeat("not ", 100000) + "1 }}", KindLimit},
		{"deep minus", "{{ " + strings.Repeat("-", 100000) + "1 }}", KindLimit},
		{"deep else", "{{ " + strings.Repeat("1 if 0 else ", 100000) + "1 }}", KindLimit},
		{"deep targets", "{% set " + deep(100000, "(", "a", ")") + " = 1 %}", KindLimit},
		{"deep attributes", "{{ x" + strings.Repeat(".a", 100000) + " }}", KindLimit},
		{"deep calls", "{{ x" + strings.Repeat("()", 100000) + " }}", KindLimit},
		{"deep filters", "{{ 1" + strings.Repeat("|string", 100000) + " }}", KindLimit},
		{"long sum", "{{ 1" + strings.Repeat("+1", 100000) + " }}", KindLimit},
		{"long power", "{{ 1" + strings.Repeat("**1", 100000) + " }}", KindLimit},
		{"long filter block", "{% filter upper" + strings.Repeat("|upper", 100000) + " %}x{% endfilter %}", KindLimit},
		{"long source", strings.Repeat("x", maxSource+1), KindLimit},
		{"include", "{% include '/etc/passwd' %}", KindRuntime},
		{"raise", "{{ raise_exception('no') }}", KindRaised},
		{"NUL and rubbish", "{{ \x00 }}", KindSyntax},
		{"invalid UTF-8", "{{ \xff }}", KindSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			var o Options
			if testing.Short() {
				o.MaxSteps = DefaultMaxSteps / 20
			}
			err := renderHostile(t, tt.src, o)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error %v, want an *Error", err)
			}
			if e.Kind != tt.kind {
				t.Errorf("kind %q (%v), want %q", e.Kind, err, tt.kind)
			}
			if e.Line == 0 && tt.name != "long source" {
				t.Errorf("no line in %q", err)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func renderHostile(t *testing.T, src string, o Options) error {
	t.Helper()
	v, err := DecodeJSON([]byte(`{"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	tmpl, err := Parse(src)
	if err == nil {
		_, err = tmpl.Render(v.(*Dict), o)
	}
	return err
}

func TestLimitsCanBeSet(t *testing.T) {
	tmpl, err := Parse("{% for i in range(100) %}{{ i }}{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{MaxSteps: 50}, {MaxOutput: 50}} {
		var e *Error
		if _, err := tmpl.Render(nil, o); !errors.As(err, &e) || e.Kind != KindLimit {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if out, err := tmpl.Render(nil, Options{}); err != nil || len(out.Text) != 190 {
		t.Errorf("%d bytes, %v", len(out.Text), err)
	}
}

func TestErrorsHaveTheirLine(t *testing.T) {
	for src, line := range map[string]int{
		"a\nb\n{{ x.y.z }}":                                 3,
		"{% if 1 %}\n{{\n  1 + 'a' }}{% endif %}":           3,
		"\n\n{% for x in 5 %}{% endfor %}":                  3,
		"\n{{ 1|nope }}":                                    2,
		"{% macro m() %}\n{{ 1/0 }}{% endmacro %}{{ m() }}": 2,
	} {
		_, err := render(t, src, []byte(`{}`))
		var e *Error
		if !errors.As(err, &e) || e.Line != line {
			t.Errorf("%q: %v, want line %d", src, err, line)
		}
	}
}

func TestHostileJSON(t *testing.T) {
	for _, src := range []string{"", "{", "[1,", `{"a":}`, `{"a" 1}`, "[1] 2", "nul", `"\u12"`, strings.Repeat("[", 100000), strings.Repeat(`{"a":`, 100000)} {
		if v, err := DecodeJSON([]byte(src)); err == nil {
			t.Errorf("%.20q decodes to %v", src, v)
		}
	}
}
