package kernel

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime/debug"
	"testing"
	"unsafe"
)

// A contract is what every implementation of one kernel must hold: for each shape it gives the generic form's result,
// writes nothing but its outputs, reads nothing but its operands, and its bits do not depend on where they lie.
type contract struct {
	field  string                                 // of implementation
	note   string                                 // what sets this apart from other contracts of the field
	shapes func(r *rand.Rand, dense bool) [][]int // the first number of a shape is the length of its sums
	slots  func(s []int) []slot
	run    func(s []int, o operands) // calls the kernel at the active level
	fits   func(s []int) bool        // whether the active level takes the shape; nil: all do

	// How near to the generic form: bit for bit, NaN included (raw); the same values, any NaN for a NaN (neither set);
	// or within ulps + perTerm·s[0] units in the last place. Those are of the result, or of the sum of its terms'
	// magnitudes, which size puts in its place, from operands without signs, or where signed, with them.
	raw           bool
	ulps, perTerm float64
	size          func(s []int, o operands)
	signed        bool
	inside        func(s []int, i int) bool // whether element i of an output is one; nil: all are. Others keep their bits
	noNaN         bool                      // what comes of a NaN is not specified
}

func (c *contract) String() string {
	if c.note != "" {
		return c.field + ", " + c.note
	}
	return c.field
}

// make returns operands of the shape's sizes and ordinary values.
func (c *contract) make(r *rand.Rand, s []int) operands {
	slots := c.slots(s)
	o := make(operands, len(slots))
	for i, slot := range slots {
		o[i] = make([]byte, slot.size(), slot.size()+4)
		if slot.fill != nil {
			slot.fill(r, o[i])
		} else {
			fillFloats(r, o[i])
		}
	}
	return o
}

// at runs the contract at a level.
func (c *contract) at(impl *implementation, s []int, o operands) {
	was := active
	defer func() { active = was }()
	active = impl
	c.run(s, o)
}

// takenBy reports whether a level takes the shape.
func (c *contract) takenBy(impl *implementation, s []int) bool {
	was := active
	defer func() { active = was }()
	active = impl
	return c.fits == nil || c.fits(s)
}

// sizes is the magnitude of each output's terms, from which a tolerance follows.
func (c *contract) sizes(s []int, o, want operands) operands {
	if c.size == nil {
		return want
	}
	o = o.clone()
	for i, slot := range c.slots(s) {
		if !slot.bytes && !c.signed {
			for k, v := range o.f(i) {
				o.f(i)[k] = float32(math.Abs(float64(v)))
			}
		}
	}
	was := active
	defer func() { active = was }()
	active = &generic
	c.size(s, o)
	return o
}

// differs compares one output with the generic form's. Where loose, sums near overflow are left out: terms in another
// order may get there sooner.
//
//go:norace
func (c *contract) differs(s []int, before, got, want, size []float32, loose bool) error {
	units := c.ulps + c.perTerm*float64(s[0])
	for i, w := range want {
		g := got[i]
		if math.Float32bits(g) == math.Float32bits(w) || !c.raw && g != g && w != w {
			continue
		}
		if c.inside != nil && !c.inside(s, i) {
			return fmt.Errorf("element %d, which is no output, was %v and is %v", i, before[i], g)
		}
		if units > 0 {
			scale := math.Abs(float64(size[i]))
			tolerance := units*0x1p-23*scale + (units+4)*math.SmallestNonzeroFloat32
			if math.Abs(float64(g)-float64(w)) <= tolerance && !math.IsInf(scale, 0) {
				continue
			}
			if finite(w) && math.IsInf(scale, 0) || loose && scale > 1e37 {
				continue
			}
		}
		return fmt.Errorf("element %d is %v (%08x), want %v (%08x), from terms of %v",
			i, g, math.Float32bits(g), w, math.Float32bits(w), size[i])
	}
	return nil
}

func finite(v float32) bool { return v-v == 0 }

// A trial runs one contract at the levels of this machine.
type trial struct {
	*contract
	levels []*implementation // with code of their own
	places []*place
}

func newTrial(c *contract, places []*place) *trial {
	tr := &trial{contract: c, places: places}
	seen := map[uintptr]bool{}
	for _, impl := range supported() {
		if code := kernelOf(impl, c.field).Pointer(); !seen[code] || impl == active {
			tr.levels = append(tr.levels, impl)
			seen[code] = true
		}
	}
	return tr
}

// kernelOf is a field of an implementation.
func kernelOf(impl *implementation, field string) reflect.Value {
	return reflect.ValueOf(impl).Elem().FieldByName(field)
}

