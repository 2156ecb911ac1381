package tune

import (
	"context"
	"errors"
	"fmt"
	"time"

	"hone/catalog"
	"hone/internal/busy"
)

// RunOptions is what a run takes from whoever starts it. The zero value is a fresh, silent run.
type RunOptions struct {
	Model     *catalog.Model // the opened model to train on; nil = Run opens what the settings name, and closes it
	Resume    bool           // continue from the newest good checkpoint; without one, start afresh
	Overwrite bool           // start afresh in a folder that holds a run; what that left is removed

	Progress func(Progress)                                   // called from Run's goroutine; nil = nobody listens
	Now      func() time.Time                                 // nil = time.Now
	Sleep    func(ctx context.Context, d time.Duration) error // between tries on a full disk; nil = a timer

	// disk is asked before each thing written; tests make it fail as a full disk does.
	disk func(what string) error
}

// Event says what a Progress reports.
type Event string

const (
	// Loading precedes the first step: Message says what is read.
	Loading Event = "loading"
	// Started comes once, when all is ready: Message says what will be trained on what.
	Started Event = "started"
	// Stepped comes after each optimiser step.
	Stepped Event = "stepped"
	// Evaluating comes before a validation, which may take a while.
	Evaluating Event = "evaluating"
	// Validated comes after a validation, with ValidLoss and ValidAccuracy.
	Validated Event = "validated"
	// Saved comes after a checkpoint; Message is its folder.
	Saved Event = "saved"
	// Paused comes while the disk is full, once for each try; Message says what to do.
	Paused Event = "paused"
	// Warned carries in Message something its owner should know of.
	Warned Event = "warned"
	// Finished comes last, when everything is written.
	Finished Event = "finished"
)

// Progress is the state of a run at one moment.
type Progress struct {
	Event   Event  `json:"event"`
	Message string `json:"message,omitempty"`

	Step   int `json:"step"`  // optimiser steps done
	Steps  int `json:"steps"` // of the whole run
	Epoch  int `json:"epoch"` // of the latest step, from 1
	Epochs int `json:"epochs"`

	Loss          float64 `json:"loss"`           // of the latest step
	SmoothedLoss  float64 `json:"smoothed_loss"`  // over about the latest twenty steps
	GradNorm      float64 `json:"grad_norm"`      // before clipping
	LearningRate  float64 `json:"learning_rate"`  // of the latest step
	ValidLoss     float64 `json:"valid_loss"`     // of the latest validation; 0 before one
	ValidAccuracy float64 `json:"valid_accuracy"` // share of trained tokens that are the most probable one

	Tokens          int           `json:"tokens"`                // of this session
	TokensPerSecond float64       `json:"tokens_per_second"`     // over about the latest twenty steps
	Utilisation     float64       `json:"utilisation,omitempty"` // how busy the threads' cores were, over as many; 1 is all the time
	Elapsed         time.Duration `json:"elapsed"`               // of this session, in steps
	ETA             time.Duration `json:"eta"`                   // to the last step, at the present speed
}

// Best is the validation with the lowest loss.
type Best struct {
	Step      int     `json:"step"`
	ValidLoss float64 `json:"valid_loss"`
}

// Summary is what a finished run came to, over all its sessions.
type Summary struct {
	Out             string   `json:"out"`
	Weights         string   `json:"weights"` // the folder of the trained adapter or model
	Steps           int      `json:"steps"`   // done
	Ended           string   `json:"ended"`   // why before the last step; "" = it was reached
	FirstLoss       float64  `json:"first_loss"`
	LastLoss        float64  `json:"last_loss"`
	ValidLoss       *float64 `json:"valid_loss,omitempty"` // of the last validation
	ValidAccuracy   *float64 `json:"valid_token_accuracy,omitempty"`
	Best            *Best    `json:"best,omitempty"`
	Tokens          int      `json:"tokens"`
	TrainedTokens   int      `json:"trained_tokens"`
	Seconds         float64  `json:"seconds"` // in steps
	TokensPerSecond float64  `json:"tokens_per_second"`
	Utilisation     float64  `json:"utilisation,omitempty"` // how busy the threads' cores were in the steps of the last session
	TrainedParams   int      `json:"trained_parameters"`
	Data            string   `json:"data_sha256"` // of the training rows
	Chats           bool     `json:"chats"`       // the model has a chat template and a tokenizer for it
	ResumedAt       int      `json:"-"`           // step this session began after; 0 = at the start
	AlreadyFinished bool     `json:"-"`           // nothing was left to do
}

