package engine

import "errors"

// Datum is one training sequence.
type Datum struct {
	Tokens  []int32
	Weights []float32 // Weights[i] is the weight of predicting Tokens[i] from those before it; Weights[0] is ignored
	Row     int64     // dataset row; keys dropout, so that it does not depend on batching
	Group   int       // rows of one non-zero group are never split over micro-batches
	Arrays  map[string][]float32
}

// Totals carries a whole step's counts, so that micro-batches of it add up.
type Totals struct {
	Rows    int
	Tokens  int     // tokens of all rows
	Trained int     // positions with a weight that is not zero
	Weight  float64 // sum of the weights
}

// totals counts rows.
func totals(rows []Datum) (t Totals) {
	t.Rows = len(rows)
	for _, d := range rows {
		t.Tokens += len(d.Tokens)
		for i := 1; i < len(d.Tokens); i++ {
			if d.Weights[i] != 0 {
				t.Trained++
				t.Weight += float64(d.Weights[i])
			}
		}
	}
	return t
}

// Out holds what a model says of a micro-batch's rows: LogProb[i][j] is the log-probability of rows[i].Tokens[j],
// computed where its weight is not zero.
type Out struct {
	LogProb [][]float32
}

// Metrics are named sums of a loss, added over micro-batches.
type Metrics map[string]float64

// Loss is a function of the tokens' log-probabilities. It returns its share of the step's loss and writes the
// derivative by each log-probability to grad. total holds the whole step's counts. A nil Loss is the weighted
// cross-entropy, −Σ wᵢ·log pᵢ / Σ w, for which the head runs once.
type Loss func(rows []Datum, total Totals, out Out, grad *Out) (float64, Metrics)

// ErrNothingTrained says that no position of a step has a weight.
var ErrNothingTrained = errors.New("no token of these rows is trained: every label is masked")

// inputs is how many leading tokens of d must be read: up to the last position that is predicted, which itself
// is not read. What follows cannot change the loss.
func (d *Datum) inputs() int {
	for i := len(d.Tokens) - 1; i > 0; i-- {
		if d.Weights[i] != 0 {
			return i
		}
	}
	return 0
}
