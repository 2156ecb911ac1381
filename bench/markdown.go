package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// line is a row of the main table.
type line struct {
	name, unit string
	rate       *rate
}

// lines are the figures in the order of the table.
func (r *results) lines() []line {
	return []line{
		{"training, 8 × 256 tokens, all supervised", "tokens/s", r.Train},
		{"the same in f32", "tokens/s", r.TrainF32},
		{"training, 16 chats × 51 tokens, 30 common, 8 answered", "tokens/s", r.TrainChat},
		{"prefill 512", "tokens/s", r.Prefill},
		{"decode, one stream", "tokens/s", r.Decode1},
		{"decode, eight streams", "tokens/s", r.Decode8},
		{"decode, eight streams on eight adapters", "tokens/s", r.Decode8Adapters},
		{"start to first token", "s", r.ColdStart},
	}
}

// adaptersTarget is the share of the base's rate that eight streams on eight adapters should reach.
const adaptersTarget = 0.75

// markdown is RESULTS.md.
func markdown(r *results, p *peers) string {
	var w strings.Builder
	fmt.Fprint(&w, "# Benchmark results\n\nWritten by `make bench` and `make bench-peers`; [README.md](README.md) says how to repeat them.\n\n")
	fmt.Fprintf(&w, "**Machine:** %s, %d threads, kernels at `%s`; features: %s.  \n", r.CPU, r.Threads, r.Level, strings.Join(r.Features, ", "))
	fmt.Fprintf(&w, "**Model:** %s %s. **hone** %s trains LoRA r = 16 on all linear layers in %s and decodes in %s.  \n**Limits and hone against them** at %s.\n\n", r.Model, r.Quantisation, r.Hone, r.Precision.Training, r.Precision.Decoding, r.measured)
	fmt.Fprint(&w, "![Shares of the machine's limits, and ratios to other programs](results.png)\n\n## The machine's limits\n\n| limit | median | min – max | runs |\n|---|---|---|---|\n")
	for _, l := range []struct{ key, name string }{
		{"gflops_f32", "product 2048×576×1536, f32, GFLOP/s"}, {"gflops_bf16", "the same, bf16"},
		{"gflops_int8", "the same, 8-bit weights and 16-bit activations"}, {"bandwidth_gbs", "streaming read, GB/s"},
	} {
		if x, ok := r.Limits[l.key]; ok {
			fmt.Fprintf(&w, "| %s | %s | %s – %s | %d |\n", l.name, number(x.Median), number(x.Min), number(x.Max), x.Runs)
		}
	}
	fmt.Fprint(&w, "\n## hone against the limits\n\n| figure | hone | min – max | runs | limit | of the limit | cores busy |\n|---|---|---|---|---|---|---|\n")
	for _, l := range r.lines() {
		if l.rate == nil {
			continue
		}
		limit, share, busy := "–", "–", "–"
		if l.rate.Limit > 0 {
			limit, share = number(l.rate.Limit), fmt.Sprintf("%.0f %%", 100*l.rate.Median/l.rate.Limit)
		}
		if l.rate.Utilisation > 0 {
			busy = fmt.Sprintf("%.0f %%", 100*l.rate.Utilisation)
		}
		fmt.Fprintf(&w, "| %s, %s | %s | %s – %s | %d | %s | %s | %s |\n", l.name, l.unit, number(l.rate.Median), number(l.rate.Min), number(l.rate.Max), l.rate.Runs, limit, share, busy)
	}
	if r.PeakMemory > 0 {
		fmt.Fprintf(&w, "| peak memory of training, GB | %.2f | | 1 | – | – | – |\n", float64(r.PeakMemory)/1e9)
	}
	if x := r.AdaptersOfBase; x != nil {
		fmt.Fprintf(&w, "| eight adapters as a share of the base in the same runs; target %.2f | %.2f | %.2f – %.2f | %d | – | – | – |\n", adaptersTarget, x.Median, x.Min, x.Max, x.Runs)
	}
	fmt.Fprint(&w, "\nA limit is what the measured rates above allow: the flop of a step at the rate of its precision's product, and in decoding\n"+
		"also the bytes of the weights, read once for all streams, at the streaming rate. It counts no norms, softmax or optimiser.\n"+
		"Busy is the processor time of all threads over the wall time and the threads; waiting for a moment by spinning counts.\n"+
		"Prefill and decoding are held against the product of 8-bit weights; 4-bit ones take three byte products where those take\n"+
		"four, so they can run above it. A limit's own measurement may also have met a slow moment of the machine.\n")
	if p != nil {
		p.markdown(&w)
	}
	writeDivergence(&w, r, p)
	return w.String()
}

