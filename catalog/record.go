package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// recordFile is the file in a model's cache folder that says what the model is; a folder without it is not a model.
const recordFile = "model.json"

// record describes one model of the cache. Path points at the weights: beside the record for a downloaded model, or
// anywhere on this machine for a local one, which is referred to and not copied.
type record struct {
	Name         string `json:"name"`
	Path         string `json:"path"` // absolute, or relative to the record's folder
	Size         int64  `json:"size"`
	SHA256       string `json:"sha256"`
	Architecture string `json:"architecture"`
	Quantisation string `json:"quantisation"`
	Licence      string `json:"licence"`
	Source       string `json:"source"`
}

// readRecord reads the record in dir and makes its path absolute.
func readRecord(dir string) (record, error) {
	var r record
	path := filepath.Join(dir, recordFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("read %s: %w; remove the folder %s and pull the model again", path, err, dir)
	}
	if !filepath.IsAbs(r.Path) {
		r.Path = filepath.Join(dir, r.Path)
	}
	return r, nil
}

// sound says whether the model's file is there; of a single file in the cache also whether it has its size.
func (r record) sound() bool {
	st, err := os.Stat(r.Path)
	return err == nil && (r.Path == r.Source || st.Size() == r.Size)
}

// records lists what the cache holds, by name. A folder that cannot be read as a record is left out.
func records() ([]record, error) {
	home, err := Home()
	if err != nil {
		return nil, err
	}
	dirs, err := os.ReadDir(filepath.Join(home, "models"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	var all []record
	for _, d := range dirs {
		if !nameRule.MatchString(d.Name()) {
			continue
		}
		if r, err := readRecord(filepath.Join(home, "models", d.Name())); err == nil {
			r.Name = d.Name()
			all = append(all, r)
		}
	}
	return all, nil
}

// Info is one line of the list of models.
type Info struct {
	Name         string `json:"name"`
	Size         int64  `json:"size"` // bytes of the weights
	Architecture string `json:"architecture"`
	Quantisation string `json:"quantisation"`
	Licence      string `json:"licence"`
	Path         string `json:"path,omitempty"` // of the weights; empty while they are not on this machine
	Here         bool   `json:"here"`           // can be opened without a download
	About        string `json:"about,omitempty"`
}

// List returns the models of the cache and of the catalogue, sorted by name.
func List() ([]Info, error) {
	have, err := records()
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, r := range have {
		_, err := os.Stat(r.Path)
		info := Info{Name: r.Name, Size: r.Size, Architecture: r.Architecture, Quantisation: r.Quantisation,
			Licence: r.Licence, Path: r.Path, Here: err == nil}
		if e, ok := find(r.Name); ok {
			info.About = e.About
		} else if err != nil {
			info.About = "its file is gone"
		}
		all = append(all, info)
	}
	for _, e := range catalogue {
		if slices.ContainsFunc(all, func(i Info) bool { return i.Name == e.Name }) {
			continue
		}
		all = append(all, Info{Name: e.Name, Size: e.Size, Architecture: e.Architecture, Quantisation: e.Quantisation,
			Licence: e.Licence, Here: e.Wheel == nil, About: e.About})
	}
	slices.SortFunc(all, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
