package engine

import (
	"fmt"
	"strings"

	"hone/engine/nn"
	"hone/engine/tensor"
)

// AutoMemory as a setting stands for TrainingMemory.
const AutoMemory = "auto"

// MemoryNames lists the settings of how activations wait for the backward pass.
func MemoryNames() []string {
	names := []string{AutoMemory}
	for m := range nn.MemoryLow + 1 {
		names = append(names, m.String())
	}
	return names
}

// ParseMemory reads a setting: fast, balanced, low, or auto, which is what TrainingMemory says of p.
func ParseMemory(name string, p tensor.Precision) (nn.Memory, error) {
	for m := range nn.MemoryLow + 1 {
		if m.String() == name {
			return m, nil
		}
	}
	if name == AutoMemory {
		return TrainingMemory(p), nil
	}
	return 0, fmt.Errorf("memory %q is unknown; there are %s", name, strings.Join(MemoryNames(), ", "))
}

// TrainingMemory is what auto means at a precision: balanced where products round their operands to bfloat16 anyway,
// fast in f32.
func TrainingMemory(p tensor.Precision) nn.Memory {
	if p == tensor.Single {
		return nn.MemoryFast
	}
	return nn.MemoryBalanced
}

// activationBytes is about what one token of a training pass holds for the backward pass in f32.
func (b *Base) activationBytes() int {
	c := b.cfg
	heads, groups := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	return 4 * c.Layers * (2*c.Hidden + 3*heads + 3*groups + 2*c.Intermediate)
}

// microTokens is the token bound of a forward pass, between 256 and 2048 by the bytes that a token's activations take:
// about 700 MB of them in f32, 420 MB in bfloat16. It never depends on free memory. Where they are computed again the
// bound is that of fast, whose bits it must give.
func (b *Base) microTokens(m nn.Memory) int {
	bytes, room := b.activationBytes(), 700<<20
	if m == nn.MemoryBalanced {
		bytes, room = bytes/2+bytes/b.cfg.Layers, 420<<20 // one layer is in f32
	}
	return max(256, min(2048, room/bytes))
}
