package batch

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"hone/data"
)

// TestOrderIsFixed holds the shuffle to values that must never change: a checkpoint of one version resumes in the
// next.
func TestOrderIsFixed(t *testing.T) {
	o := Order{Rows: 10, Batch: 4, Seed: 7, Shuffle: true}
	var got []string
	for step := range 6 {
		got = append(got, fmt.Sprint(o.At(step)))
	}
	want := []string{"[9 5 3 4]", "[7 1 2 6]", "[8 0]", "[5 6 3 0]", "[2 9 4 8]", "[1 7]"}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %q", got)
	}
}

func TestOrder(t *testing.T) {
	for _, shuffled := range []bool{true, false} {
		o := Order{Rows: 103, Batch: 16, Seed: 1, Shuffle: shuffled}
		if o.PerEpoch() != 7 {
			t.Fatalf("steps an epoch: %d", o.PerEpoch())
		}
		var epochs [2][]int
		for step := range 14 {
			rows := o.At(step)
			if want := 16; len(rows) != want && (step%7 != 6 || len(rows) != 7) {
				t.Errorf("step %d has %d rows", step, len(rows))
			}
			epochs[step/7] = append(epochs[step/7], rows...)
		}
		if same := slices.Equal(epochs[0], epochs[1]); same == shuffled {
			t.Errorf("shuffle %v: epochs equal: %v", shuffled, same)
		}
		for _, e := range epochs {
			if slices.IsSorted(e) == shuffled {
				t.Errorf("shuffle %v: %v", shuffled, e)
			}
			sorted := slices.Sorted(slices.Values(e))
			for i, r := range sorted {
				if r != i {
					t.Fatalf("not each row once: %v", sorted)
				}
			}
		}
	}
}

// TestOrderNeedsNoHistory holds a step's rows to be the same whatever was asked before it.
func TestOrderNeedsNoHistory(t *testing.T) {
	walked := Order{Rows: 50, Batch: 8, Seed: 3, Shuffle: true}
	for step := range 40 {
		want := slices.Clone(walked.At(step))
		fresh := Order{Rows: 50, Batch: 8, Seed: 3, Shuffle: true}
		if got := fresh.At(step); !slices.Equal(got, want) {
			t.Fatalf("step %d: %v, walked to: %v", step, got, want)
		}
	}
	other := Order{Rows: 50, Batch: 8, Seed: 4, Shuffle: true}
	if slices.Equal(other.At(0), walked.At(0)) {
		t.Error("seed 4 gives the order of seed 3")
	}
}

// TestShuffleIsUniform counts where row 0 of 5 goes over many epochs.
func TestShuffleIsUniform(t *testing.T) {
	const n, draws = 5, 20000
	var counts [n][n]int
	p := make([]int, n)
	for epoch := range draws {
		shuffle(permutation(p[:0], n), 9, uint64(epoch))
		for place, row := range p {
			counts[row][place]++
		}
	}
	for row := range counts {
		for place, got := range counts[row] {
			if got < draws/n-300 || got > draws/n+300 { // five standard deviations are 283
				t.Errorf("row %d is at %d in %d of %d epochs", row, place, got, draws)
			}
		}
	}
}

func file(t *testing.T, text string) *data.File {
	t.Helper()
	f, err := data.ReadFrom("f.jsonl", strings.NewReader(text), data.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEncode(t *testing.T) {
	text := `{"input_ids": [1, 2, 3, 4], "labels": [1, -100, 3, 4]}` + "\n\n" +
		`{"input_ids": [5, 6, 7]}` + "\n" +
		`{"input_ids": [8, 9], "labels": [8, -100]}` + "\n"
	s, err := Encode(file(t, text), &data.Encoder{Vocab: 10}, Options{MaxLength: 4})
	if err != nil {
		t.Fatal(err)
	}
	if s.Tokens != 9 || s.Trained != 4 || s.Masked != 1 || s.Longest != 4 || s.Truncated != 0 || fmt.Sprint(s.Lines) != "[1 3 4]" {
		t.Errorf("%+v", s)
	}
	if got := fmt.Sprint(s.Rows[0].Weights, s.Rows[1].Weights, s.Rows[2].Weights, s.Rows[2].Row); got != "[0 0 1 1] [0 1 1] [0 0] 2" {
		t.Errorf("weights %s", got)
	}
	if tokens, trained := Count(s.Pick(nil, []int{1, 0})); tokens != 7 || trained != 4 {
		t.Errorf("counted %d, %d", tokens, trained)
	}
	s, err = Encode(file(t, text), &data.Encoder{}, Options{MaxLength: 2, Truncate: true})
	if err != nil || s.Truncated != 2 || s.Longest != 2 || s.Trained != 1 || s.Masked != 2 {
		t.Errorf("cut: %+v %v", s, err)
	}
	for _, c := range []struct {
		text string
		o    Options
		want string
	}{
		{text, Options{MaxLength: 2}, "f.jsonl:1: 2 of 3 rows are longer than max_length 2; the longest, this one, has 4 tokens (raise max_length"},
		{`{"input_ids": [1, 12]}`, Options{}, "f.jsonl:1: token 12 at position 1 is outside the model's vocabulary of 10"},
		{`{"text": "a"}`, Options{}, "f.jsonl:1: the model has no tokenizer"},
		{`{"input_ids": [1, 2], "labels": [1, -100]}`, Options{}, "f.jsonl: no token of any row is trained"},
		{`{"input_ids": [1]}`, Options{}, "f.jsonl: no token of any row is trained"},
		{`{"input_ids": [1, 2]}` + "\n{", Options{}, "f.jsonl:2: "},
		{"", Options{}, "f.jsonl: the file has no rows"},
	} {
		if _, err := Encode(file(t, c.text), &data.Encoder{Vocab: 10}, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.text, err, c.want)
		}
	}
}
