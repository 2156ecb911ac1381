package main

import (
	"fmt"
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

var (
	blue   = color.NRGBA{R: 0x1f, G: 0x6f, B: 0xb5, A: 0xff}
	orange = color.NRGBA{R: 0xd9, G: 0x5f, B: 0x0e, A: 0xff}
	grey   = color.NRGBA{R: 0x99, G: 0x99, B: 0x99, A: 0xff}
)

// bar is one bar of a panel. A target above zero is marked.
type bar struct {
	name          string
	value, target float64
}

// plotShares writes a PNG: hone's share of each limit and, where peers were measured, its ratio to each of them.
func plotShares(w io.Writer, r *results, p *peers) error {
	var shares, ratios []bar
	for _, l := range r.lines() {
		if l.rate != nil && l.rate.Limit > 0 {
			shares = append(shares, bar{l.name, 100 * l.rate.Median / l.rate.Limit, 0})
		}
	}
	if p != nil {
		for _, c := range p.Comparisons {
			if c.Unit != "GFLOP/s" || c.Target > 0.7 {
				ratios = append(ratios, bar{c.Name, c.Ratio.Median, c.Target})
			}
		}
	}
	type panel struct {
		title string
		bars  []bar
	}
	panels := []panel{{"hone, % of the machine's limit", shares}, {"hone against other programs; 1 is equal, a mark is the target", ratios}}
	rows := 0
	for _, q := range panels {
		if len(q.bars) > 0 {
			rows += len(q.bars) + 3
		}
	}
	const height = 26 // of a row, in points
	width := vg.Points(720)
	canvas := vgimg.NewWith(vgimg.UseWH(width, vg.Points(float64(max(3, rows)*height))), vgimg.UseDPI(130))
	dc := draw.New(canvas)
	top := dc.Max.Y
	for _, q := range panels {
		if len(q.bars) == 0 {
			continue
		}
		plotted, err := barPlot(q.title, q.bars)
		if err != nil {
			return err
		}
		bottom := top - vg.Points(float64((len(q.bars)+3)*height))
		area := draw.Canvas{Canvas: dc.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: dc.Min.X, Y: bottom}, Max: vg.Point{X: dc.Max.X, Y: top}}}
		plotted.Draw(draw.Crop(area, vg.Points(8), vg.Points(-40), vg.Points(8), vg.Points(-8)))
		top = bottom
	}
	_, err := (vgimg.PngCanvas{Canvas: canvas}).WriteTo(w)
	return err
}

// barPlot draws bars from top to bottom, each with its value.
func barPlot(title string, bars []bar) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = title
	for style, size := range map[*text.Style]float64{&p.Title.TextStyle: 13, &p.X.Tick.Label: 9, &p.Y.Tick.Label: 10} {
		style.Font.Variant, style.Font.Size = "Sans", font.Length(size)
	}
	p.Title.Padding = vg.Points(8)
	n := len(bars)
	values, names := make(plotter.Values, n), make([]string, n)
	labels := plotter.XYLabels{XYs: make(plotter.XYs, n), Labels: make([]string, n)}
	var targets plotter.XYs
	for i, b := range bars {
		at := n - 1 - i
		values[at], names[at] = b.value, b.name
		labels.XYs[at] = plotter.XY{X: max(b.value, b.target), Y: float64(at)} // beside a mark that is further out
		labels.Labels[at] = "  " + fmt.Sprintf("%.3g", b.value)
		if b.target > 0 {
			targets = append(targets, plotter.XY{X: b.target, Y: float64(at)})
		}
	}
	chart, err := plotter.NewBarChart(values, vg.Points(14))
	if err != nil {
		return nil, err
	}
	chart.Horizontal, chart.Color, chart.LineStyle.Width = true, blue, 0
	marks, err := plotter.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	for i := range marks.TextStyle {
		marks.TextStyle[i].Font.Variant, marks.TextStyle[i].Font.Size, marks.TextStyle[i].YAlign = "Sans", 10, draw.YCenter
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Width, grid.Vertical.Color = 0, color.NRGBA{R: 0xe2, G: 0xe2, B: 0xe2, A: 0xff}
	p.Add(grid, chart, marks)
	if len(targets) > 0 {
		points, err := plotter.NewScatter(targets)
		if err != nil {
			return nil, err
		}
		points.Color, points.Shape, points.Radius = orange, draw.PyramidGlyph{}, vg.Points(4)
		p.Add(points)
	}
	p.X.Min = 0
	p.X.Max *= 1.08
	p.Y.LineStyle.Color = grey
	p.NominalY(names...)
	return p, nil
}
