package weights

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

// maxJSON caps the JSON files beside weights (the largest published index files have some 10 MB).
const maxJSON = 64 << 20

// maxConfig caps config.json and adapter_config.json, of which every field is kept.
const maxConfig = 4 << 20

const (
	singleName = "model.safetensors"
	indexName  = "model.safetensors.index.json"
)

// openFolder opens a folder in Hugging Face layout, or one that holds a single GGUF file.
func openFolder(dir string, reorder bool) (*Model, error) {
	files, err := folderWeights(dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 1 && strings.EqualFold(filepath.Ext(files[0]), ".gguf") {
		return open(files[0], reorder)
	}
	return openHuggingFace(dir, dir, files)
}

// openSafetensors opens one safetensors file with the configuration beside it.
func openSafetensors(path string) (*Model, error) {
	return openHuggingFace(path, filepath.Dir(path), []string{path})
}

// folderWeights finds the weight files of a folder.
func folderWeights(dir string) ([]string, error) {
	single := filepath.Join(dir, singleName)
	if exists(single) {
		return []string{single}, nil
	}
	if exists(filepath.Join(dir, indexName)) {
		return shardFiles(dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	found := map[string][]string{}
	for _, e := range entries {
		ext := strings.ToLower(filepath.Ext(e.Name()))
		found[ext] = append(found[ext], filepath.Join(dir, e.Name()))
	}
	for _, ext := range []string{".safetensors", ".gguf"} {
		if len(found[ext]) == 1 {
			return found[ext], nil
		}
		if len(found[ext]) > 1 {
			return nil, &FormatError{Path: dir, Problem: fmt.Sprintf("%d %s files and no %s", len(found[ext]), ext, indexName), Fix: "name the one file you mean"}
		}
	}
	for _, ext := range []string{".bin", ".pt", ".pth", ".pkl", ".ckpt"} {
		for _, path := range found[ext] {
			if head, err := readHead(path); err == nil && looksPickled(head) {
				return nil, &PickleError{Path: path}
			}
		}
	}
	return nil, &FormatError{Path: dir, Problem: "no weights: neither model.safetensors, " + indexName + " nor a .gguf file"}
}

// shardFiles reads the index of a sharded folder and checks that each shard is a plain file name.
func shardFiles(dir string) ([]string, error) {
	path := filepath.Join(dir, indexName)
	index, err := readIndex(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, shard := range index {
		if !slices.Contains(names, shard) {
			names = append(names, shard)
		}
	}
	slices.Sort(names)
	files := make([]string, len(names))
	for i, n := range names {
		if !plainName(n) || !strings.HasSuffix(n, ".safetensors") {
			return nil, malformed(path, "weight_map", "%s is not the name of a safetensors file in this folder", quote(n))
		}
		files[i] = filepath.Join(dir, n)
	}
	return files, nil
}

func readIndex(path string) (map[string]string, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := readJSON(path, &index); err != nil {
		return nil, err
	}
	if len(index.WeightMap) == 0 {
		return nil, malformed(path, "weight_map", "missing or empty")
	}
	return index.WeightMap, nil
}

// plainName reports whether name is a file name without any way out of its folder, on any system.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\\:\x00") && filepath.IsLocal(name)
}

// openHuggingFace opens the weight files together with what lies in dir.
func openHuggingFace(path, dir string, files []string) (m *Model, err error) {
	m = &Model{Path: path, Format: "safetensors", Tensors: map[string]Tensor{}, Unusable: map[string]string{}}
	defer func() {
		if err != nil {
			m.Close()
			m = nil
		}
	}()
	if err = m.readConfig(dir); err != nil {
		return m, err
	}
	var mapped []*mapping
	for _, f := range files {
		part, err := mapFile(f)
		if err != nil {
			return m, fmt.Errorf("open model: %w", err)
		}
		m.closers = append(m.closers, part)
		mapped = append(mapped, part)
		if err := m.addShard(part); err != nil {
			return m, err
		}
	}
	if path == dir && filepath.Base(files[0]) != singleName { // an index beside the single file means nothing
		if err = m.checkIndex(dir); err != nil {
			return m, err
		}
	}
	m.hashed = hashFiles(mapped)
	m.Quantisation = dominantType(m.Tensors)
	return m, m.readTextFiles(dir)
}

func (m *Model) addShard(part *mapping) error {
	f, err := parseSafetensors(part.path, part.data)
	if err != nil {
		return err
	}
	repeated := func(name string) error {
		if _, ok := m.Tensors[name]; ok {
			return malformed(part.path, "tensor "+quote(name), "another shard has it too")
		}
		if _, ok := m.Unusable[name]; ok {
			return malformed(part.path, "tensor "+quote(name), "another shard has it too")
		}
		return nil
	}
	for name, t := range f.tensors {
		if err := repeated(name); err != nil {
			return err
		}
		m.Tensors[name] = t
	}
	for name, typ := range f.unusable {
		if err := repeated(name); err != nil {
			return err
		}
		m.Unusable[name] = typ
	}
	return nil
}

// checkIndex makes sure that the shards hold every tensor the index promises.
func (m *Model) checkIndex(dir string) error {
	path := filepath.Join(dir, indexName)
	if !exists(path) {
		return nil
	}
	index, err := readIndex(path)
	if err != nil {
		return err
	}
	for name, shard := range index {
		_, ok := m.Tensors[name]
		if _, other := m.Unusable[name]; !ok && !other {
			return malformed(path, "weight_map", "tensor %s is not in %s", quote(name), quote(shard))
		}
	}
	return nil
}

// readConfig reads config.json. It is data alone: auto_map and the like, which name code to run, are ignored.
func (m *Model) readConfig(dir string) error {
	path := filepath.Join(dir, "config.json")
	data, err := readCapped(path, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return &FormatError{Path: path, Problem: "missing", Fix: "weights in safetensors need the model's config.json beside them"}
	}
	if err != nil {
		return err
	}
	if err := checkConfig(path, data); err != nil {
		return err
	}
	m.Config = data
	var c struct {
		Name string `json:"_name_or_path"`
		Arch string `json:"model_type"`
		EOS  ids    `json:"eos_token_id"`
	}
	if err := decodeJSON(path, data, &c); err != nil {
		return err
	}
	m.EOS = c.EOS
	m.Name = filepath.Base(c.Name)
	if c.Name == "" {
		if abs, err := filepath.Abs(dir); err == nil {
			m.Name = filepath.Base(abs)
		}
	}
	return nil
}

// ids is a token id or a list of them in JSON; null is none.
type ids []int32

func (v *ids) UnmarshalJSON(data []byte) error {
	var one int32
	if string(data) == "null" {
		return nil
	}
	if json.Unmarshal(data, &one) == nil {
		*v = ids{one}
		return nil
	}
	var list []int32
	if err := json.Unmarshal(data, &list); err != nil {
		return errors.New("want a token id or a list of token ids")
	}
	*v = list
	return nil
}

// readCapped reads a file of at most limit bytes.
func readCapped(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, malformed(path, "", "not a regular file")
	}
	if info.Size() > limit {
		return nil, malformed(path, "", "%d bytes exceed the limit of %d for this file", info.Size(), limit)
	}
	return os.ReadFile(path)
}

// readJSON decodes a JSON file into v, ignoring keys that v lacks.
func readJSON(path string, v any) error {
	data, err := readCapped(path, maxJSON)
	if err != nil {
		return err
	}
	return decodeJSON(path, data, v)
}

// decodeJSON decodes data, saying in the error where in the file it stopped.
func decodeJSON(path string, data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &syntax):
		return malformed(path, fmt.Sprintf("byte %d", syntax.Offset), "not JSON: %v", err)
	case errors.As(err, &typ):
		return malformed(path, "field "+quote(typ.Field), "holds a %s, want %s", typ.Value, typ.Type)
	}
	return malformed(path, "", "%v", err)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
