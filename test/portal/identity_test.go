package portal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// identityProvider is that of an organisation, as far as an API server asks it: OpenID Connect's discovery, and its key.
type identityProvider struct {
	t       *testing.T
	server  *httptest.Server
	private *ecdsa.PrivateKey
}

func newIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &identityProvider{t: t, private: private}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": p.server.URL, "jwks_uri": p.server.URL + "/keys", "response_types_supported": []string{"id_token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		key := jose.JSONWebKey{Key: private.Public(), KeyID: "test", Algorithm: "ES256", Use: "sig"}
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	})
	p.server = httptest.NewTLSServer(mux)
	t.Cleanup(p.server.Close)
	return p
}

// configuration is a file that tells an API server of the provider: the example of docs/portal.md, with the provider's own address.
func (p *identityProvider) configuration() string {
	p.t.Helper()
	page, err := os.ReadFile("../../docs/portal.md")
	if err != nil {
		p.t.Fatal(err)
	}
	const begin = "  apiVersion: apiserver.config.k8s.io/v1\n"
	_, rest, _ := strings.Cut(string(page), begin)
	example, _, _ := strings.Cut(rest, "  ```\n")
	example = strings.Replace(begin+example, "https://login.example.com", p.server.URL, 1)
	var config struct {
		APIVersion string           `json:"apiVersion"`
		Kind       string           `json:"kind"`
		JWT        []map[string]any `json:"jwt"`
	}
	if err := yaml.UnmarshalStrict([]byte(example), &config); err != nil || len(config.JWT) != 1 {
		p.t.Fatalf("the example of docs/portal.md is not one: %v\n%s", err, example)
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	config.JWT[0]["issuer"].(map[string]any)["certificateAuthority"] = string(authority)
	written, err := yaml.Marshal(config)
	if err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.t.TempDir(), "authentication.yaml")
	if err := os.WriteFile(file, written, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return file
}

// token is the identity token of somebody of the group ai-platform, as an OIDC proxy with this client id gets it.
func (p *identityProvider) token(client string, expires time.Time) string {
	p.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.private, KeyID: "test"}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: p.server.URL, Audience: jwt.Audience{client}, Subject: "1234", Expiry: jwt.NewNumericDate(expires),
		IssuedAt: jwt.NewNumericDate(expires.Add(-time.Hour)),
	}).Claims(map[string]any{"email": "jane@example.com", "email_verified": true, "groups": []string{"ai-platform"}}).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return token
}

// wantSingleSignOn fails unless people are known by what their organisation's provider says of them, and see what their group may.
func wantSingleSignOn(t *testing.T, w *world) {
	w.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "ai-platform"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: viewRole},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "oidc:ai-platform"}},
	})
	soon := time.Now().Add(time.Hour)
	jane := &visitor{world: w, token: w.provider.token("kubernetes", soon), brings: true}
	// The API server asks for the provider's keys by itself, a while after it has begun.
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if status, _ := jane.get("/?namespace=a"); status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the API server does not know who comes from the provider")
		}
	}
	jane.wantToSee(
		see{"/", 403, false, false}, see{"/?namespace=a", 200, true, false}, see{"/?namespace=b", 403, false, false},
		see{"/routes/a" + page, 200, true, false}, see{"/routes/b" + page, 403, false, false},
	)
	for name, token := range map[string]string{
		"that has expired":        w.provider.token("kubernetes", time.Now().Add(-time.Hour)),
		"for another program":     w.provider.token("wiki", soon),
		"of another provider":     newIdentityProvider(t).token("kubernetes", soon),
		"that is nobody's at all": "nobody",
	} {
		other := &visitor{world: w, token: token, brings: true}
		if status, body := other.get("/?namespace=a"); status != http.StatusUnauthorized || !strings.Contains(body, "This cluster does not know you") {
			t.Errorf("with a token %s it is %d:\n%s", name, status, body)
		}
	}
}
