// Package golden finds the reference vectors that exactness tests read.
package golden

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Path returns the file or folder rel of the reference vectors: from $HONE_GOLDEN where that is set, else from
// the small copy in this package's testdata. Where neither has it the test is skipped, saying so.
func Path(t testing.TB, rel string) string {
	t.Helper()
	if dir := os.Getenv("HONE_GOLDEN"); dir != "" {
		p := filepath.Join(dir, rel)
		if _, err := os.Stat(p); err != nil {
			t.Fatalf("HONE_GOLDEN is set but has no %s: %v", rel, err)
		}
		return p
	}
	_, here, _, _ := runtime.Caller(0)
	p := filepath.Join(filepath.Dir(here), "testdata", rel)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("reference vectors %s are not in the repository; set HONE_GOLDEN to a folder that has them", rel)
	}
	return p
}
