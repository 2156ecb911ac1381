package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// plainEvery is how often a meter writes a line where there is no terminal.
const plainEvery = 5 * time.Second

// meter shows how far some work is: a bar with the time left on a terminal, a plain line every few seconds elsewhere.
type meter struct {
	w     io.Writer
	unit  string
	bar   *progressbar.ProgressBar // nil: no terminal, or nothing shown yet
	start time.Time
	last  time.Time
}

// newMeter makes a meter on w that counts units.
func newMeter(w io.Writer, unit string) *meter {
	return &meter{w: w, unit: unit, start: time.Now(), last: time.Now()}
}

// show says that done of total units are done and what else there is to tell.
func (p *meter) show(done, total int, text string) {
	if isTerminal(p.w) {
		p.draw(done, total, text, true)
		return
	}
	p.plain(done, total, text, time.Duration(float64(time.Since(p.start))/float64(max(1, done))*float64(total-done)))
}

// showLeft is show with the time left as the caller knows it.
func (p *meter) showLeft(done, total int, text string, left time.Duration) {
	if isTerminal(p.w) {
		p.draw(done, total, text+"  "+left.Round(time.Second).String()+" left", false)
		return
	}
	p.plain(done, total, text, left)
}

// draw redraws the bar.
func (p *meter) draw(done, total int, text string, predict bool) {
	if p.bar == nil || p.bar.GetMax() != total {
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetWidth(24),
			progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(predict), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(100*time.Millisecond))
	}
	p.bar.Describe(text)
	_ = p.bar.Set(done) // a bar that cannot be drawn is no reason to stop
}

// plain writes a line if the last one is a while ago or the work is done.
func (p *meter) plain(done, total int, text string, left time.Duration) {
	now := time.Now()
	if now.Sub(p.last) < plainEvery && done < total {
		return
	}
	p.last = now
	fmt.Fprintf(p.w, "%d/%d %s  %s  %s left\n", done, total, p.unit, text, left.Round(time.Second))
}

// note writes a line of its own between what the meter shows.
func (p *meter) note(text string) {
	if text == "" {
		return
	}
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	fmt.Fprintln(p.w, text)
}

// close clears the bar.
func (p *meter) close() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
