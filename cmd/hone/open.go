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
func openModel(name, adapter string, threads int) (*opened, error) {
	model, err := catalog.Open(name, engine.LoadOptions{Threads: threads})
	if err != nil {
		return nil, err
	}
	o := &opened{Model: model}
	if adapter == "" {
		return o, nil
	}
	if o.Adapter, err = model.Base.LoadAdapter(adapter); err != nil {
		model.Close()
		return nil, fmt.Errorf("load adapter %s: %w", adapter, err)
	}
	return o, nil
}
