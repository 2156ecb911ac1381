package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/cpu"

	"hone/engine/kernel"
	"hone/engine/tensor"
)

// cpuName is the CPU's model as the system names it, or at least the architecture.
func cpuName() string {
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	if runtime.GOOS == "darwin" {
		if out, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
			return strings.TrimSpace(string(out))
		}
	}
	return runtime.GOARCH
}

// cpuFeatures lists those features of the CPU that speed up products.
func cpuFeatures() []string {
	features := []string{}
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"avx2", cpu.X86.HasAVX2}, {"fma", cpu.X86.HasFMA}, {"avx512f", cpu.X86.HasAVX512F}, {"avx512vl", cpu.X86.HasAVX512VL},
		{"avx512bw", cpu.X86.HasAVX512BW}, {"avx512dq", cpu.X86.HasAVX512DQ}, {"avx512_vnni", cpu.X86.HasAVX512VNNI},
		{"avx512_bf16", cpu.X86.HasAVX512BF16}, {"amx_tile", cpu.X86.HasAMXTile}, {"amx_bf16", cpu.X86.HasAMXBF16}, {"amx_int8", cpu.X86.HasAMXInt8},
		{"asimd", cpu.ARM64.HasASIMD}, {"asimddp", cpu.ARM64.HasASIMDDP}, {"sve", cpu.ARM64.HasSVE},
	} {
		if f.has {
			features = append(features, f.name)
		}
	}
	return features
}

// limitNames are the keys of the measured limits, by the precision whose products they bound.
var limitNames = map[tensor.Precision]string{tensor.Single: "f32", tensor.Half: "bf16", tensor.Fixed: "int8"}

// gflops measures the product that stands for the rest, at each precision. int8 is Fixed over 8-bit weights: its
// activations have 16 bits, so a multiplication counted here is two of the CPU's.
func (b *bench) gflops(ctx context.Context) error {
	rows := 2048
	if b.c.Quick {
		rows = 32
	}
	b.r.GFLOPS = map[string]float64{}
	for _, prec := range []tensor.Precision{tensor.Single, tensor.Half, tensor.Fixed} {
		p := newProduct(shape{rows, 576, 1536, forward}, prec)
		rate, err := b.product(ctx, p)
		if err != nil {
			return err
		}
		name := limitNames[prec]
		b.r.GFLOPS[name] = rate.Median
		b.limit("gflops_"+name, rate)
	}
	return nil
}

func (b *bench) limit(name string, r benchRate) {
	if b.r.Limits == nil {
		b.r.Limits = map[string]benchRate{}
	}
	b.r.Limits[name] = r
}

// bandwidth measures how fast all threads together can read memory that no cache holds: each streams long runs of its
// own. A call of the kernel reads 128 KiB, so that the collector never waits for it.
func (b *bench) bandwidth(ctx context.Context) error {
	size := 128 << 20 // values; 512 MiB
	if b.c.Quick {
		size = 4 << 20
	}
	values := tensor.RoomF32(size) // as weights lie
	for i := range values {        // written, so that every page is there
		values[i] = 1
	}
	const call = 1 << 15
	sums := make([]float32, 8*b.pool.Threads())
	run := (size/len(sums) + call - 1) / call * call
	times, err := b.times(ctx, nil, func() error {
		b.pool.Run(len(sums), func(i, _ int) {
			end := min((i+1)*run, size)
			for at := i * run; at < end; at += call {
				sums[i] += kernel.Sum(values[at:min(at+call, end)])
			}
		})
		return nil
	})
	if err != nil {
		return err
	}
	rate := rateOf(4*float64(size)/1e9, times, b.pool.Threads())
	b.r.Bandwidth = rate.Median
	b.limit("bandwidth_gbs", rate)
	return nil
}

// shape is a product's size: M rows of activations, K inputs, N outputs, and which way it goes.
type shape struct {
	M, K, N   int
	Direction string
}

// The directions of a product with a frozen weight w (N, K).
const (
	forward  = "forward"  // y (M, N) = x (M, K) · wᵀ
	backward = "backward" // dx (M, K) = dy (M, N) · w
)

