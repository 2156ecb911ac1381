package weights

// halfSplitRows puts the rows of a query or key projection (or the elements of its bias) into the order that
// Hugging Face models use. llama2.c and GGUF's llama files rotate neighbouring elements (2j, 2j+1) of a head;
// Hugging Face rotates j with j+head/2. So row t·head/2+j of a head is row 2j+t of the file (t = 0, 1). Rows
// move whole, so quantised ones stay exact. head is even; the result is a copy.
func halfSplitRows(t Tensor, head int) Tensor {
	rows := t.Shape[0]
	size := len(t.Data) / rows
	out := make([]byte, len(t.Data))
	half := head / 2
	for start := 0; start < rows; start += head {
		for j := range half {
			for k := range 2 {
				from, to := start+2*j+k, start+k*half+j
				copy(out[to*size:(to+1)*size], t.Data[from*size:])
			}
		}
	}
	t.Data = out
	return t
}
