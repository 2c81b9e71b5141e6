package ledger_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/modelroute/modelroute/internal/ledger/auth"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb"
	"github.com/modelroute/modelroute/internal/ledger/ledgerpb/ledgerpbconnect"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

func TestAReaderSeesWhatWasSpentAndDoesNothingElse(t *testing.T) {
	w := newWorld(t, ledgertest.Options{Managers: []auth.Identity{"somebody else"}, Readers: []auth.Identity{ledgertest.Identity}})
	allowed := map[string]bool{"ListUsage": true, "ListHistory": true, "ListUpstreamSpend": true}
	methods := ledgerpb.File_ledger_proto.Services().ByName("ManagerService").Methods()
	if methods.Len() <= len(allowed) {
		t.Fatalf("there are %d methods", methods.Len())
	}
	for i := range methods.Len() {
		name := string(methods.Get(i).Name())
		t.Run(name, func(t *testing.T) {
			status := w.post("/" + ledgerpbconnect.ManagerServiceName + "/" + name)
			if refused := status == http.StatusForbidden; refused == allowed[name] {
				t.Errorf("it is answered with %d", status)
			}
		})
	}
	// It serves no route.
	if status := w.post(ledgerpbconnect.ProxyServiceOpenSessionProcedure); status == http.StatusOK {
		t.Error("it opens a session as a proxy")
	}
}

func TestWhoReadsNothingIsToldSo(t *testing.T) {
	w := newWorld(t, ledgertest.Options{Managers: []auth.Identity{"somebody else"}, Readers: []auth.Identity{"another one"}})
	if status := w.post(ledgerpbconnect.ManagerServiceListHistoryProcedure); status != http.StatusForbidden {
		t.Errorf("the history is answered with %d", status)
	}
}

// post calls a procedure with an empty request, as the bearer of the ledger's key.
func (w *world) post(procedure string) int {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.URL+procedure, strings.NewReader("{}"))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+ledgertest.Key)
	client := w.HTTPClient()
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
