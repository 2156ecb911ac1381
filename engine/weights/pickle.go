package weights

import "bytes"

// looksPickled reports whether head, the first bytes of a file, belong to a Python pickle: a bare one
// (protocols 0 to 5) or a zip archive, which is how torch.save wraps one.
//
// A llama2.c file of dimension 640 also starts 0x80 0x02, but its third byte is 0, which is no pickle opcode.
func looksPickled(head []byte) bool {
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) {
		return true
	}
	if len(head) >= 3 && head[0] == 0x80 && head[1] >= 1 && head[1] <= 5 && head[2] != 0 {
		return true
	}
	for _, p := range []string{"(dp", "(lp", "(d.", "(l.", "ccollections\n", "c__builtin__\n", "cbuiltins\n", "cos\n", "cposix\n", "ctorch"} {
		if bytes.HasPrefix(head, []byte(p)) {
			return true
		}
	}
	return false
}
