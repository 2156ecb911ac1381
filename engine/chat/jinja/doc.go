// Package jinja renders chat templates byte for byte as Python's Jinja2 3.1 does in the sandboxed environment of
// transformers: trim_blocks, lstrip_blocks, loop controls, the generation tag, its tojson, raise_exception and
// strftime_now. It adds what a sandbox for files from anywhere needs — bounded steps, output, depth and sizes, every
// failure an *Error with its line — and the origin of every piece of output that came from messages and tools.
//
// It differs from the reference on purpose where that prints memory addresses, gives complex numbers, or lets a
// template change the data it was given (list.pop and list.clear). Templates that include, import or extend others
// are refused when they get there; the globals lipsum and self, and pprint of wide values, are missing.
package jinja
