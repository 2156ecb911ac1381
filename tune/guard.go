package tune

import (
	"fmt"
	"math"
)

// A loss has exploded when it has been worse than the worst start for three steps in a row: above twice the larger
// of the first step's loss and ln V, the loss of a model that guesses evenly among the V tokens. Noise of single
// batches does not reach that; a run that has diverged stays there.
const (
	explosionFactor = 2
	explosionSteps  = 3
)

// guard looks at a step's loss before the update. It returns "" or why the run must stop.
func (r *run) guard(loss float64) string {
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return fmt.Sprintf("the loss is %v: lower learning_rate, raise warmup, or look at the rows of this step%s", loss, r.rowList())
	}
	if r.FirstLoss == nil {
		r.FirstLoss = &loss
	}
	limit := explosionFactor * max(*r.FirstLoss, math.Log(float64(r.model.Base.Config().VocabSize)))
	if loss <= limit {
		r.Exploding = 0
		return ""
	}
	if r.Exploding++; r.Exploding < explosionSteps {
		return ""
	}
	return fmt.Sprintf("the loss explodes: %.4g, above %.4g for %d steps: lower learning_rate or raise warmup", loss, limit, explosionSteps)
}

// rowList names the lines of the step's rows for a message: " (train.jsonl:3, 7, 9)".
func (r *run) rowList() string {
	const most = 8
	text := fmt.Sprintf(" (lines of %s: ", r.c.Train)
	rows := r.order.At(r.Step)
	for i, row := range rows {
		if i == most {
			return text + fmt.Sprintf(" and %d more)", len(rows)-most)
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprint(r.train.Lines[row])
	}
	return text + ")"
}

// skipped notes a step none of whose tokens is trained. There is no gradient, so nothing is updated, moments and
// weight decay included; the step still counts in the schedule.
func (r *run) skipped() string {
	note := "no token of its rows is trained" + r.rowList()
	r.tell(Warned, fmt.Sprintf("step %d is skipped: %s", r.Step+1, note))
	return note
}

// place adds the rows to an error of a step.
func (r *run) place(err error) error { return fmt.Errorf("%w%s", err, r.rowList()) }
