package weights

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strconv"
)

var errClosed = errors.New("hash of the weights: the model is closed")

func fileHash(m *mapping) (string, error) {
	if m.data == nil {
		return "", errClosed
	}
	sum := sha256.Sum256(m.data)
	m.rest()
	return hex.EncodeToString(sum[:]), nil
}

func shardsHash(files []*mapping) (string, error) {
	lines := make([]string, 0, len(files))
	for _, f := range files {
		h, err := fileHash(f)
		if err != nil {
			return "", err
		}
		lines = append(lines, fmt.Sprintf("%s %s\n", filepath.Base(f.path), h))
	}
	sort.Strings(lines)
	sum := sha256.New()
	for _, l := range lines {
		sum.Write([]byte(l))
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// quote makes a name from a file safe to print: control and direction characters come out escaped.
func quote(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strconv.QuoteToGraphic(s)
}
