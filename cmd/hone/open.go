package main

import (
	"fmt"

	"hone/catalog"
	"hone/engine"
)

// opened is a model with at most one adapter on it.
type opened struct {
	*catalog.Model
	Adapter *engine.Adapter // nil: the base alone
}

// precisionHelp is the help of --precision in commands that run a model.
const precisionHelp = "of the products with weights: f32, bf16, fixed (also called int8), or auto: where the CPU is fast at it, fixed point (activations of 12 to 16 bits) for quantised weights and bf16 for 16-bit ones, else f32"

// loadOptions are those of the flags --threads and --precision of f.
func loadOptions(m *Main, f *flags, threads int, precision string) (engine.LoadOptions, error) {
	o := engine.LoadOptions{Threads: threads}
	if err := o.SetPrecision(precision); err != nil {
		return o, f.wrong("--precision: %w", err)
	}
	if engine.Emulated(o.Precision) {
		fmt.Fprintf(m.Stderr, "warning: this CPU has no bf16 instructions, so --precision %s is slower than f32; auto takes what is fast\n", o.Precision)
	}
	return o, nil
}

// openModel opens a model for running and, if adapter names a folder, the adapter.
func openModel(name, adapter string, o engine.LoadOptions) (*opened, error) {
	model, err := catalog.Open(name, o)
	if err != nil {
		return nil, err
	}
	with := &opened{Model: model}
	if adapter == "" {
		return with, nil
	}
	if with.Adapter, err = model.Base.LoadAdapter(adapter); err != nil {
		model.Close()
		return nil, fmt.Errorf("load adapter %s: %w", adapter, err)
	}
	return with, nil
}
