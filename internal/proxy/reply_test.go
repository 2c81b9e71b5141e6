package proxy_test

import (
	"encoding/json"
	"net/http"
	"testing"
)

// reply is an answer that was read to its end.
type reply struct {
	status          int
	header, trailer http.Header
	body            string
	// broken is why the body could not be read to its end.
	broken error
}

// failure is an error in OpenAI's shape, with all of its four members.
type failure struct {
	Message string
	Type    string
	Param   *string
	Code    *string
}

func (r reply) failure(t *testing.T) failure {
	t.Helper()
	var shape struct {
		Error map[string]json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal([]byte(r.body), &shape); err != nil {
		t.Fatalf("the error is no JSON: %v\n%s", err, r.body)
	}
	var found failure
	for name, member := range map[string]any{"message": &found.Message, "type": &found.Type, "param": &found.Param, "code": &found.Code} {
		raw, present := shape.Error[name]
		if !present {
			t.Fatalf("the error lacks the member %s: %s", name, r.body)
		}
		if err := json.Unmarshal(raw, member); err != nil {
			t.Fatalf("the member %s of the error: %v", name, err)
		}
	}
	return found
}

// expectFailure checks status and code of an error.
func (r reply) expectFailure(t *testing.T, status int, code string) failure {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	found := r.failure(t)
	if found.Code == nil || *found.Code != code {
		t.Fatalf("the error's code is not %s: %s", code, r.body)
	}
	return found
}

func (r reply) expectOK(t *testing.T) reply {
	t.Helper()
	if r.status != http.StatusOK || r.broken != nil {
		t.Fatalf("status %d, %v: %s", r.status, r.broken, r.body)
	}
	return r
}
