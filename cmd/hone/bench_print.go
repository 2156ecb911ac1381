package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// printBench writes the report for people.
func printBench(out io.Writer, r *benchReport) error {
	fmt.Fprintf(out, "%s, %d threads, kernels %s of %s\n", r.CPU, r.Threads, r.Level, strings.Join(r.Levels, ", "))
	fmt.Fprintf(out, "features: %s\n", dash(strings.Join(r.Features, " ")))
	fmt.Fprintf(out, "%s (%s, %s); training in %s, decoding in %s\n", r.Model, dash(r.Architecture), dash(r.Quantisation), r.Precision.Training, r.Precision.Decoding)
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	head := "figure\tmedian\tmin\tmax\tunit\tlimit\tof it\tcores busy\t\n"
	row := func(name, unit string, rate *benchRate) {
		if rate == nil {
			return
		}
		fmt.Fprint(w, head)
		head = ""
		digits := 0
		if rate.Median < 100 {
			digits = 2
		}
		limit, share, busy := "–", "–", "–"
		if rate.Limit > 0 {
			limit, share = fmt.Sprintf("%.0f", rate.Limit), fmt.Sprintf("%.0f %%", 100*rate.Median/rate.Limit)
		}
		if rate.Utilisation > 0 {
			busy = fmt.Sprintf("%.0f %%", 100*rate.Utilisation)
		}
		fmt.Fprintf(w, "%s\t%.*f\t%.*f\t%.*f\t%s\t%s\t%s\t%s\t\n", name, digits, rate.Median, digits, rate.Min, digits, rate.Max, unit, limit, share, busy)
	}
	for _, name := range []string{"gflops_f32", "gflops_bf16", "gflops_int8", "bandwidth_gbs"} {
		if rate, ok := r.Limits[name]; ok {
			unit := "GFLOP/s"
			if name == "bandwidth_gbs" {
				unit = "GB/s"
			}
			row(name, unit, &rate)
		}
	}
	row("train", "tokens/s", r.Train)
	row("train_f32", "tokens/s", r.TrainF32)
	row("train_chat", "tokens/s", r.TrainChat)
	row("prefill512", "tokens/s", r.Prefill)
	row("decode1", "tokens/s", r.Decode1)
	row("decode8", "tokens/s", r.Decode8)
	row("decode8_adapters8", "tokens/s", r.Decode8Adapters)
	row("cold_start", "s", r.ColdStart)
	for _, p := range r.Products {
		row(fmt.Sprintf("%d×%d×%d %s %s", p.M, p.K, p.N, p.Direction, p.Precision), "GFLOP/s", &p.GFLOPS)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if x := r.AdaptersOfBase; x != nil {
		fmt.Fprintf(out, "eight adapters run at %.2f (%.2f to %.2f) of the base's rate in the same runs\n", x.Median, x.Min, x.Max)
	}
	if r.PeakMemory > 0 {
		fmt.Fprintf(out, "peak memory of training: %.2f GB\n", float64(r.PeakMemory)/1e9)
	}
	if d := r.Divergence; d != nil {
		printDivergence(out, d)
	}
	return nil
}

func printDivergence(out io.Writer, d *benchDivergence) {
	fmt.Fprintf(out, "from the f32 path, over %d tokens of text:\n", d.Tokens)
	var names []string
	for name := range d.Paths {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, note := d.Paths[name], ""
		if name == d.Default {
			note = " (the default of decoding)"
		}
		fmt.Fprintf(out, "  %s: mean KL %.2g, 99th percentile %.2g, greatest %.2g; same top token %.2f %%%s\n", name, p.MeanKL, p.P99KL, p.MaxKL, 100*p.Top1, note)
	}
}
