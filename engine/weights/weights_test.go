package weights

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"hone/internal/golden"
)

// testModel finds the real GGUF that some tests read.
func testModel(t testing.TB) string {
	t.Helper()
	p := os.Getenv("HONE_TEST_MODEL")
	if p == "" {
		t.Skip("set HONE_TEST_MODEL to a SmolLM2-135M-Instruct.Q4_1.gguf to run this test")
	}
	return p
}

func TestOpenGoldenFolders(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(golden.Path(t, "arch"), "*", "config.json"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no golden models: %v", err)
	}
	for _, c := range dirs {
		dir := filepath.Dir(c)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m, err := Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Format != "safetensors" || m.Quantisation != "F32" || len(m.Tensors) < 10 || len(m.Config) == 0 {
				t.Errorf("format %q, quantisation %q, %d tensors", m.Format, m.Quantisation, len(m.Tensors))
			}
			for name, x := range m.Tensors {
				if name != x.Name || len(AsF32(x)) == 0 {
					t.Errorf("tensor %q is called %q", name, x.Name)
				}
			}
		})
	}
}

func TestOpenSmolLM2(t *testing.T) {
	path := testModel(t)
	start := time.Now()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	defer m.Close()
	t.Logf("opened in %v; config %s", took, m.Config)
	t.Logf("%d tensors, eos %v, bos %q eos %q, %s, %s, %s", len(m.Tensors), m.EOS, m.BOSToken, m.EOSToken, m.Licence, m.Name, m.Quantisation)
}
