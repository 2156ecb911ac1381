package api

import (
	"fmt"
	"net/http"

	"hone/platform/openai"
)

func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) {
	var models []openai.Model
	for _, m := range s.registry.List() {
		models = append(models, wireModel(m))
	}
	writeJSON(w, http.StatusOK, openai.NewModelList(models))
}

func (s *Server) getModel(w http.ResponseWriter, r *http.Request) {
	m, err := s.lookup(r.PathValue("model"))
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusOK, wireModel(m))
}

func (s *Server) lookup(name string) (Model, error) {
	m, ok := s.registry.Lookup(name)
	if !ok {
		return Model{}, &httpError{http.StatusNotFound, openai.NewError(openai.TypeInvalidRequest, "model", "model_not_found",
			fmt.Sprintf("The model '%s' does not exist or you do not have access to it.", clip(name)))}
	}
	return m, nil
}

// wireModel writes a model; where nobody knows when it was made, as 1970.
func wireModel(m Model) openai.Model {
	return openai.NewModel(m.ID, max(m.Created.Unix(), 0), m.OwnedBy)
}