// check calls the kernel with operands o at every level and the given placements.
func (tr *trial) check(s []int, o operands, loose bool, where ...placement) (err error) {
	want := o.clone()
	tr.at(&generic, s, want)
	sizes := tr.sizes(s, o, want)
	for _, impl := range tr.levels {
		if !tr.takenBy(impl, s) {
			continue
		}
		var reference operands
		for _, p := range where {
			got, err := tr.call(impl, s, o, p)
			if err != nil {
				return fmt.Errorf("%s, shape %v, placement %d: %w", impl.name, s, p, err)
			}
			for i, slot := range tr.slots(s) {
				switch {
				case !slot.written && !bytes.Equal(got[i], o[i]):
					err = fmt.Errorf("operand %d, an input, was changed", i)
				case !slot.written:
				case reference != nil && !bytes.Equal(got[i], reference[i]):
					err = fmt.Errorf("output %d depends on where the operands lie", i)
				default:
					if err = tr.differs(s, o.f(i), got.f(i), want.f(i), sizes.f(i), loose); err != nil {
						err = fmt.Errorf("output %d: %w", i, err)
					}
				}
				if err != nil {
					return fmt.Errorf("%s, shape %v, placement %d: %w", impl.name, s, p, err)
				}
			}
			if reference == nil {
				reference = got.clone()
			}
		}
	}
	return nil
}

// call places the operands, runs the kernel and checks the guards; touching a fence is an error.
func (tr *trial) call(impl *implementation, s []int, o operands, p placement) (got operands, err error) {
	got = make(operands, len(o))
	for i, slot := range tr.slots(s) {
		got[i] = tr.places[i].put(o[i], p, i, slot.bytes)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	tr.at(impl, s, got)
	for i := range o {
		if !tr.places[i].stands() {
			return nil, fmt.Errorf("a guard word of operand %d was overwritten", i)
		}
	}
	return got, nil
}

// checkSpecials plants NaN, infinities, subnormals and the like, one at a time: all of them in small operands, in
// large ones a few, which change from shape to shape.
func (tr *trial) checkSpecials(s []int, o operands, turn int) error {
	total, slots := 0, tr.slots(s)
	for i := range o {
		total += len(o[i])
	}
	all := len(slots) * int(positions) * classes
	few := max(1, min(all, 20000/(total+1)))
	for n := range few {
		n += turn * few
		i, where, class := n%len(slots), position(n/len(slots)%int(positions)), n/len(slots)/int(positions)%classes
		if len(o[i]) == 0 || class == 0 && tr.noNaN {
			continue
		}
		plant := slots[i].plant
		if plant == nil {
			plant = plantWord(&specialFloats)
		}
		special := o.clone()
		plant(special[i], where, class)
		if err := tr.check(s, special, false, placement(n)%placements); err != nil {
			return fmt.Errorf("class %d in operand %d, position %d: %w", class, i, where, err)
		}
	}
	return nil
}

// TestContracts holds every kernel of the table, at every level of this machine, to its contract: lengths from 0 to
// 130, operands that start off alignment, fences and guard words around them, special values in all places.
func TestContracts(t *testing.T) {
	places := places(t)
	for _, c := range contracts {
		t.Run(c.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 1))
			tr := newTrial(c, places)
			everywhere := []placement{aligned, shifted, shifted2, shifted3, atEnd, atStart}
			for turn, s := range c.shapes(r, !testing.Short()) {
				o := c.make(r, s)
				if err := tr.check(s, o, false, everywhere...); err != nil {
					t.Fatal(err)
				}
				if err := tr.checkSpecials(s, o, turn); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Every function of the table has a contract that calls it, at every level.
func TestEveryKernelHasAContract(t *testing.T) {
	table := reflect.TypeFor[implementation]()
	for i := range table.NumField() {
		field := table.Field(i)
		if field.Type.Kind() != reflect.Func {
			if k := field.Type.Kind(); k != reflect.String && k != reflect.Int && k != reflect.Bool {
				t.Errorf("%s is a %s: this test knows functions and settings", field.Name, field.Type)
			}
			continue
		}
		for _, impl := range supported() {
			if kernelOf(impl, field.Name).IsNil() {
				t.Errorf("level %s has no %s", impl.name, field.Name)
			}
		}
		found := false
		for _, c := range contracts {
			if c.field == field.Name {
				found = true
				if !calls(t, c) {
					t.Errorf("contract %q never calls its kernel", c)
				}
			}
		}
		if !found {
			t.Errorf("kernel %s has no contract: add one to contracts, so that its levels are compared", field.Name)
		}
	}
}

// calls reports whether a contract's shapes reach its kernel in the generic table.
func calls(t *testing.T, c *contract) (called bool) {
	spy := generic
	field := kernelOf(&spy, c.field)
	inner := kernelOf(&generic, c.field)
	inner = reflect.NewAt(inner.Type(), unsafe.Pointer(inner.UnsafeAddr())).Elem() // the field is not exported
	reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Set(reflect.MakeFunc(field.Type(),
		func(args []reflect.Value) []reflect.Value {
			called = true
			return inner.Call(args)
		}))
	r := rand.New(rand.NewPCG(2, 2))
	for _, s := range c.shapes(r, false) {
		if !called && c.takenBy(&spy, s) {
			c.at(&spy, s, c.make(r, s))
		}
	}
	return called
}
