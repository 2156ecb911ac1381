package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"hone/engine/tensor"
	"hone/engine/weights"
)

// stepTensor is the name under which State keeps the number of steps done.
const stepTensor = "step"

// State returns everything that a trainer must have to continue with equal bits: trained weights (param.NAME),
// moments (m.NAME, v.NAME) and the number of steps (step). The data is a copy.
func (t *Trainer) State() []weights.Tensor {
	out := []weights.Tensor{{Name: stepTensor, DType: tensor.I64, Shape: []int{1}, Data: binary.LittleEndian.AppendUint64(nil, uint64(t.steps))}} //nolint:gosec // not negative
	for _, s := range t.slots {
		out = append(out, f32Tensor("param."+s.Name, s.Shape, s.W), f32Tensor("m."+s.Name, s.Shape, s.M), f32Tensor("v."+s.Name, s.Shape, s.V))
	}
	return out
}

// Restore puts a State back, bit for bit. It refuses one that is not of this trainer's shape, and then changes
// nothing.
func (t *Trainer) Restore(state map[string]weights.Tensor) error {
	st, ok := state[stepTensor]
	if !ok || st.DType != tensor.I64 || len(st.Data) != 8 {
		return fmt.Errorf("restore: tensor %s is missing or not one I64", stepTensor)
	}
	if want := 1 + 3*len(t.slots); len(state) != want {
		return fmt.Errorf("restore: %d tensors, this run has %d", len(state), want)
	}
	for _, s := range t.slots {
		for _, prefix := range []string{"param.", "m.", "v."} {
			x, ok := state[prefix+s.Name]
			if !ok || x.DType != tensor.F32 || len(x.Data) != 4*len(s.W) {
				return fmt.Errorf("restore: tensor %s is missing or not F32 of shape %v", prefix+s.Name, s.Shape)
			}
		}
	}
	for _, s := range t.slots {
		readF32(s.W, state["param."+s.Name].Data)
		readF32(s.M, state["m."+s.Name].Data)
		readF32(s.V, state["v."+s.Name].Data)
	}
	t.steps = int(binary.LittleEndian.Uint64(st.Data)) //nolint:gosec // written by State
	t.ZeroGrad()
	t.refresh()
	return nil
}

// f32Tensor is a copy of x as a tensor.
func f32Tensor(name string, shape []int, x []float32) weights.Tensor {
	data := make([]byte, 4*len(x))
	for i, v := range x {
		binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(v))
	}
	return weights.Tensor{Name: name, DType: tensor.F32, Shape: shape, Data: data}
}

func readF32(dst []float32, data []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
}

// SaveModel writes the trained weights of full fine-tuning as a Hugging Face folder, all or nothing: config.json,
// model.safetensors in f32, and the files beside, by name, which make it a whole model.
func (t *Trainer) SaveModel(dir string, beside map[string][]byte) error {
	if t.adapter != nil {
		return errors.New("save model: this run trains an adapter, which Adapter.Save writes")
	}
	var ts []weights.Tensor
	for _, s := range t.slots {
		ts = append(ts, f32Tensor(s.Name, s.Shape, s.W))
	}
	config, others := t.base.model.Portable()
	ts = append(ts, others...)
	files := maps.Clone(beside)
	if files == nil {
		files = map[string][]byte{}
	}
	files["config.json"] = config
	f, err := weights.CreateFolder(dir)
	if err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	defer f.Abort()
	if err := f.Write("model.safetensors", func(w io.Writer) error {
		return weights.WriteSafetensors(w, ts, map[string]string{"format": "pt"})
	}); err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := f.Write(name, func(w io.Writer) error { _, err := w.Write(files[name]); return err }); err != nil {
			return fmt.Errorf("save model: %w", err)
		}
	}
	if err := f.Commit(); err != nil {
		return fmt.Errorf("save model: %w", err)
	}
	return nil
}
