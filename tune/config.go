// Package tune holds the training methods: for each a struct of settings and one flat loop.
package tune

import "hone/engine"

// SFT is a run of supervised fine-tuning: the training file, the flags of hone train and the body of a training job
// are this struct. The json tag is the key, the doc tag its line in the reference.
type SFT struct {
	Method string `json:"method" doc:"what the run does: sft, supervised fine-tuning"`
	Model  string `json:"model" doc:"the base: a catalogue name, a folder of safetensors, or a .gguf, .safetensors or llama2.c .bin file"`
	Train  string `json:"train" doc:"JSONL file of rows: chats, prompt and completion, text, or input_ids with labels"`
	Valid  string `json:"valid" doc:"JSONL file of rows that are measured and not trained; empty = none"`
	Out    string `json:"out" doc:"folder the run writes to"`

	Adapter Adapter `json:"adapter" doc:"what is trained"`

	Epochs       int     `json:"epochs" doc:"times each row is trained"`
	MaxSteps     int     `json:"max_steps" doc:"optimiser steps, in place of epochs; 0 = as epochs says"`
	Batch        int     `json:"batch" doc:"rows of the file that one optimiser step sees"`
	MicroBatch   Auto    `json:"micro_batch" doc:"rows that go through the model at once; auto = as many as its size allows. Results differ by rounding alone"`
	LearningRate float64 `json:"learning_rate" doc:"highest learning rate"`
	Schedule     string  `json:"schedule" doc:"learning rate after the warm-up: linear (to zero), cosine (to zero) or constant"`
	Warmup       int     `json:"warmup" doc:"steps over which the learning rate rises to its highest"`
	WeightDecay  float64 `json:"weight_decay" doc:"decoupled weight decay, on every trained parameter"`
	Betas        Betas   `json:"betas" doc:"AdamW's decay of the two moments"`
	Eps          float64 `json:"eps" doc:"AdamW's epsilon"`
	MaxGradNorm  float64 `json:"max_grad_norm" doc:"gradients of a larger norm are scaled down to it; 0 = off"`
	Seed         int     `json:"seed" doc:"of the adapter's start, the order of rows and dropout"`
	Shuffle      bool    `json:"shuffle" doc:"rows come in a new random order each epoch; false = in the order of the file"`
	Packing      bool    `json:"packing" doc:"rows go through the model together, without seeing each other; false = one at a time"`
	MaxLength    int     `json:"max_length" doc:"most tokens of a row"`
	Truncate     bool    `json:"truncate" doc:"cut longer rows at max_length; false = refuse them"`
	Precision    string  `json:"precision" doc:"of the products with weights: auto = bf16 where the CPU multiplies it, else f32; f32; bf16 (operands rounded to bfloat16, sums in f32; slow on other CPUs); fixed, also called int8 (as bf16, but a quantised base multiplies integer activations with its 4- or 8-bit weights forward). The adapter, its gradients and moments are f32 always"`
	Memory       string  `json:"memory" doc:"how activations wait for the backward pass: fast = in f32; balanced = rounded to bfloat16, half of that; low = only the input of each layer, the rest is computed again, with the bits of fast in about a quarter more time; auto = balanced, at precision f32 fast"`
	Threads      Auto    `json:"threads" doc:"threads that compute; auto = one a core. Results do not depend on it"`
	Date         string  `json:"date" doc:"day that chat templates print, as 2025-07-10; empty = the day the run starts, which run.yaml records"`

	EvalEvery       int           `json:"eval_every" doc:"steps between validations; 0 = at the end alone"`
	SaveEvery       int           `json:"save_every" doc:"steps between checkpoints; 0 = at the end alone"`
	KeepCheckpoints int           `json:"keep_checkpoints" doc:"newest checkpoints kept, at least 2"`
	EarlyStopping   EarlyStopping `json:"early_stopping" doc:"ends the run when validation no longer improves"`
	ResumeOtherCPU  bool          `json:"resume_other_cpu" doc:"let --resume continue on a CPU whose arithmetic rounds differently; the result then differs from an uninterrupted run's"`
}

// Adapter says what is trained: a small adapter beside the weights, or the weights.
type Adapter struct {
	Type         string             `json:"type" doc:"lora, or none = full fine-tuning"`
	R            int                `json:"r" doc:"rank"`
	Alpha        float64            `json:"alpha" doc:"the adapter's output is scaled by alpha/r, with rslora by alpha/sqrt(r)"`
	Dropout      float64            `json:"dropout" doc:"share of the adapter's inputs dropped in training"`
	Targets      Targets            `json:"targets" doc:"layers that get an adapter: all-linear (all but the head), a list of names or suffixes, or one string = a regular expression over whole names"`
	RSLora       bool               `json:"rslora" doc:"rank-stabilised scaling"`
	RankPattern  map[string]int     `json:"rank_pattern" doc:"ranks of layers whose name ends in, or matches, a key"`
	AlphaPattern map[string]float64 `json:"alpha_pattern" doc:"alphas of layers whose name ends in, or matches, a key"`
	Layers       []int              `json:"layers" doc:"numbers of the blocks that get an adapter; empty = all"`
	Init         string             `json:"init" doc:"PEFT adapter folder to start from; its r, alpha and targets must be these, its patterns and layers hold where none are given"`
}

// EarlyStopping ends a run whose validation loss no longer falls.
type EarlyStopping struct {
	Patience int     `json:"patience" doc:"validations in a row without a lower valid_loss that end the run; 0 = never"`
	MinDelta float64 `json:"min_delta" doc:"how much lower counts as lower"`
}

// DefaultSFT returns the settings that hold where a file and flags say nothing. It is the one place of defaults.
func DefaultSFT() SFT {
	return SFT{
		Method: "sft",
		Out:    "runs/sft",
		Adapter: Adapter{
			Type:    "lora",
			R:       16,
			Alpha:   32,
			Targets: Targets{Pattern: AllLinear},
		},
		Epochs:          1,
		Batch:           16,
		LearningRate:    1e-3,
		Schedule:        "linear",
		Betas:           Betas{0.9, 0.999},
		Eps:             1e-8,
		MaxGradNorm:     1,
		Shuffle:         true,
		Packing:         true,
		MaxLength:       2048,
		Precision:       engine.AutoPrecision,
		Memory:          engine.AutoMemory,
		KeepCheckpoints: 2,
	}
}
