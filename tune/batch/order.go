package batch

import "math/bits"

// Order says which rows each optimiser step sees. It is a function of its fields and the step's number alone, so a
// run resumes at any step without a stored state, on every platform alike.
type Order struct {
	Rows    int // of the file
	Batch   int // rows of a step; the last step of an epoch takes what is left
	Seed    uint64
	Shuffle bool // a new random order each epoch; false = the order of the file

	epoch int   // that perm is of, plus 1; 0 = none yet
	perm  []int // rows in the order of the epoch
}

// PerEpoch is the number of steps that see each row once.
func (o *Order) PerEpoch() int { return (o.Rows + o.Batch - 1) / o.Batch }

// At returns the rows of a step, both counted from 0. The slice is good until the next call.
func (o *Order) At(step int) []int {
	epoch, at := step/o.PerEpoch(), step%o.PerEpoch()
	if o.epoch != epoch+1 {
		o.perm, o.epoch = permutation(o.perm, o.Rows), epoch+1
		if o.Shuffle {
			shuffle(o.perm, o.Seed, uint64(epoch))
		}
	}
	return o.perm[at*o.Batch : min(o.Rows, (at+1)*o.Batch)]
}

func permutation(p []int, n int) []int {
	p = p[:0]
	for i := range n {
		p = append(p, i)
	}
	return p
}

// shuffle is Fisher and Yates' with the i-th draw a hash of (seed, epoch, i): no generator has a state to keep.
func shuffle(p []int, seed, epoch uint64) {
	key := mix(mix(seed^0x9e3779b97f4a7c15) + epoch)
	for i := len(p) - 1; i > 0; i-- {
		// The high half of draw × (i+1) is uniform below i+1 but for a bias of (i+1)/2⁶⁴.
		j, _ := bits.Mul64(mix(key+uint64(i)*0x9e3779b97f4a7c15), uint64(i+1))
		p[i], p[j] = p[j], p[i]
	}
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood 2014): every output bit hangs on every input bit.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
