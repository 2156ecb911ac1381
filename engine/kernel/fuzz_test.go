package kernel

import (
	"math/rand/v2"
	"testing"
)

// The contracts with arbitrary bits for values, by groups, so that a fuzzer's time goes where it is wanted.

func FuzzVectors(f *testing.F)  { fuzzContracts(f, vectorContracts) }
func FuzzProducts(f *testing.F) { fuzzContracts(f, productContracts) }
func FuzzStored(f *testing.F)   { fuzzContracts(f, storedContracts()) }

// fuzzContracts takes the bits of all operands that may hold any from data, again and again; the rest is ordinary.
func fuzzContracts(f *testing.F, list []*contract) {
	for which := range list {
		f.Add([]byte{}, uint8(which), uint16(0), uint8(0))
		f.Add([]byte{0, 0, 0x80, 0x3f, 0, 0, 0xc0, 0x7f, 0, 0, 0x80, 0xff, 1, 0, 0, 0, 0xff, 0xff, 0x7f}, uint8(which), uint16(17), uint8(1))
		f.Add([]byte("arbitrary text of more than sixty-four bytes, so that whole vectors and a tail take part"), uint8(which), uint16(5), uint8(4))
	}
	places := places(f)
	var trials []*trial
	for _, c := range list {
		trials = append(trials, newTrial(c, places))
	}
	f.Fuzz(func(t *testing.T, data []byte, which uint8, shape uint16, where uint8) {
		tr := trials[int(which)%len(trials)]
		r := rand.New(rand.NewPCG(uint64(shape), 1))
		shapes := tr.shapes(r, false)
		s := shapes[int(shape)%len(shapes)]
		o := tr.make(r, s)
		rest := data
		for i, slot := range tr.slots(s) {
			for b := o[i]; len(b) > 0 && len(data) > 0 && !slot.closed; {
				if len(rest) == 0 {
					rest = data
				}
				n := copy(b, rest)
				b, rest = b[n:], rest[n:]
			}
			if tr.noNaN {
				for k, v := range o.f(i) {
					if v != v {
						o.f(i)[k] = 0
					}
				}
			}
		}
		if err := tr.check(s, o, true, placement(where)%placements); err != nil {
			t.Fatalf("%s: %v", tr.contract, err)
		}
	})
}
