package weights

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"hone/engine/tensor"
	"hone/internal/golden"
	"pgregory.net/rapid"
)

// withHeader makes a safetensors file of a header and n zero bytes of data.
func withHeader(header string, n int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, n)...)
}

func withLength(n uint64, rest string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, n), rest...)
}

func entry(dtype, shape, offsets string) string {
	return fmt.Sprintf(`{"dtype":%q,"shape":%s,"data_offsets":%s}`, dtype, shape, offsets)
}

// hostileSafetensors is every way of breaking a file that faults.md lists, and some more.
var hostileSafetensors = []struct {
	name string
	data []byte
	want string
}{
	{"empty", nil, "too few"},
	{"seven bytes", make([]byte, 7), "too few"},
	{"header length zero", withLength(0, "{}"), "does not start with '{'"},
	{"header longer than the file", withLength(3, "{}"), "does not fit"},
	{"header over the cap", withLength(maxHeader+1, "{}"), "exceeds the limit"},
	{"header length 2^63", withLength(1<<63, "{}"), "exceeds the limit"},
	{"header length 2^64-1", withLength(math.MaxUint64, "{}"), "exceeds the limit"},
	{"not an object", withHeader(`[]`, 0), "does not start with '{'"},
	{"white space first", withHeader(` {}`, 0), "does not start with '{'"},
	{"invalid UTF-8", withHeader("{\"a\xff\":1}", 0), "UTF-8"},
	{"lone surrogate", withHeader(`{"\ud800":`+entry("F32", "[]", "[0,4]")+`}`, 4), "surrogate"},
	{"control character in a name", withHeader("{\"a\nb\":"+entry("F32", "[]", "[0,4]")+`}`, 4), "control character"},
	{"NUL in a name", withHeader(`{"a\u0000":`+entry("F32", "[]", "[0,4]")+`}`, 4), "NUL"},
	{"repeated tensor", withHeader(`{"a":`+entry("F32", "[0]", "[0,0]")+`,"a":`+entry("F32", "[0]", "[0,0]")+`}`, 0), "twice"},
	{"repeated tensor in other spelling", withHeader(`{"a":`+entry("F32", "[1]", "[0,4]")+`,"\u0061":`+entry("F32", "[1]", "[4,8]")+`}`, 8), "twice"},
	{"repeated dtype", withHeader(`{"a":{"dtype":"F32","dtype":"F16","shape":[],"data_offsets":[0,4]}}`, 4), "repeated key"},
	{"repeated shape", withHeader(`{"a":{"dtype":"F32","shape":[1],"shape":[],"data_offsets":[0,4]}}`, 4), "repeated key"},
	{"repeated metadata", withHeader(`{"__metadata__":{},"__metadata__":{}}`, 0), "repeated key"},
	{"repeated metadata key", withHeader(`{"__metadata__":{"a":"","a":""}}`, 0), "repeated key"},
	{"metadata of numbers", withHeader(`{"__metadata__":{"a":1}}`, 0), "not a string"},
	{"metadata a list", withHeader(`{"__metadata__":[]}`, 0), "want '{'"},
	{"nested deep", withHeader(`{"a":{"x":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+`}}`, 0), "nested deeper"},
	{"nested deep in objects", withHeader(`{"a":{"x":`+strings.Repeat(`{"a":`, 100_000), 0), "nested deeper"},
	{"nested deep in a shape", withHeader(`{"a":{"shape":`+strings.Repeat("[", 100_000), 0), "integer"},
	{"unknown dtype", withHeader(`{"a":`+entry("F31", "[]", "[0,4]")+`}`, 4), "unknown dtype"},
	{"dtype a number", withHeader(`{"a":{"dtype":32,"shape":[],"data_offsets":[0,4]}}`, 4), "want a string"},
	{"no dtype", withHeader(`{"a":{"shape":[],"data_offsets":[0,4]}}`, 4), "lacks"},
	{"no shape", withHeader(`{"a":{"dtype":"F32","data_offsets":[0,4]}}`, 4), "lacks"},
	{"no offsets", withHeader(`{"a":{"dtype":"F32","shape":[]}}`, 4), "lacks"},
	{"shape overflow", withHeader(`{"a":`+entry("F32", "[4194305,4194305,211106198978564]", "[0,4]")+`}`, 4), "overflow"},
	{"byte size overflow", withHeader(`{"a":`+entry("F32", "[4611686018427387904]", "[0,4]")+`}`, 4), "overflow"},
	{"overflow before a zero", withHeader(`{"a":`+entry("F32", "[9223372036854775807,9223372036854775807,0]", "[0,0]")+`}`, 0), "overflow"},
	{"dimension beyond int64", withHeader(`{"a":`+entry("F32", "[9223372036854775808]", "[0,4]")+`}`, 4), "too large"},
	{"negative dimension", withHeader(`{"a":`+entry("F32", "[-1]", "[0,4]")+`}`, 4), "non-negative"},
	{"fractional dimension", withHeader(`{"a":`+entry("F32", "[1.0]", "[0,4]")+`}`, 4), "integer"},
	{"dimension with exponent", withHeader(`{"a":`+entry("F32", "[1e0]", "[0,4]")+`}`, 4), "integer"},
	{"dimension with leading zero", withHeader(`{"a":`+entry("F32", "[01]", "[0,4]")+`}`, 4), "integer"},
	{"too many dimensions", withHeader(`{"a":`+entry("F32", "["+strings.Repeat("1,", 40)+"1]", "[0,4]")+`}`, 4), "dimensions"},
	{"offsets reversed", withHeader(`{"a":`+entry("F32", "[1]", "[4,0]")+`}`, 4), "reversed"},
	{"three offsets", withHeader(`{"a":`+entry("F32", "[1]", "[0,4,8]")+`}`, 4), "two numbers"},
	{"one offset", withHeader(`{"a":`+entry("F32", "[1]", "[0]")+`}`, 4), "want two"},
	{"offsets past the end", withHeader(`{"a":`+entry("F32", "[2]", "[0,8]")+`}`, 4), "past the 4 data bytes"},
	{"overlap", withHeader(`{"a":`+entry("F32", "[1]", "[0,4]")+`,"b":`+entry("F32", "[1]", "[0,4]")+`}`, 4), "overlap"},
	{"partial overlap", withHeader(`{"a":`+entry("F32", "[2]", "[0,8]")+`,"b":`+entry("F32", "[1]", "[4,8]")+`}`, 8), "overlap"},
	{"hole at the start", withHeader(`{"a":`+entry("F32", "[1]", "[4,8]")+`}`, 8), "hole"},
	{"hole between", withHeader(`{"a":`+entry("F32", "[1]", "[0,4]")+`,"b":`+entry("F32", "[1]", "[8,12]")+`}`, 12), "hole"},
	{"empty tensor inside another", withHeader(`{"a":`+entry("F32", "[2]", "[0,8]")+`,"b":`+entry("F32", "[0]", "[4,4]")+`}`, 8), "overlap"},
	{"size other than the shape's", withHeader(`{"a":`+entry("F32", "[1]", "[0,8]")+`}`, 8), "takes 4 bytes"},
	{"half a byte", withHeader(`{"a":`+entry("F4", "[3]", "[0,1]")+`}`, 1), "whole bytes"},
	{"trailing bytes", withHeader(`{"a":`+entry("F32", "[1]", "[0,4]")+`}`, 5), "after the last tensor"},
	{"trailing bytes without tensors", withHeader(`{}`, 1), "after the last tensor"},
	{"text after the object", withHeader(`{} x`, 0), "more text"},
	{"two objects", withHeader(`{}{}`, 0), "more text"},
	{"object cut off", withHeader(`{"a":`, 0), "want"},
	{"string cut off", withHeader(`{"a`, 0), "does not end"},
	{"key without quotes", withHeader(`{a:1}`, 0), "want a string"},
	{"comma at the end", withHeader(`{"a":`+entry("F32", "[1]", "[0,4]")+`,}`, 4), "want a string"},
	{"zip", []byte("PK\x03\x04aaaaaaaaaaaa"), "pickle"},
	{"pickle", []byte("\x80\x02}q\x00(X\x01\x00\x00\x00aK\x01u."), "pickle"},
	{"old pickle", []byte("(dp0\nS'a'\np1\nI1\ns."), "pickle"},
}

func TestHostileSafetensors(t *testing.T) {
	for _, test := range hostileSafetensors {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.safetensors")
			write(t, path, test.data)
			_, _, _, err := ReadSafetensors(path)
			wantTyped(t, err, test.want)
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("error %q does not name the file", err)
			}
		})
	}
}

// A million tensors in a header are refused before they cost twice the file.
func TestSafetensorsMillionTensors(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a header of 70 MB")
	}
	var b strings.Builder
	b.WriteByte('{')
	for i := range 1_000_000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%d":{"dtype":"F32","shape":[],"data_offsets":[%d,%d]}`, i, 4*i, 4*i+4)
	}
	b.WriteByte('}')
	data := withHeader(b.String(), 4_000_000)
	wantAllocates(t, len(data), func() {
		_, err := parseSafetensors("x", data)
		wantTyped(t, err, "tensors in a file of this size")
	})
}

// wantAllocates checks that f allocates at most twice size in all, with a mebibyte for what does not depend on
// the file.
func wantAllocates(t *testing.T, size int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > uint64(2*size+2<<20) {
		t.Errorf("allocated %d bytes for a file of %d", got, size)
	}
}

func TestSafetensorsAccepts(t *testing.T) {
	for _, test := range []struct {
		name, header string
		n            int
	}{
		{"nothing", `{}`, 0},
		{"padding", `{}      `, 0},
		{"metadata null", `{"__metadata__":null}`, 0},
		{"scalar", `{"a":` + entry("F32", "[]", "[0,4]") + `}`, 4},
		{"empty tensors share an offset", `{"a":` + entry("F32", "[0]", "[0,0]") + `,"b":` + entry("F32", "[3,0]", "[0,0]") + `}`, 0},
		{"unknown key", `{"a":{"dtype":"F32","x":[{"y":[1,"a",null,true]}],"shape":[1],"data_offsets":[0,4]}}`, 4},
		{"a way out as a name", `{"../../etc/passwd":` + entry("F32", "[1]", "[0,4]") + `}`, 4},
		{"right to left", `{"a‮b":` + entry("F32", "[1]", "[0,4]") + `}`, 4},
		{"escaped name", `{"a\"\\\/é\ufffd":` + entry("F32", "[1]", "[0,4]") + `}`, 4},
	} {
		f, err := parseSafetensors("x", withHeader(test.header, test.n))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if strings.Contains(test.header, "dtype") && len(f.tensors) == 0 {
			t.Errorf("%s: no tensors", test.name)
		}
	}
}

// Names that turn text around come out escaped in errors.
func TestErrorsEscapeNames(t *testing.T) {
	_, err := parseSafetensors("x", withHeader(`{"a‮b":`+entry("F32", "[1]", "[0,8]")+`}`, 8))
	if err == nil || strings.Contains(err.Error(), "‮") {
		t.Errorf("error %v", err)
	}
}

// A tensor of a type the engine cannot use does no harm until it is asked for.
func TestUnusableTypes(t *testing.T) {
	header := `{"a":` + entry("F64", "[1]", "[0,8]") + `,"b":` + entry("BOOL", "[4]", "[8,12]") + `,"c":` + entry("F4", "[2]", "[12,13]") + `,"d":` + entry("BF16", "[1]", "[13,15]") + `}`
	dir := t.TempDir()
	path := filepath.Join(dir, "model.safetensors")
	write(t, path, withHeader(header, 15))
	_, _, _, err := ReadSafetensors(path)
	wantTyped(t, err, `tensor "a": element type F64`)
	write(t, filepath.Join(dir, "config.json"), []byte(`{}`))
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Tensor("d"); err != nil {
		t.Error(err)
	}
	_, err = m.Tensor("b")
	wantTyped(t, err, "element type BOOL")
	_, err = m.Tensor("e")
	wantTyped(t, err, "missing")
}

// Files that the reference library wrote come back byte for byte.
func TestGoldenSafetensorsRoundTrip(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(golden.Path(t, "arch"), "*", "*.safetensors"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, path := range files {
		tensors, meta, closer, err := ReadSafetensors(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var list []Tensor
		for _, x := range tensors {
			list = append(list, x)
		}
		var b bytes.Buffer
		if err := WriteSafetensors(&b, list, meta); err != nil {
			t.Error(err)
		}
		if want, _ := os.ReadFile(path); !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s differs after a round trip", path)
		}
		closer.Close()
	}
}

func TestSafetensorsRoundTrip(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var list []Tensor
		seen := map[string]bool{"__metadata__": true}
		for range rapid.IntRange(0, 6).Draw(r, "tensors") {
			name := strings.ReplaceAll(rapid.String().Draw(r, "name"), "\x00", "")
			if seen[name] {
				continue
			}
			seen[name] = true
			x := Tensor{Name: name, DType: rapid.SampledFrom([]tensor.DType{tensor.F32, tensor.F16, tensor.BF16, tensor.I32, tensor.I64}).Draw(r, "type")}
			n := 1
			for range rapid.IntRange(0, 3).Draw(r, "rank") {
				d := rapid.IntRange(0, 4).Draw(r, "dim")
				x.Shape = append(x.Shape, d)
				n *= d
			}
			x.Data = rapid.SliceOfN(rapid.Byte(), n*x.DType.BlockBytes(), n*x.DType.BlockBytes()).Draw(r, "data")
			list = append(list, x)
		}
		meta := rapid.MapOfN(rapid.String(), rapid.String(), 0, 3).Draw(r, "metadata")
		var b bytes.Buffer
		if err := WriteSafetensors(&b, list, meta); err != nil {
			r.Fatal(err)
		}
		f, err := parseSafetensors("x", b.Bytes())
		if err != nil {
			r.Fatal(err)
		}
		if n := binary.LittleEndian.Uint64(b.Bytes()); n%8 != 0 {
			r.Errorf("header of %d bytes", n)
		}
		if len(f.tensors) != len(list) || len(f.metadata) != len(meta) {
			r.Fatalf("%d tensors, %d metadata; want %d, %d", len(f.tensors), len(f.metadata), len(list), len(meta))
		}
		for _, x := range list {
			y := f.tensors[x.Name]
			if y.DType != x.DType || !bytes.Equal(y.Data, x.Data) || fmt.Sprint(y.Shape) != fmt.Sprint(x.Shape) {
				r.Errorf("tensor %q is %v, was %v", x.Name, y, x)
			}
		}
		for k, v := range meta {
			if f.metadata[k] != v {
				r.Errorf("metadata %q is %q, was %q", k, f.metadata[k], v)
			}
		}
	})
}

func TestWriteSafetensorsRefuses(t *testing.T) {
	ok := floats("a", []int{1}, 1)
	for name, list := range map[string][]Tensor{
		"quantised":       {{Name: "a", DType: tensor.Q8_0, Shape: []int{1, 32}, Data: make([]byte, 34)}},
		"twice":           {ok, ok},
		"wrong size":      {{Name: "a", DType: tensor.F32, Shape: []int{2}, Data: make([]byte, 4)}},
		"called metadata": {floats("__metadata__", []int{1}, 1)},
	} {
		if err := WriteSafetensors(new(bytes.Buffer), list, nil); err == nil {
			t.Errorf("%s is written", name)
		}
	}
}

func TestAsF32(t *testing.T) {
	le := binary.LittleEndian
	half := func(h ...uint16) (b []byte) {
		for _, v := range h {
			b = le.AppendUint16(b, v)
		}
		return b
	}
	for _, test := range []struct {
		name string
		in   Tensor
		want []float32
	}{
		{"f16", Tensor{DType: tensor.F16, Shape: []int{7}, Data: half(0x3c00, 0xc000, 0x0001, 0x8000, 0x7bff, 0x03ff, 0x7c00)},
			[]float32{1, -2, 1.0 / (1 << 24), 0, 65504, 1023.0 / (1 << 24), float32(math.Inf(1))}},
		{"bf16", Tensor{DType: tensor.BF16, Shape: []int{2}, Data: half(0x3f80, 0xc049)}, []float32{1, -3.140625}},
		{"i32", Tensor{DType: tensor.I32, Shape: []int{1}, Data: []byte{0xfe, 0xff, 0xff, 0xff}}, []float32{-2}},
		{"i64", Tensor{DType: tensor.I64, Shape: []int{1}, Data: le.AppendUint64(nil, 1<<40)}, []float32{1 << 40}},
	} {
		got := AsF32(test.in)
		for i := range test.want {
			if got[i] != test.want[i] {
				t.Errorf("%s: element %d is %v, want %v", test.name, i, got[i], test.want[i])
			}
		}
	}
	if v := f16(0x7e01); v == v {
		t.Errorf("NaN becomes %v", v)
	}
}

// Every half must convert exactly; the reference is its definition in float64.
func TestF16All(t *testing.T) {
	for h := range 1 << 16 {
		exp, frac := h>>10&31, float64(h&0x3ff)
		want := math.Ldexp(frac, -24)
		if exp > 0 {
			want = math.Ldexp(1024+frac, exp-25)
		}
		if exp == 31 {
			want = math.Inf(1)
			if frac > 0 {
				want = math.NaN()
			}
		}
		if h>>15 == 1 {
			want = -want
		}
		got := float64(f16(uint16(h)))
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Fatalf("half %#04x is %v, want %v", h, got, want)
		}
	}
}

