package proxy

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/modelroute/modelroute/internal/openai"
)

const (
	basePath   = "/v1"
	modelsPath = basePath + "/models"
)

// route finds what a path serves. A path may begin with /api, so that a URL of OpenRouter's works with only the host changed; errors are
// then as OpenRouter's clients know them. What is not known here is refused: a path that was passed on unmetered would be a way around
// every budget.
func (s *server) route(w http.ResponseWriter, r *http.Request, record *record) {
	path, asOpenRouter := strings.CutPrefix(r.URL.Path, "/api")
	below, _ := strings.CutPrefix(path, basePath)
	operation := operationAt(path)
	record.dialect = openai.DialectAt(below)
	record.dialect.NumericCodes, record.dialect.RequestID = asOpenRouter, record.requestID
	record.dialect.SetRequestID(w.Header())
	current := s.tables.Load()
	if current == nil {
		s.refuse(w, record, starting())
		return
	}
	model, oneModel := strings.CutPrefix(path, modelsPath+"/")
	switch {
	case operation != nil:
		s.only(http.MethodPost, s.serve(operation))(w, r, current, record)
	case path == modelsPath:
		s.only(http.MethodGet, s.listModels)(w, r, current, record)
	case oneModel:
		s.only(http.MethodGet, s.showModel(model))(w, r, current, record)
	default:
		s.refuse(w, record, openai.NotFound("There is nothing at %.200s. This endpoint serves POST %s and GET %s.",
			r.URL.Path, operationPaths(), modelsPath))
	}
}

// operationAt finds the operation that a path serves; nil if it is none's.
func operationAt(path string) *openai.Operation {
	below, found := strings.CutPrefix(path, basePath)
	if !found {
		return nil
	}
	return openai.OperationAt(below)
}

// operationPaths lists the paths of all operations, as a sentence has them.
func operationPaths() string {
	paths := make([]string, 0, len(openai.Operations()))
	for _, operation := range openai.Operations() {
		paths = append(paths, basePath+operation.Path)
	}
	return strings.Join(paths, ", ")
}

type handler func(w http.ResponseWriter, r *http.Request, current *table, record *record)

// only refuses other methods.
func (s *server) only(method string, serve handler) handler {
	return func(w http.ResponseWriter, r *http.Request, current *table, record *record) {
		if r.Method != method {
			s.refuse(w, record, openai.MethodNotAllowed(method))
			return
		}
		serve(w, r, current, record)
	}
}

// refuse answers with an error and remembers it for the record.
func (s *server) refuse(w http.ResponseWriter, record *record, refusal *openai.Error) {
	record.code = codeOf(refusal)
	record.tellCost(w.Header())
	record.dialect.Write(w, refusal)
}

// codeOf is the code of a refusal, or its type where OpenAI's errors have no code.
func codeOf(refusal *openai.Error) string { return cmp.Or(refusal.Code, refusal.Type) }

// identify finds whoever asks, or answers 401 and returns nil.
func (s *server) identify(w http.ResponseWriter, r *http.Request, current *table, record *record) *principal {
	caller, refusal := current.authenticate(r.Header, s.now())
	if caller == nil {
		s.refuse(w, record, openai.Unauthorized("%s", refusal))
	}
	return caller
}
