package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestYieldTo lowers the priority of a child of this test: it cannot be raised again.
func TestYieldTo(t *testing.T) {
	if os.Getenv("HONE_TEST_YIELD") != "" {
		if err := yieldTo(7); err != nil {
			t.Fatal(err)
		}
		stat, err := os.ReadFile("/proc/self/stat")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if nice := strings.Fields(rest)[16]; nice != "7" {
			t.Fatalf("niceness is %s", nice)
		}
		return
	}
	c := exec.Command(os.Args[0], "-test.run=^TestYieldTo$")
	c.Env = append(os.Environ(), "HONE_TEST_YIELD=1")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