// productShapes are those of SmolLM2-135M's layers in training and in decoding for 16 streams, and of its head over
// the vocabulary.
func productShapes() (all []shape) {
	for _, direction := range []string{forward, backward} {
		all = append(all,
			shape{2048, 576, 1536, direction}, shape{2048, 1536, 576, direction}, shape{2048, 576, 576, direction}, shape{2048, 576, 192, direction},
			shape{256, 576, 1536, direction}, shape{16, 576, 1536, direction}, shape{512, 576, 49152, direction})
	}
	return all
}

// productRate is the rate of one product.
type productRate struct {
	M         int       `json:"m"`
	K         int       `json:"k"`
	N         int       `json:"n"`
	Direction string    `json:"direction"`
	Precision string    `json:"precision"`
	GFLOPS    benchRate `json:"gflops"`
}

// products measures every shape in f32 and bf16.
func (b *bench) products(ctx context.Context) error {
	for _, s := range productShapes() {
		for _, prec := range []tensor.Precision{tensor.Single, tensor.Half} {
			if b.c.Quick {
				s.M, s.N = min(s.M, 16), min(s.N, 1536)
			}
			rate, err := b.product(ctx, newProduct(s, prec))
			if err != nil {
				return err
			}
			b.r.Products = append(b.r.Products, productRate{s.M, s.K, s.N, s.Direction, prec.String(), rate})
		}
	}
	return nil
}

// product is one product with its operands.
type product struct {
	shape
	prec    tensor.Precision
	w       *tensor.Matrix
	in, out []float32
}

// newProduct makes a product of random operands. The weight is f32 but for Fixed, which wants blocks.
func newProduct(s shape, prec tensor.Precision) *product {
	r := rand.New(rand.NewPCG(1, uint64(s.K)))
	values := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = r.Float32()*2 - 1
		}
		return v
	}
	p := &product{shape: s, prec: prec}
	if prec == tensor.Fixed {
		p.w = randomBlocks(r, s.N, s.K)
	} else {
		p.w = tensor.FromF32(s.N, s.K, values(s.N*s.K))
	}
	if s.Direction == backward {
		p.in, p.out = values(s.M*s.N), make([]float32, s.M*s.K)
	} else {
		p.in, p.out = values(s.M*s.K), make([]float32, s.M*s.N)
	}
	return p
}

// randomBlocks is a matrix of Q8_0 whose blocks have scales near 0.01.
func randomBlocks(r *rand.Rand, rows, cols int) *tensor.Matrix {
	const block, bytes = 32, 34
	data := make([]byte, rows*cols/block*bytes)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	for i := 0; i < len(data); i += bytes {
		data[i+1] = 0x21 // the exponent of an f16 between 0.0098 and 0.0117
	}
	w, err := tensor.NewMatrix(tensor.Q8_0, rows, cols, data)
	if err != nil {
		panic(fmt.Sprintf("random blocks: %v", err))
	}
	return w
}

// product measures GFLOP/s. Small products are repeated within a run, so that each takes milliseconds.
func (b *bench) product(ctx context.Context, p *product) (benchRate, error) {
	flop := 2 * float64(p.M) * float64(p.K) * float64(p.N)
	repeat := max(1, int(2e9/flop))
	if b.c.Quick {
		repeat = 1
	}
	var ws tensor.Workspace
	times, err := b.times(ctx, nil, func() error {
		for range repeat {
			if p.Direction == backward {
				tensor.MulAt(p.prec, b.pool, &ws, p.out, p.in, p.M, p.w, false)
			} else {
				tensor.MulTAt(p.prec, b.pool, &ws, p.out, p.in, p.M, p.w, false)
			}
		}
		return nil
	})
	if err != nil {
		return benchRate{}, err
	}
	return rateOf(flop*float64(repeat)/1e9, times, b.pool.Threads()), nil
}

// peakMemory is the most memory this process has held, in bytes, or 0 where the system does not say.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kb << 10
		}
	}
	return 0
}
