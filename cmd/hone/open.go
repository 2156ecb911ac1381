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
