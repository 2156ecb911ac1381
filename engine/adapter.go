package engine

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"hone/engine/nn"
	"hone/engine/weights"
)

// Adapter is a low-rank change to a base's linear layers (LoRA). It belongs to the base it was made for, and is
// immutable but for a Trainer that trains it.
type Adapter struct {
	base    *Base
	cfg     weights.AdapterConfig
	mods    nn.Adapter
	dropout bool // some layer drops inputs in training
	sealed  bool // Seal has given A and B back
}

// NewAdapter makes an untrained adapter as c describes it: A drawn from seed, B zero. Targets are matched as PEFT
// matches them; a target that selects no layer is an error.
func (b *Base) NewAdapter(c weights.AdapterConfig, seed uint64) (*Adapter, error) {
	a, err := b.emptyAdapter(c)
	if err != nil {
		return nil, err
	}
	for i, l := range a.mods.LoRA {
		if l != nil {
			lin := b.dec.Linears[i]
			initA(l.A, lin.In(), seed, lin.Name)
		}
	}
	return a, nil
}

// emptyAdapter makes an adapter whose values are all zero.
func (b *Base) emptyAdapter(c weights.AdapterConfig) (*Adapter, error) {
	if c.PeftType == "" {
		c.PeftType, c.TaskType = "LORA", "CAUSAL_LM"
	}
	if c.Bias == "" {
		c.Bias = "none"
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	m, err := c.Matcher()
	if err != nil {
		return nil, fmt.Errorf("adapter: %w", err)
	}
	a := &Adapter{base: b, mods: nn.Adapter{LoRA: make([]*nn.LoRA, len(b.dec.Linears))}, dropout: c.Dropout > 0}
	var names []string // what PEFT would write for all-linear: the layers' own names
	for i, lin := range b.dec.Linears {
		r, alpha, ok, err := m.Match(lin.Name)
		if err != nil {
			return nil, fmt.Errorf("adapter: %w", err)
		}
		if !ok {
			continue
		}
		if most := min(lin.In(), lin.Out()); r > most {
			return nil, fmt.Errorf("adapter: rank %d is more than module %s of %d × %d has", r, lin.Name, lin.Out(), lin.In())
		}
		a.mods.LoRA[i] = &nn.LoRA{R: r, Scale: float32(c.Scale(r, alpha)), Dropout: float32(c.Dropout),
			A: make([]float32, r*lin.In()), B: make([]float32, lin.Out()*r)}
		names = append(names, lin.Name[strings.LastIndexByte(lin.Name, '.')+1:])
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("adapter: the targets select no layer; the model's layers end in %s", strings.Join(b.layerKinds(), ", "))
	}
	if strings.EqualFold(c.TargetRegex, weights.AllLinear) {
		slices.Sort(names)
		c.TargetRegex, c.TargetModules = "", slices.Compact(names)
	}
	a.cfg = c
	return a, nil
}

// layerKinds is the last name components of the adaptable layers.
func (b *Base) layerKinds() (kinds []string) {
	for _, l := range b.dec.Linears {
		kinds = append(kinds, l.Name[strings.LastIndexByte(l.Name, '.')+1:])
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// LoadAdapter reads a PEFT folder for this base. Every tensor must find its layer, in the layer's shape, and an
// adapter that names another base is refused.
func (b *Base) LoadAdapter(dir string) (*Adapter, error) {
	files, err := weights.ReadAdapter(dir)
	if err != nil {
		return nil, err
	}
	if files.Facts != nil && files.Facts.BaseSHA256 != "" {
		sum, err := b.SHA256()
		if err != nil {
			return nil, fmt.Errorf("load adapter %s: %w", dir, err)
		}
		if err := files.Facts.CheckBase(sum); err != nil {
			return nil, fmt.Errorf("load adapter %s: %w", dir, err)
		}
	}
	a := &Adapter{base: b, cfg: files.Config, mods: nn.Adapter{LoRA: make([]*nn.LoRA, len(b.dec.Linears))}, dropout: files.Config.Dropout > 0}
	for _, p := range files.Pairs {
		i := slices.IndexFunc(b.dec.Linears, func(l *nn.Linear) bool { return l.Name == p.Module })
		if i < 0 {
			return nil, fmt.Errorf("load adapter %s: the base has no adaptable layer %s, which the adapter changes; its layers end in %s", dir, p.Module, strings.Join(b.layerKinds(), ", "))
		}
		lin := b.dec.Linears[i]
		if p.A.Shape[1] != lin.In() || p.B.Shape[0] != lin.Out() {
			return nil, fmt.Errorf("load adapter %s: %s has shapes %v and %v, layer %s of the base is %d × %d", dir, p.Module, p.A.Shape, p.B.Shape, lin.Name, lin.Out(), lin.In())
		}
		a.mods.LoRA[i] = &nn.LoRA{R: p.R, Scale: float32(p.Scale), Dropout: float32(files.Config.Dropout), A: weights.AsF32(p.A), B: weights.AsF32(p.B)}
	}
	if err := a.Freeze(); err != nil {
		return nil, fmt.Errorf("load adapter %s: %w", dir, err)
	}
	if len(files.Pairs) == 0 {
		return nil, fmt.Errorf("load adapter %s: it holds no tensors", dir)
	}
	return a, nil
}

// InitAdapter makes an adapter as c describes it with the values of the PEFT folder dir, which must have the same
// layers, ranks and scales.
func (b *Base) InitAdapter(c weights.AdapterConfig, dir string) (*Adapter, error) {
	a, err := b.emptyAdapter(c)
	if err != nil {
		return nil, err
	}
	from, err := b.LoadAdapter(dir)
	if err != nil {
		return nil, err
	}
	for i, l := range a.mods.LoRA {
		name, f := b.dec.Linears[i].Name, from.mods.LoRA[i]
		switch {
		case l == nil && f == nil:
			continue
		case l == nil:
			return nil, fmt.Errorf("adapter init %s: it changes %s, which the targets leave out", dir, name)
		case f == nil:
			return nil, fmt.Errorf("adapter init %s: it has no values for %s, which the targets select", dir, name)
		case l.R != f.R:
			return nil, fmt.Errorf("adapter init %s: %s has rank %d there, r gives %d", dir, name, f.R, l.R)
		case l.Scale != f.Scale:
			return nil, fmt.Errorf("adapter init %s: %s is scaled by %v there, alpha, r and rslora give %v", dir, name, f.Scale, l.Scale)
		}
		copy(l.A, f.A)
		copy(l.B, f.B)
	}
	return a, nil
}

// Save writes the adapter as a PEFT folder, with facts in hone.json.
func (a *Adapter) Save(dir string, facts weights.Facts) error {
	if a.sealed {
		return errSealed
	}
	var ts []weights.Tensor
	for i, l := range a.mods.LoRA {
		if l == nil {
			continue
		}
		lin := a.base.dec.Linears[i]
		nameA, nameB := peftNames(lin.Name)
		ts = append(ts, f32Tensor(nameA, []int{l.R, lin.In()}, l.A), f32Tensor(nameB, []int{lin.Out(), l.R}, l.B))
	}
	return weights.WriteAdapter(dir, a.cfg, ts, facts)
}

// Config is the adapter's PEFT configuration.
func (a *Adapter) Config() weights.AdapterConfig { return a.cfg }

// Freeze lays the adapter out for decoding at the base's precision, as LoadAdapter does; a new trainer undoes it. It
// is for an adapter that has been trained and is to be used at once.
func (a *Adapter) Freeze() error {
	if a.sealed {
		return nil
	}
	a.mods.Freeze(a.base.dec.Linears, a.base.prec)
	return nil
}

// Seal freezes the adapter and gives back the values that only training and saving need, so that it takes about 2 bytes
// a parameter, or at f32 4. It can then decode and score, and nothing else.
func (a *Adapter) Seal() error {
	if err := a.Freeze(); err != nil {
		return err
	}
	a.sealed = true
	for _, l := range a.mods.LoRA {
		if l != nil {
			l.A, l.B = nil, nil
		}
	}
	return nil
}

// errSealed says what a sealed adapter cannot do any more.
var errSealed = errors.New("the adapter is sealed: it holds no values to train or to save")

// Bytes is the memory that the adapter's values take.
func (a *Adapter) Bytes() int { return a.mods.Bytes() }

// modules is the adapter's layers, nil for a nil adapter.
func (a *Adapter) modules() *nn.Adapter {
	if a == nil {
		return nil
	}
	return &a.mods
}

// peftNames are the tensor names of a module's two matrices in a PEFT file.
func peftNames(module string) (a, b string) {
	return weights.AdapterTensorName(module, "A"), weights.AdapterTensorName(module, "B")
}

// Params is the number of the adapter's parameters.
func (a *Adapter) Params() (n int) {
	for i, l := range a.mods.LoRA {
		if l != nil {
			lin := a.base.dec.Linears[i]
			n += l.R * (lin.In() + lin.Out())
		}
	}
	return n
}

// initA fills a module's A as PEFT does: uniform in ±1/√in (He et al. 2015 with a = √5, arXiv 1502.01852). The
// draws depend on the seed and the module's name alone.
func initA(a []float32, in int, seed uint64, name string) {
	h := seed
	for _, r := range []byte(name) {
		h = (h ^ uint64(r)) * 0x100000001b3 // FNV-1a
	}
	bound := 1 / math.Sqrt(float64(in))
	for i := range a {
		a[i] = float32((2*uniform(h, uint64(i)) - 1) * bound) //nolint:gosec // i is an index
	}
}

// checkAdapter refuses an adapter that belongs to another base.
func (b *Base) checkAdapter(a *Adapter) error {
	if a != nil && a.base != b {
		return errors.New("the adapter was loaded for another base")
	}
	return nil
}
