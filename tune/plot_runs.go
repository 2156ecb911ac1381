package tune

import (
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Curve is one run among others: what it is called, and its metrics.
type Curve struct {
	Name    string
	Metrics []Metric
}

// curveColours follow each other, and then begin again.
var curveColours = []color.NRGBA{blue, orange, {R: 0x2c, G: 0x8c, B: 0x4a, A: 0xff}, {R: 0x7a, G: 0x4d, B: 0xa8, A: 0xff}, {R: 0x44, G: 0x44, B: 0x44, A: 0xff}}

// PlotRuns writes a PNG of several runs' losses: of each the training loss, a thin line, and the validation losses,
// points on a dashed one. Earlier runs are drawn wider, so that they show where a later one lies on them.
func PlotRuns(w io.Writer, title string, curves []Curve) error {
	p := lossPlot(title)
	for i, c := range curves {
		colour := curveColours[i%len(curveColours)]
		behind := len(curves) - 1 - i
		steps, valid := losses(c.Metrics)
		if len(steps) > 0 {
			line, err := plotter.NewLine(steps)
			if err != nil {
				return fmt.Errorf("plot loss of %s: %w", c.Name, err)
			}
			line.Color, line.Width = colour, vg.Points(1+1.8*float64(behind))
			p.Add(line)
			p.Legend.Add(c.Name+", training", line)
		}
		if len(valid) > 0 {
			line, points, err := plotter.NewLinePoints(valid)
			if err != nil {
				return fmt.Errorf("plot loss of %s: %w", c.Name, err)
			}
			line.Color, line.Width, line.Dashes = colour, vg.Points(1), []vg.Length{vg.Points(4), vg.Points(3)}
			points.Color, points.Shape, points.Radius = colour, draw.CircleGlyph{}, vg.Points(2.5+1.5*float64(behind))
			p.Add(line, points)
			p.Legend.Add(c.Name+", validation", line, points)
		}
	}
	return writePlot(w, p)
}
