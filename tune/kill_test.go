package tune

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestKillChild is not a test: it is the run that TestKillMinus9 starts and kills.
func TestKillChild(t *testing.T) {
	text := os.Getenv("HONE_KILL_CHILD")
	if text == "" {
		t.Skip("is started by TestKillMinus9 alone")
	}
	c, err := DecodeSFTJSON("child", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, c, RunOptions{Resume: true})
}

// TestKillMinus9 kills a run at random moments until it gets through, and compares bits with one that was left in
// peace.
func TestKillMinus9(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the program many times")
	}
	root := t.TempDir()
	c := tiny(t, filepath.Join(root, "whole"))
	c.Epochs, c.SaveEvery, c.EvalEvery = 6, 1, 2
	began := time.Now()
	mustRun(t, c, RunOptions{})
	whole := time.Since(began)
	want := result(t, c.Out)
	for round := range 3 {
		c.Out = filepath.Join(root, fmt.Sprint("killed", round))
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		kills := 0
		for ; ; kills++ {
			// Ever longer, so that even one that gets nothing saved is done at last.
			limit := time.Duration(rand.Float64()*float64(whole)/2) + time.Duration(kills)*5*time.Millisecond
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKillChild$") // killed by SIGKILL
			child.Env = append(os.Environ(), "HONE_KILL_CHILD="+string(text))
			var output bytes.Buffer
			child.Stdout, child.Stderr = &output, &output
			err := child.Run()
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() == nil {
				t.Fatalf("round %d, after %d kills: %v\n%s", round, kills, err, output.Bytes())
			}
		}
		t.Logf("round %d: %d kills", round, kills)
		compareResults(t, fmt.Sprint("killed, round ", round), result(t, c.Out), want)
	}
}
