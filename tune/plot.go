package tune

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

var (
	paleBlue = color.NRGBA{R: 0x1f, G: 0x6f, B: 0xb5, A: 0x55}
	blue     = color.NRGBA{R: 0x1f, G: 0x6f, B: 0xb5, A: 0xff}
	orange   = color.NRGBA{R: 0xd9, G: 0x5f, B: 0x0e, A: 0xff}
	grey     = color.NRGBA{R: 0xe2, G: 0xe2, B: 0xe2, A: 0xff}
)

// PlotLoss writes a PNG of the loss of each step, its running mean, and the validation losses.
func PlotLoss(w io.Writer, title string, metrics []Metric) error {
	steps, valid := losses(metrics)
	p := lossPlot(title)
	if len(steps) > 0 {
		if err := addLosses(p, steps); err != nil {
			return fmt.Errorf("plot loss: %w", err)
		}
	}
	if len(valid) > 0 {
		if err := addValid(p, valid); err != nil {
			return fmt.Errorf("plot loss: %w", err)
		}
	}
	return writePlot(w, p)
}

// losses are the training and validation losses of a run, those that can be drawn.
func losses(metrics []Metric) (steps, valid plotter.XYs) {
	for _, m := range metrics {
		switch {
		case m.ValidLoss != nil && finite(*m.ValidLoss):
			valid = append(valid, plotter.XY{X: float64(m.Step), Y: *m.ValidLoss})
		case m.Loss != nil && finite(*m.Loss):
			steps = append(steps, plotter.XY{X: float64(m.Step), Y: *m.Loss})
		}
	}
	return steps, valid
}

// lossPlot is an empty plot of losses by step.
func lossPlot(title string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "step", "loss (nats a trained token)"
	for style, size := range map[*draw.TextStyle]float64{&p.Title.TextStyle: 13, &p.X.Label.TextStyle: 11, &p.Y.Label.TextStyle: 11,
		&p.X.Tick.Label: 10, &p.Y.Tick.Label: 10, &p.Legend.TextStyle: 10} {
		style.Font.Variant, style.Font.Size = "Sans", vg.Points(size)
	}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(ticks), plot.TickerFunc(ticks)
	p.Title.Padding, p.X.Padding, p.Y.Padding = vg.Points(8), vg.Points(6), vg.Points(6)
	p.Legend.Top, p.Legend.Padding, p.Legend.YOffs, p.Legend.XOffs = true, vg.Points(3), vg.Points(-6), vg.Points(-6)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = grey, grey
	p.Add(grid)
	return p
}

// writePlot draws p with its origin at zero.
func writePlot(w io.Writer, p *plot.Plot) error {
	p.X.Min, p.Y.Min = 0, min(0, p.Y.Min)
	p.X.Max, p.Y.Max = max(1, p.X.Max*1.01), max(1e-3, p.Y.Max*1.05)
	canvas := vgimg.NewWith(vgimg.UseWH(8*vg.Inch, 4.5*vg.Inch), vgimg.UseDPI(150))
	p.Draw(draw.Crop(draw.New(canvas), vg.Points(8), vg.Points(-14), vg.Points(8), vg.Points(-8)))
	if _, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w); err != nil {
		return fmt.Errorf("plot loss: %w", err)
	}
	return nil
}

func addLosses(p *plot.Plot, steps plotter.XYs) error {
	each, err := plotter.NewLine(steps)
	if err != nil {
		return err
	}
	each.Color, each.Width = paleBlue, vg.Points(0.8)
	window := min(50, max(3, len(steps)/15))
	mean, err := plotter.NewLine(smoothed(steps, window))
	if err != nil {
		return err
	}
	mean.Color, mean.Width = blue, vg.Points(2)
	p.Add(each, mean)
	if len(steps) < 30 { // few enough to be seen one by one
		points, err := plotter.NewScatter(steps)
		if err != nil {
			return err
		}
		points.Color, points.Shape, points.Radius = blue, draw.CircleGlyph{}, vg.Points(2.5)
		p.Add(points)
	}
	p.Legend.Add("training, each step", each)
	p.Legend.Add(fmt.Sprintf("training, mean of about %d steps", window), mean)
	return nil
}

func addValid(p *plot.Plot, valid plotter.XYs) error {
	line, points, err := plotter.NewLinePoints(valid)
	if err != nil {
		return err
	}
	line.Color, line.Width = orange, vg.Points(1.2)
	points.Color, points.Shape, points.Radius = orange, draw.CircleGlyph{}, vg.Points(3.5)
	p.Add(line, points)
	p.Legend.Add("validation", line, points)
	return nil
}

// smoothed is the exponential mean over about window steps, corrected for its start.
func smoothed(xys plotter.XYs, window int) plotter.XYs {
	decay := 1 - 2/float64(window+1)
	sum, weight := 0.0, 0.0
	out := make(plotter.XYs, len(xys))
	for i, xy := range xys {
		sum, weight = sum*decay+xy.Y, weight*decay+1
		out[i] = plotter.XY{X: xy.X, Y: sum / weight}
	}
	return out
}

// ticks puts between five and ten round numbers on an axis.
func ticks(low, high float64) (out []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/5)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(step*m) >= 5 {
			step *= m
			break
		}
	}
	for i := math.Ceil(low / step); i*step <= high; i++ {
		v := i * step
		out = append(out, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 6, 64)})
	}
	return out
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