func TestDequantiseBlocks(t *testing.T) {
	le := binary.LittleEndian
	nibbles := make([]byte, 16)
	for i := range nibbles {
		nibbles[i] = byte(i | (15-i)<<4)
	}
	q8 := le.AppendUint16(nil, 0x3800) // 0.5
	for i := range 32 {
		q8 = append(q8, byte(int8(i-16)))
	}
	q40 := append(le.AppendUint16(nil, 0xbc00), nibbles...)                          // -1
	q41 := append(le.AppendUint16(le.AppendUint16(nil, 0x4000), 0xc200), nibbles...) // 2, -3
	for _, test := range []struct {
		d    tensor.DType
		data []byte
		want func(i int) float32
	}{
		{tensor.Q8_0, q8, func(i int) float32 { return 0.5 * float32(i-16) }},
		{tensor.Q4_0, q40, func(i int) float32 {
			if i < 16 {
				return -float32(i - 8)
			}
			return -float32(15 - (i - 16) - 8)
		}},
		{tensor.Q4_1, q41, func(i int) float32 {
			if i < 16 {
				return 2*float32(i) - 3
			}
			return 2*float32(15-(i-16)) - 3
		}},
	} {
		for i, got := range AsF32(Tensor{DType: test.d, Shape: []int{1, 32}, Data: test.data}) {
			if got != test.want(i) {
				t.Errorf("%v: element %d is %v, want %v", test.d, i, got, test.want(i))
			}
		}
	}
}
