package data

import (
	"fmt"
	"math"
	"slices"
)

// FewRows is the number of rows below which a file gets a warning: a model learns next to nothing from fewer.
const FewRows = 10

// CheckOptions says what a file is checked against.
type CheckOptions struct {
	Read            ReadOptions
	Encoder         *Encoder // nil: no token figures
	MaxLength       int      // rows of more tokens are over-long; 0 = none are
	Truncate        bool     // over-long rows are cut, so they are a warning
	Epochs          int      // for the estimate of minutes; 0 = 1
	TokensPerSecond float64  // training speed on this machine; 0 = no estimate
}

// Report is what Check found.
type Report struct {
	Files      []string       `json:"files"`
	Rows       int            `json:"rows"`        // usable rows
	Skipped    int            `json:"skipped"`     // rows that cannot be used
	Kinds      map[Kind]int   `json:"kinds"`       // rows of each kind
	Messages   int            `json:"messages"`    // messages in all chat rows
	Roles      map[string]int `json:"roles"`       // messages of each role
	Duplicates int            `json:"duplicates"`  // rows equal, byte for byte, to an earlier one of any of the files
	Tokens     *TokenReport   `json:"tokens"`      // nil without an Encoder
	Problems   Problems       `json:"problems"`    // errors and warnings of all files
	DataSHA256 string         `json:"data_sha256"` // of all files together, as runs record it
}

// TokenReport is what a data set is in tokens.
type TokenReport struct {
	Median   int     `json:"median"` // of the rows' lengths
	P95      int     `json:"p95"`    // at least 95 % of the rows are no longer
	Max      int     `json:"max"`
	Total    int     `json:"total"`
	Trained  int     `json:"trained"`
	OverLong int     `json:"over_long"` // rows longer than MaxLength
	Minutes  float64 `json:"minutes"`   // to train on all rows, Epochs times; 0 = not known
}

// OK says whether a run would accept the files.
func (r *Report) OK() bool { return r.Problems.Errors == 0 }

// Check reads files and reports what is in them and what is wrong with them. The error is for files that cannot be
// opened or read.
func Check(files []string, o CheckOptions) (*Report, error) {
	r := &Report{Files: files, Kinds: map[Kind]int{}, Roles: map[string]int{}}
	r.Problems.Limit = o.Read.MaxProblems
	c := checking{report: r, o: o, specials: o.Encoder.specials(), seen: map[[8]byte]bool{}}
	var sums []string
	for _, path := range files {
		f, err := Read(path, o.Read)
		if err != nil {
			return nil, err
		}
		c.file(f)
		sums = append(sums, f.SHA256)
	}
	r.DataSHA256 = Hash(sums...)
	if o.Encoder != nil {
		r.Tokens = c.tokens()
	}
	return r, nil
}

// checking is the state of one Check.
type checking struct {
	report   *Report
	o        CheckOptions
	specials []string
	seen     map[[8]byte]bool
	lengths  []int
	trained  int
}

func (c *checking) file(f *File) {
	r := c.report
	problems := f.Problems
	add := func(line int, s Severity, field, message, fix string) {
		problems.Add(Problem{File: f.Path, Line: line, Field: field, Message: message, Fix: fix, Severity: s})
	}
	long, longest, longestLine := 0, 0, 0
	for _, row := range f.Rows {
		r.Kinds[row.Kind]++
		for _, m := range row.Messages {
			r.Messages++
			r.Roles[m.Role]++
		}
		if c.seen[row.sum] {
			r.Duplicates++
		}
		c.seen[row.sum] = true
		if c.o.Encoder == nil {
			continue
		}
		n := c.row(row, add)
		if c.o.MaxLength > 0 && n > c.o.MaxLength {
			if long++; n > longest {
				longest, longestLine = n, row.Line
			}
		}
	}
	if long > 0 {
		severity := Error
		if c.o.Truncate {
			severity = Warning
		}
		add(longestLine, severity, "", fmt.Sprintf("%d rows are longer than max_length %d; the longest has %d tokens", long, c.o.MaxLength, longest),
			"raise max_length, shorten the rows, or set truncate: true")
	}
	if n := len(f.Rows); n > 0 && n < FewRows {
		add(0, Warning, "", fmt.Sprintf("the file has %d rows, fewer than %d", n, FewRows), "give the model more examples; fifty to a hundred is where most tasks begin to work")
	}
	r.Rows += len(f.Rows)
	r.Skipped += f.Skipped
	r.Problems.Merge(problems)
}

// row encodes one row for the token figures and returns its length.
func (c *checking) row(row Row, add func(line int, s Severity, field, message, fix string)) int {
	if field, token, ok := controlText(row, c.specials); ok {
		if row.Messages != nil {
			add(row.Line, Warning, field, "holds the text of the control token "+token+", which stays text", "take it out, unless the text is about such tokens")
		} else {
			add(row.Line, Warning, field, "holds the text of the control token "+token+", which is read as that token", "keep it where the model's own format is meant, else take it out")
		}
	}
	x, err := c.o.Encoder.Encode(row)
	if err != nil {
		add(row.Line, Error, "", err.Error(), "")
		return 0
	}
	if x.Trained == 0 {
		add(row.Line, Warning, "", "no token of the row is trained", "leave the row out")
	}
	c.lengths = append(c.lengths, len(x.Tokens))
	c.trained += x.Trained
	return len(x.Tokens)
}

func (c *checking) tokens() *TokenReport {
	t := &TokenReport{Trained: c.trained}
	slices.Sort(c.lengths)
	n := len(c.lengths)
	if n == 0 {
		return t
	}
	for _, l := range c.lengths {
		t.Total += l
		if c.o.MaxLength > 0 && l > c.o.MaxLength {
			t.OverLong++
		}
	}
	t.Median = c.lengths[(n-1)/2]
	t.P95 = c.lengths[int(math.Ceil(0.95*float64(n)))-1]
	t.Max = c.lengths[n-1]
	if c.o.TokensPerSecond > 0 {
		t.Minutes = float64(t.Total) * float64(max(1, c.o.Epochs)) / c.o.TokensPerSecond / 60
	}
	return t
}
