package data

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// DefaultMaxLine is the longest line read where ReadOptions names no other: 32 MiB, some eight million tokens.
const DefaultMaxLine = 32 << 20

// ReadOptions bounds what reading takes.
type ReadOptions struct {
	MaxLine     int // longest line in bytes; 0 = DefaultMaxLine
	MaxProblems int // problems listed of each severity (all are counted); 0 = 100
}

// File is what one file held.
type File struct {
	Path     string
	Rows     []Row // the usable rows, in the order of the file
	Problems Problems
	Lines    int    // lines of the file, blank ones too
	Skipped  int    // lines that hold a row that cannot be used
	SHA256   string // of the file's bytes, hexadecimal
}

// Read reads the rows of the JSONL file at path. What is wrong with rows is in File.Problems; the error is only for
// a file that cannot be opened or read.
func Read(path string, o ReadOptions) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("read rows: %s is a folder; name a .jsonl file in it", path)
	}
	return ReadFrom(path, f, o)
}

// ReadFrom is Read from a stream; name stands for the file in problems.
func ReadFrom(name string, r io.Reader, o ReadOptions) (*File, error) {
	if o.MaxLine <= 0 {
		o.MaxLine = DefaultMaxLine
	}
	file := &File{Path: name}
	file.Problems.Limit = o.MaxProblems
	sum := sha256.New()
	in := bufio.NewReaderSize(io.TeeReader(r, sum), 64<<10)
	p := parser{file: file, warned: map[string]bool{}}
	if refused := p.sniff(in); refused {
		return file, nil
	}
	for line := []byte(nil); ; {
		var err error
		var length int
		line, length, err = readLine(in, line[:0], o.MaxLine)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read rows: %s line %d: %w", name, file.Lines+1, err)
		}
		if length > 0 || err == nil {
			file.Lines++
			p.line(line, length, o.MaxLine)
		}
		if err != nil {
			break
		}
	}
	p.finish()
	file.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return file, nil
}

// readLine appends one line, without its newline, to buf, which it returns. length is the line's whole length with
// the newline; of a line longer than most only a beginning is kept, the rest is read and dropped.
func readLine(in *bufio.Reader, buf []byte, most int) (line []byte, length int, err error) {
	for {
		piece, err := in.ReadSlice('\n')
		length += len(piece)
		if len(buf) <= most {
			buf = append(buf, piece...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimSuffix(buf, []byte("\n")), length, err
	}
}

// sniff looks at the first bytes for files that are something else, and drops a byte order mark.
func (p *parser) sniff(in *bufio.Reader) (refused bool) {
	head, _ := in.Peek(8)
	for _, kind := range []struct{ magic, is, fix string }{
		{"\x1f\x8b", "gzip data", "unpack it first: gunzip FILE"},
		{"PK\x03\x04", "a zip archive", "unpack it first"},
		{"PAR1", "a Parquet file", "write its rows as JSON Lines"},
		{"\x28\xb5\x2f\xfd", "zstd data", "unpack it first: unzstd FILE"},
		{"\xff\xfe", "UTF-16 text", "save it as UTF-8"},
		{"\xfe\xff", "UTF-16 text", "save it as UTF-8"},
		{"SQLite f", "an SQLite database", "write its rows as JSON Lines"},
	} {
		if bytes.HasPrefix(head, []byte(kind.magic)) {
			p.problem(Error, "", "the file is "+kind.is+", not JSON Lines", kind.fix)
			return true
		}
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3) // they are in the buffer: Peek has just shown them
	}
	return false
}