// markdown writes the comparisons: the figures first, then the products.
func (p *peers) markdown(w *strings.Builder) {
	fmt.Fprint(w, "\n## hone against other programs\n\nThe same work in turn on this machine. A ratio above 1 means that hone is better; its extremes are those of single rounds.\n"+
		"The last column says which commit was measured, and when; a + means that it had changes.\n\n")
	const head = "| figure | hone, median (min – max) | other, median (min – max) | ratio (min – max) | rounds | target | hone at |\n|---|---|---|---|---|---|---|\n"
	for _, products := range []bool{false, true} {
		before := head
		if products {
			before = "\n### Products\n\n" + head
		}
		for _, c := range p.Comparisons {
			if (c.Unit == "GFLOP/s") == products {
				fmt.Fprint(w, before)
				c.markdown(w)
				before = ""
			}
		}
	}
	if a := p.Accuracy; a != nil {
		fmt.Fprintf(w, "\nExact match on %d test rows of banking77 after the full epoch: hone %.1f %%, TRL %.1f %% (%s).\n", a.Rows, 100*a.Hone, 100*a.TRL, measured{a.Commit, a.Time})
	}
	if p.Beside != nil {
		p.Beside.markdown(w)
	}
	var versions []string
	for _, name := range slices.Sorted(maps.Keys(p.Versions)) {
		versions = append(versions, name+" "+p.Versions[name])
	}
	fmt.Fprintf(w, "\nVersions: %s.\n", strings.Join(versions, ", "))
	for _, n := range p.Notes {
		fmt.Fprintf(w, "\nNot measured: %s.\n", strings.TrimSuffix(n, "."))
	}
}

// markdown writes how long a chat waits for its first token.
func (b *beside) markdown(w *strings.Builder) {
	const most = 2.5
	met := "met"
	if b.Ratio > most {
		met = "missed"
	}
	fmt.Fprint(w, "\n### Chat beside training\n\nThe time to the first token of `hone serve`, one request after the other, prompts of about 60 tokens and answers of 16: alone, and while `hone train`\n"+
		"runs as a process of its own.\n\n| first token, ms | p50 | p95 | greatest | requests |\n|---|---|---|---|---|\n")
	for _, l := range []struct {
		name string
		latency
	}{{"alone", b.Idle}, {"beside training", b.Beside}} {
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %d |\n", l.name, l.P50, l.P95, l.Max, l.Requests)
	}
	fmt.Fprintf(w, "\nRatio of p95: **%.2f**; target ≤ %.1f: %s. Training did %d steps meanwhile (%s).\n", b.Ratio, most, met, b.Steps, b.Measured)
}

func (c comparison) markdown(w *strings.Builder) {
	target := "–"
	if c.Target > 0 {
		met := "missed"
		if c.Ratio.Median >= c.Target {
			met = "met"
		}
		target = fmt.Sprintf("≥ %g: %s", c.Target, met)
	}
	three := func(r rate) string {
		return fmt.Sprintf("%s (%s – %s)", number(r.Median), number(r.Min), number(r.Max))
	}
	fmt.Fprintf(w, "| %s, %s | %s | %s: %s | **%.2f** (%.2f – %.2f) | %d | %s | %s |\n", c.Name, c.Unit, three(c.Hone), c.Peer, three(c.Other),
		c.Ratio.Median, c.Ratio.Min, c.Ratio.Max, c.Hone.Runs, target, c.Measured)
}

// writeDivergence writes what the fast paths cost, on the peers' text where that was read.
func writeDivergence(w *strings.Builder, r *results, p *peers) {
	d, text, at := r.Divergence, "banking77 test messages and stories", ""
	var llama map[string]path
	if p != nil && p.Divergence != nil {
		d, text, llama, at = p.Divergence.Hone, p.Divergence.Text, p.Divergence.Llama, " Measured at "+p.Divergence.Measured.String()+"."
	}
	if d == nil {
		return
	}
	fmt.Fprintf(w, "\n## What the fast paths cost\n\nNext-token distributions on %d tokens of text (%s), in windows of 512, against the f32 path of the same\n"+
		"weights (llama.cpp: against F16, second half of each window): Kullback-Leibler divergence in nats, and how often the most probable token is the same. Targets: ≤ 0.001, ≥ 98 %%.%s\n\n"+
		"| path | mean KL | 99th percentile | same top token |\n|---|---|---|---|\n", d.Tokens, text, at)
	for _, name := range slices.Sorted(maps.Keys(d.Paths)) {
		x, note := d.Paths[name], ""
		if name == d.Default {
			note = ", the default of decoding"
		}
		fmt.Fprintf(w, "| hone %s%s | %.2g | %.2g | %.2f %% |\n", name, note, x.MeanKL, x.P99KL, 100*x.Top1)
	}
	for _, name := range slices.Sorted(maps.Keys(llama)) {
		fmt.Fprintf(w, "| llama.cpp %s | %.2g | – | %.2f %% |\n", name, llama[name].MeanKL, 100*llama[name].Top1)
	}
}

// number writes three figures or more.
func number(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