// ErrInterrupted is what errors.Is finds in the error of a run whose context ended. Its text says how to resume.
var ErrInterrupted = errors.New("interrupted")

// interruptedError is ErrInterrupted with the place and the way on.
type interruptedError struct {
	step, steps int
	saved       bool
	resume      string
}

func (e *interruptedError) Error() string {
	if !e.saved {
		return fmt.Sprintf("interrupted before the first step of %d; start again with: %s", e.steps, e.resume)
	}
	return fmt.Sprintf("interrupted after step %d of %d, which is saved; continue with: %s", e.step, e.steps, e.resume)
}

func (e *interruptedError) Is(target error) bool { return target == ErrInterrupted }

// pausedError is ErrInterrupted of a run that waited for disk space.
type pausedError struct{ what, kept string }

func (e *pausedError) Error() string {
	return fmt.Sprintf("interrupted while the disk was full: %s is not saved; %s; free space, then continue with --resume", e.what, e.kept)
}

func (e *pausedError) Is(target error) bool { return target == ErrInterrupted }

// StoppedError says that training went wrong and why.
type StoppedError struct {
	Step       int    // that went wrong, from 1
	Checkpoint string // folder of the last good checkpoint; "" = there is none
	Err        error
}

// Error gives the step, the reason and what is left.
func (e *StoppedError) Error() string {
	kept := "no checkpoint was saved: set save_every to have them"
	if e.Checkpoint != "" {
		kept = "the last good checkpoint is " + e.Checkpoint
	}
	return fmt.Sprintf("training stopped at step %d: %v; %s", e.Step, e.Err, kept)
}

// Unwrap returns the reason.
func (e *StoppedError) Unwrap() error { return e.Err }

// meter keeps what Progress shows. Speeds are exponential means over about twenty steps, corrected for the start.
type meter struct {
	p                     Progress
	weight                float64 // 1 − decay^steps
	loss, tokens, seconds float64
	cpuSeconds            float64
	used                  float64 // processor time of this session's steps
	lossWeight            float64
}

const meterDecay = 0.9

func (m *meter) step(line trainLine, perEpoch, threads int) {
	const fresh = 1 - meterDecay
	m.weight = m.weight*meterDecay + fresh
	m.tokens = m.tokens*meterDecay + fresh*float64(line.Tokens)
	m.seconds = m.seconds*meterDecay + fresh*line.Seconds
	m.cpuSeconds = m.cpuSeconds*meterDecay + fresh*line.cpuSeconds
	m.used += line.cpuSeconds
	if line.Loss != nil {
		m.lossWeight = m.lossWeight*meterDecay + fresh
		m.loss = m.loss*meterDecay + fresh**line.Loss
		m.p.Loss, m.p.GradNorm, m.p.SmoothedLoss = *line.Loss, *line.GradNorm, m.loss/m.lossWeight
	}
	m.p.Step, m.p.Epoch, m.p.LearningRate = line.Step, (line.Step-1)/perEpoch+1, line.LearningRate
	m.p.Tokens += line.Tokens
	m.p.Elapsed += time.Duration(line.Seconds * float64(time.Second))
	if m.seconds > 0 {
		m.p.TokensPerSecond = m.tokens / m.seconds
	}
	m.p.Utilisation = busy.Share(m.cpuSeconds, m.seconds, threads)
	m.p.ETA = time.Duration(float64(m.p.Steps-m.p.Step) * m.seconds / m.weight * float64(time.Second))
}

// tell reports the present state as e.
func (r *run) tell(e Event, message string) {
	if r.o.Progress == nil {
		return
	}
	p := r.meter.p
	p.Event, p.Message = e, message
	r.o.Progress(p)
}
