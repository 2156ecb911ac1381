package hone_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestImports holds the code to the block in ARCHITECTURE.md. It is a statement of policy: change the block
// deliberately, with the reason in the commit, never to make a build pass.
func TestImports(t *testing.T) {
	allowed := readPolicy(t)
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(strings.TrimPrefix(fields[0], "hone"), "/")
		if pkg == "" {
			continue // the root package holds only this test
		}
		seen[pkg] = true
		may, ok := allowed[pkg]
		if !ok {
			t.Errorf("%s has no line in ARCHITECTURE.md", pkg)
			continue
		}
		for _, imp := range fields[1:] {
			dep, ours := strings.CutPrefix(imp, "hone/")
			if ours && !may["everything"] && !may[dep] {
				t.Errorf("%s imports %s, which ARCHITECTURE.md does not allow", pkg, dep)
			}
		}
	}
	for pkg := range allowed {
		if !seen[pkg] {
			t.Errorf("ARCHITECTURE.md has a line for %s, which does not exist", pkg)
		}
	}
}

// readPolicy parses the fenced imports block into package -> what it may import.
func readPolicy(t *testing.T) map[string]map[string]bool {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "```imports\n")
	if !ok {
		t.Fatal("ARCHITECTURE.md has no imports block")
	}
	block, _, _ = strings.Cut(block, "```")
	policy := map[string]map[string]bool{}
	for line := range strings.Lines(block) {
		pkg, deps, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			t.Fatalf("ARCHITECTURE.md: %q is not 'package: imports'", line)
		}
		policy[pkg] = map[string]bool{}
		for _, dep := range strings.Fields(deps) {
			policy[pkg][dep] = true
		}
	}
	return policy
}
