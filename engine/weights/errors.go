package weights

import "fmt"

// FormatError says that a file breaks its own format: which file, where in it, what is wrong and, where the
// reader can tell, what to do about it.
type FormatError struct {
	Path    string // the file
	Place   string // byte offset, tensor or field, as words; may be empty
	Problem string
	Fix     string // may be empty
}

func (e *FormatError) Error() string {
	return sentence(e.Path, e.Place, e.Problem, e.Fix)
}

// UnsupportedError says that a file is well formed but asks for something hone does not do, named in Feature.
type UnsupportedError struct {
	Path    string
	Place   string // tensor or field; may be empty
	Feature string // what is not supported, by its own name
	Fix     string // may be empty
}

func (e *UnsupportedError) Error() string {
	return sentence(e.Path, e.Place, e.Feature+" is not supported", e.Fix)
}

// PickleError says that a file is a Python pickle (recognised by content, never parsed), which runs code when
// it is loaded.
type PickleError struct{ Path string }

func (e *PickleError) Error() string {
	return fmt.Sprintf("%s: this is a Python pickle, which runs code when loaded, so it is refused; "+
		"convert it where you trust it: load it in Python and save with safetensors.torch.save_file, or get the model as safetensors or GGUF", e.Path)
}

func sentence(path, place, problem, fix string) string {
	s := path
	if place != "" {
		s += ": " + place
	}
	s += ": " + problem
	if fix != "" {
		s += "; " + fix
	}
	return s
}

func malformed(path, place, format string, args ...any) error {
	return &FormatError{Path: path, Place: place, Problem: fmt.Sprintf(format, args...)}
}
