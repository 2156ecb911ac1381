package serve

import (
	"slices"

	"hone/engine"
)

// take adds a generated token to the request's text and says whether the text goes on.
func (j *job) take(t engine.Token, eos []int32) (more bool) {
	j.usage.Completion++
	if !j.req.IgnoreEOS && (slices.Contains(eos, t.ID) || slices.Contains(j.req.EOS, t.ID)) {
		j.end(FinishStop, nil)
		return false
	}
	text, tokens, stopped := j.text.push(t)
	if stopped {
		j.send(Event{Text: text, Tokens: tokens, Finish: FinishStop, Usage: j.usage})
		return false
	}
	if text != "" || len(tokens) > 0 {
		j.send(Event{Text: text, Tokens: tokens, Usage: j.usage})
	}
	if j.usage.Completion >= j.limit {
		j.end(FinishLength, nil)
		return false
	}
	return true
}

// end sends the last event, with the text held back so far if the request finished.
func (j *job) end(finish string, err error) {
	if j.call != nil {
		j.fail(err)
		return
	}
	e := Event{Finish: finish, Usage: j.usage, Err: err}
	if err == nil {
		var stopped bool
		if e.Text, e.Tokens, stopped = j.text.flush(); stopped {
			e.Finish = FinishStop
		}
	}
	j.send(e)
}

// send puts an event where the reader finds it and never waits: an event that has not been read yet is taken back
// and the new one added to it. Only the scheduler sends, so the place is free after taking back.
func (j *job) send(e Event) {
	select {
	case old := <-j.out:
		e.Text = old.Text + e.Text
		e.Tokens = append(old.Tokens, e.Tokens...)
	default:
	}
	j.out <- e
	if e.Finish != "" || e.Err != nil {
		close(j.out)
	}
}
