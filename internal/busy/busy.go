// Package busy tells how much processor time this process has used.
package busy

// Seconds is the processor time of the whole process so far, user and system, over all its threads, and false where
// the system does not say. Threads that spin while they wait count as busy.
func Seconds() (float64, bool) { return seconds() }

// Share is how busy so many threads were that used that much processor time within that much wall time: 1 when each
// kept a core at work all the time.
func Share(used, wall float64, threads int) float64 {
	if wall <= 0 || threads < 1 {
		return 0
	}
	return used / (wall * float64(threads))
}
