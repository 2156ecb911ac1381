// Package examples holds the data sets that ship with hone, embedded so that the demonstration needs no download.
package examples

import "embed"

// Files holds banking77/{train,test}.jsonl (chat rows, CC BY 4.0) and stories/{train,valid}.jsonl (raw text).
//
//go:embed banking77/*.jsonl banking77/LICENSE banking77/SOURCE.md stories/*.jsonl
var Files embed.FS
