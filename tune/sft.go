package tune

import (
	"context"
	"errors"
	"fmt"

	"hone/engine"
	"hone/engine/optim"
	"hone/internal/busy"
)

// Run trains as c says and leaves in c.Out: run.yaml (c with everything resolved), metrics.jsonl, metrics.csv,
// loss.png, checkpoints/step-N, best/ where rows are validated (the weights of the lowest valid_loss), adapter/ or
// model/ (the weights after the last step), and summary.json, written last.
//
// The bits of the result hang on c, the files, the model and the CPU level, not on threads or interruptions. When
// ctx ends, the step in progress is finished and saved, and the error is ErrInterrupted. A loss or gradient that is
// not finite, and a loss that explodes, end the run with a *StoppedError.
func Run(ctx context.Context, c SFT, o RunOptions) (Summary, error) {
	r, err := begin(ctx, c, o)
	if err != nil {
		return Summary{}, err
	}
	defer r.close()
	if r.finished != nil {
		return *r.finished, nil
	}
	if err := r.evaluate(ctx); err != nil { // only where an interruption came before it
		return r.interrupted(ctx, err)
	}
	var rows []engine.Datum
	for r.Step < r.Steps && r.Ended == "" {
		if ctx.Err() != nil {
			return r.interrupted(ctx, nil)
		}
		started := r.o.Now()
		used, _ := busy.Seconds()
		rows = r.train.Pick(rows[:0], r.order.At(r.Step))
		line := trainLine{Step: r.Step + 1, LearningRate: LearningRateAt(r.c.Schedule, r.c.LearningRate, r.Step, r.Steps, r.c.Warmup)}

		result, err := r.trainer.ForwardBackward(context.WithoutCancel(ctx), rows, r.Step, nil)
		line.Tokens, line.TrainedTokens = result.Tokens, result.Trained
		switch {
		case errors.Is(err, engine.ErrNothingTrained):
			line.Skipped = r.skipped()
		case err != nil:
			return r.stopped(ctx, r.place(err))
		default:
			if reason := r.guard(result.Loss); reason != "" {
				return r.stopped(ctx, errors.New(reason))
			}
			norm, err := r.trainer.Step(optim.AdamW{LearningRate: line.LearningRate, Beta1: r.c.Betas[0], Beta2: r.c.Betas[1],
				Eps: r.c.Eps, WeightDecay: r.c.WeightDecay, MaxGradNorm: r.c.MaxGradNorm})
			if err != nil {
				return r.stopped(ctx, fmt.Errorf("%w: lower learning_rate or raise warmup", r.place(err)))
			}
			line.Loss, line.GradNorm = &result.Loss, &norm
		}
		r.Step++

		line.Seconds = r.o.Now().Sub(started).Seconds()
		after, _ := busy.Seconds()
		line.cpuSeconds = after - used
		if err := r.log(ctx, line); err != nil {
			return r.interrupted(ctx, err)
		}
		r.EvalDue = r.valid != nil && due(r.Step, r.c.EvalEvery, r.Steps)
		if err := r.evaluate(ctx); err != nil {
			return r.interrupted(ctx, err)
		}
		if due(r.Step, r.c.SaveEvery, r.Steps) || r.Ended != "" {
			if err := r.save(ctx); err != nil {
				return r.interrupted(ctx, err)
			}
		}
	}
	return r.finish(ctx)
}

// due says whether something done every so many steps, and at the last, is done after step.
func due(step, every, last int) bool { return step == last || every > 0 && step%every == 0 }
