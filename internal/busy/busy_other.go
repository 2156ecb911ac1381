//go:build !unix

package busy

func seconds() (float64, bool) { return 0, false }
