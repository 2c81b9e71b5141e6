package routeconfig_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

const (
	firstHash  = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	secondHash = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"
)

// signingKey is a public key of the curve P-256, in DER and base64.
const signingKey = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJuDD7P8sHhRHIduzHQIcnV2z7dgD" +
	"s0XeZflmCuRbHz7PDTX1e7lGRT1XCSGuHjH6DF9y8n7ckWpncUKS6FDkpA=="

func publicKey() []byte {
	der, err := base64.StdEncoding.DecodeString(signingKey)
	if err != nil {
		panic(err)
	}
	return der
}

// complete is a configuration in which every field is set.
func complete() routeconfig.Config {
	return routeconfig.Config{
		Version: routeconfig.Version,
		Ledger:  routeconfig.Ledger{URL: "https://ledger.modelroute-system.svc:8443", CA: "-----BEGIN CERTIFICATE-----\n"},
		Issuer: &routeconfig.Issuer{
			URL: "https://kubernetes.default.svc", Audience: "modelroute",
			Keys: []routeconfig.SigningKey{{ID: "a", Algorithm: routeconfig.ES256, PublicKey: publicKey()}},
		},
		Routes: []routeconfig.Route{{
			Namespace: "ai-platform", Name: "mixtral",
			Model: routeconfig.Model{
				Name: "mixtral", Aliases: []string{"mistralai/mixtral"}, DisplayName: "Mixtral <8x22B> & friends",
				Description: "Mistral's instruction-tuned model.", ContextLength: 65_536, MaxCompletionTokens: 16_384,
				InputModalities: []string{"text"}, OutputModalities: []string{"text"}, SupportedParameters: []string{"seed", "stop"},
				Created: 1_790_000_000,
			},
			Upstreams: []routeconfig.Upstream{{
				Name: "openrouter", Provider: routeconfig.OpenRouter, BaseURL: "https://openrouter.ai/api/v1",
				Endpoints: []routeconfig.Endpoint{routeconfig.ChatCompletions, routeconfig.Completions},
				Model:     "mistralai/mixtral", APIKeyFile: "/etc/modelroute/openrouter",
				Pricing: routeconfig.Pricing{
					PromptPicoUSD: 2_000_000, CompletionPicoUSD: 6_000_000,
					CachedPromptPicoUSD: new(int64(200_000)), CacheWritePicoUSD: new(int64(2_500_000)), RequestNanoUSD: 10_000_000,
				},
				TimeoutSeconds: 600,
				CAFile:         "/etc/modelroute/ca.crt", ProxyURL: "http://egress.example:3128",
				Referer: "https://search.example", Title: "Search", Denies: true,
			}, {
				Name: "vllm", Provider: routeconfig.OpenAICompatible, BaseURL: "http://vllm/v1", Model: "mixtral",
				TimeoutSeconds: 60, Reserve: true,
			}},
			Defaults:            []routeconfig.Parameter{{Name: "temperature", Value: json.RawMessage(`0.70`)}},
			Overrides:           []routeconfig.Parameter{{Name: "top_k", Value: json.RawMessage(`40`)}},
			MaxCompletionTokens: 4096, Unsupported: routeconfig.RejectUnsupported,
			Consumers: []routeconfig.Consumer{
				{Name: "batch", Keys: []routeconfig.Key{{ID: "k_1", SHA256: firstHash}}},
				{Name: "search", Keys: []routeconfig.Key{{ID: "k_2", SHA256: secondHash}}, Denies: true,
					Reserves: []routeconfig.Reserve{{Budget: "own", Upstream: "vllm"}}},
				{Name: "workload", ServiceAccounts: []routeconfig.ServiceAccount{{Namespace: "search", Name: "crawler", UID: "7d4c0b4e"}}},
			},
			Denies: true, MaxRequestBytes: 1 << 20, MaxAttempts: 3,
			Reserves: []routeconfig.Reserve{{Budget: "monthly", Upstream: "vllm"}},
		}},
	}
}

// completeJSON is how complete is delivered. A proxy and a manager that are a version apart must agree on every byte of it.
const completeJSON = `{"version":"modelroute.dev/config/v1",` +
	`"ledger":{"url":"https://ledger.modelroute-system.svc:8443","ca":"-----BEGIN CERTIFICATE-----\n"},` +
	`"issuer":{"url":"https://kubernetes.default.svc","audience":"modelroute",` +
	`"keys":[{"id":"a","algorithm":"ES256","publicKey":"` + signingKey + `"}]},` +
	`"routes":[{"namespace":"ai-platform","name":"mixtral",` +
	`"model":{"name":"mixtral","aliases":["mistralai/mixtral"],"displayName":"Mixtral <8x22B> & friends",` +
	`"description":"Mistral's instruction-tuned model.","contextLength":65536,"maxCompletionTokens":16384,` +
	`"inputModalities":["text"],"outputModalities":["text"],"supportedParameters":["seed","stop"],"created":1790000000},` +
	`"upstreams":[{"name":"openrouter","provider":"OpenRouter","baseURL":"https://openrouter.ai/api/v1",` +
	`"endpoints":["ChatCompletions","Completions"],"model":"mistralai/mixtral","apiKeyFile":"/etc/modelroute/openrouter",` +
	`"pricing":{"promptPicoUSD":2000000,"completionPicoUSD":6000000,` +
	`"cachedPromptPicoUSD":200000,"cacheWritePicoUSD":2500000,"requestNanoUSD":10000000},"timeoutSeconds":600,` +
	`"caFile":"/etc/modelroute/ca.crt","proxyURL":"http://egress.example:3128","referer":"https://search.example","title":"Search",` +
	`"denies":true},` +
	`{"name":"vllm","provider":"OpenAICompatible","baseURL":"http://vllm/v1","model":"mixtral","apiKeyFile":"",` +
	`"pricing":{"promptPicoUSD":0,"completionPicoUSD":0},"timeoutSeconds":60,"reserve":true}],` +
	`"defaults":[{"name":"temperature","value":0.70}],"overrides":[{"name":"top_k","value":40}],` +
	`"maxCompletionTokens":4096,"unsupported":"Reject",` +
	`"consumers":[{"name":"batch","keys":[{"id":"k_1","sha256":"` + firstHash + `"}]},` +
	`{"name":"search","keys":[{"id":"k_2","sha256":"` + secondHash + `"}],"denies":true,` +
	`"reserves":[{"budget":"own","upstream":"vllm"}]},` +
	`{"name":"workload","serviceAccounts":[{"namespace":"search","name":"crawler","uid":"7d4c0b4e"}]}],` +
	`"denies":true,"maxRequestBytes":1048576,"maxAttempts":3,"reserves":[{"budget":"monthly","upstream":"vllm"}]}]}` + "\n"

func TestEncodeWritesTheDeliveredForm(t *testing.T) {
	encoded, err := routeconfig.Encode(complete())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(completeJSON, string(encoded)); diff != "" {
		t.Errorf("encoded (-want +got):\n%s", diff)
	}
}

func TestEncodeRefusesAValueThatIsNoJSON(t *testing.T) {
	config := complete()
	config.Routes[0].Defaults[0].Value = json.RawMessage(`{`)
	if encoded, err := routeconfig.Encode(config); err == nil {
		t.Errorf("encoded as %s", encoded)
	}
}

func TestDecodeReadsBackWhatWasEncoded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		config := configs().Draw(t, "config")
		encoded, err := routeconfig.Encode(config)
		if err != nil {
			t.Fatal(err)
		}
		decoded, err := routeconfig.Decode(encoded)
		if err != nil {
			t.Fatalf("decoding %s: %v", encoded, err)
		}
		if diff := cmp.Diff(config, decoded); diff != "" {
			t.Fatalf("decoded (-want +got):\n%s", diff)
		}
		again, err := routeconfig.Encode(decoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(encoded), string(again)); diff != "" {
			t.Fatalf("the same configuration has other bytes (-first +again):\n%s", diff)
		}
	})
}

// configs draws configurations of up to two routes, with any text where any text is allowed.
func configs() *rapid.Generator[routeconfig.Config] {
	return rapid.Custom(func(t *rapid.T) routeconfig.Config {
		config := complete()
		config.Ledger.CA = rapid.String().Draw(t, "ca")
		route := &config.Routes[0]
		route.Model.Description = rapid.String().Draw(t, "description")
		route.Model.Created = rapid.Int64().Draw(t, "created")
		route.Upstreams[0].Pricing.PromptPicoUSD = rapid.Int64Min(0).Draw(t, "price")
		value := rapid.SampledFrom([]string{`0.70`, `1e-7`, `123456789012345678901`, `"<&> "`, `{"b":1,"a":[null,true]}`, `null`})
		route.Defaults[0].Value = json.RawMessage(value.Draw(t, "default"))
		route.Denies = rapid.Bool().Draw(t, "denies")
		switch rapid.IntRange(0, 2).Draw(t, "routes") {
		case 0:
			config.Routes = []routeconfig.Route{}
		case 2:
			other := complete().Routes[0]
			other.Name, other.Consumers, other.Defaults, other.Reserves = "other", nil, nil, nil
			config.Routes = append(config.Routes, other)
		}
		return config
	})
}

func TestHashIsTheSHA256OfTheBytes(t *testing.T) {
	if got := routeconfig.Hash([]byte("test")); got != firstHash {
		t.Errorf("got %s, want %s", got, firstHash)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	for reason, encoded := range map[string]string{
		"nothing":                "",
		"only half of it":        completeJSON[:len(completeJSON)/2],
		"null":                   "null",
		"a list":                 "[" + completeJSON + "]",
		"a second configuration": completeJSON + completeJSON,
		"something behind it":    completeJSON + "x",
		"a fraction of a token":  strings.Replace(completeJSON, `"contextLength":65536`, `"contextLength":65536.5`, 1),
		"a number as text":       strings.Replace(completeJSON, `"contextLength":65536`, `"contextLength":"65536"`, 1),
		"a price beyond int64":   strings.Replace(completeJSON, "2000000", "9223372036854775808", 1),
		"another version":        strings.Replace(completeJSON, "config/v1", "config/v2", 1),
	} {
		t.Run(reason, func(t *testing.T) {
			if config, err := routeconfig.Decode([]byte(encoded)); err == nil {
				t.Errorf("decoded as %+v", config)
			} else if diff := cmp.Diff(routeconfig.Config{}, config); diff != "" {
				t.Errorf("an error leaves half a configuration (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefusesAnUnknownFieldAnywhere(t *testing.T) {
	var document map[string]any
	if err := json.Unmarshal([]byte(completeJSON), &document); err != nil {
		t.Fatal(err)
	}
	objects := objectsIn("", document)
	if want := 10; len(objects) < want {
		t.Fatalf("only %d objects were found, of at least %d", len(objects), want)
	}
	for path, object := range objects {
		object["surprise"] = true
		encoded, err := json.Marshal(document)
		delete(object, "surprise")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := routeconfig.Decode(encoded); err == nil || !strings.Contains(err.Error(), "surprise") {
			t.Errorf("an unknown field in %q: %v", path, err)
		}
	}
}

// objectsIn returns every JSON object in value, by its path.
func objectsIn(path string, value any) map[string]map[string]any {
	found := map[string]map[string]any{}
	add := func(path string, value any) {
		maps.Copy(found, objectsIn(path, value))
	}
	switch value := value.(type) {
	case map[string]any:
		found[path] = value
		for name, member := range value {
			add(path+"/"+name, member)
		}
	case []any:
		for _, element := range value {
			add(path+"/-", element)
		}
	}
	return found
}

func TestValidateNamesTheField(t *testing.T) {
	type (
		config = routeconfig.Config
		key    = routeconfig.Key
	)
	upstream := func(c *config) *routeconfig.Upstream { return &c.Routes[0].Upstreams[0] }
	for field, spoil := range map[string]func(*config){
		"version":    func(c *config) { c.Version = "modelroute.dev/config/v2" },
		"ledger.url": func(c *config) { c.Ledger.URL = "" },
		"routes[0] (/mixtral): namespace and name":            func(c *config) { c.Routes[0].Namespace = "" },
		"routes[0] (ai-platform/): namespace and name":        func(c *config) { c.Routes[0].Name = "" },
		"routes[1] (ai-platform/mixtral): namespace and name": func(c *config) { c.Routes = append(c.Routes, c.Routes[0]) },
		"model.name":                               func(c *config) { c.Routes[0].Model.Name = "" },
		"model.contextLength":                      func(c *config) { c.Routes[0].Model.ContextLength = 0 },
		"model.maxCompletionTokens":                func(c *config) { c.Routes[0].Model.MaxCompletionTokens = -1 },
		"upstreams must not be empty":              func(c *config) { c.Routes[0].Upstreams = nil },
		"upstreams must have one":                  func(c *config) { upstream(c).Reserve = true },
		"upstreams[1] (openrouter): name is taken": func(c *config) { c.Routes[0].Upstreams[1].Name = "openrouter" },
		"reserves[0] (monthly): upstream \"openrouter\" is no reserve": func(c *config) { c.Routes[0].Reserves[0].Upstream = "openrouter" },
		"consumers[1] (search): reserves[0] (own): upstream \"gone\" is no reserve": func(c *config) {
			c.Routes[0].Consumers[1].Reserves = []routeconfig.Reserve{{Budget: "own", Upstream: "gone"}}
		},
		"upstreams[0] (openrouter): provider":                         func(c *config) { upstream(c).Provider = "openrouter" },
		"upstreams[0] (openrouter): baseURL":                          func(c *config) { upstream(c).BaseURL = "openrouter.ai" },
		"upstreams[0] (openrouter): baseURL: must not end in a slash": func(c *config) { upstream(c).BaseURL += "/" },
		"upstreams[0] (openrouter): endpoint": func(c *config) {
			upstream(c).Endpoints = []routeconfig.Endpoint{routeconfig.Messages, "Images"}
		},
		"upstreams[0] (openrouter): model":                  func(c *config) { upstream(c).Model = "" },
		"upstreams[0] (openrouter): pricing":                func(c *config) { upstream(c).Pricing.PromptPicoUSD = -1 },
		"upstreams[0] (openrouter): pricing must":           func(c *config) { upstream(c).Pricing.CompletionPicoUSD = -1 },
		"proxyURL: must begin with":                         func(c *config) { upstream(c).ProxyURL = "ftp://egress.example" },
		"proxyURL: must have":                               func(c *config) { upstream(c).ProxyURL = "http://user:secret@egress.example" },
		"referer and title must":                            func(c *config) { upstream(c).Title = "a\r\nAuthorization: b" },
		"maxRequestBytes and":                               func(c *config) { c.Routes[0].MaxRequestBytes = -1 },
		"and maxAttempts must":                              func(c *config) { c.Routes[0].MaxAttempts = -1 },
		"pricing must not be negative":                      func(c *config) { upstream(c).Pricing.CachedPromptPicoUSD = new(int64(-1)) },
		"pricing must not be":                               func(c *config) { upstream(c).Pricing.CacheWritePicoUSD = new(int64(-1)) },
		"pricing must not":                                  func(c *config) { upstream(c).Pricing.RequestNanoUSD = -1 },
		"upstreams[0] (openrouter): timeoutSeconds":         func(c *config) { upstream(c).TimeoutSeconds = 0 },
		"defaults[0] ()":                                    func(c *config) { c.Routes[0].Defaults[0].Name = "" },
		"defaults[0] (temperature)":                         func(c *config) { c.Routes[0].Defaults[0].Value = json.RawMessage(`{`) },
		"overrides[0] ()":                                   func(c *config) { c.Routes[0].Overrides[0].Name = "" },
		"maxCompletionTokens must":                          func(c *config) { c.Routes[0].MaxCompletionTokens = -1 },
		"unsupported":                                       func(c *config) { c.Routes[0].Unsupported = "Ignore" },
		"consumers[1]: name":                                func(c *config) { c.Routes[0].Consumers[1].Name = "" },
		"consumers[1] (batch): name is taken":               func(c *config) { c.Routes[0].Consumers[1].Name = "batch" },
		"consumers[0] (batch): keys[0] (k_1): sha256 is no": func(c *config) { c.Routes[0].Consumers[0].Keys[0].SHA256 = "abc" },
		"consumers[0] (batch): keys[1] (k_3): sha256 is no": func(c *config) {
			c.Routes[0].Consumers[0].Keys = append(c.Routes[0].Consumers[0].Keys, key{ID: "k_3", SHA256: firstHash[:62]})
		},
		"consumers[1] (search): keys[0] (k_2): sha256 is also that of a key of batch": func(c *config) {
			c.Routes[0].Consumers[1].Keys[0].SHA256 = strings.ToUpper(firstHash)
		},
		"issuer must be set":                        func(c *config) { c.Issuer = nil },
		"issuer.url and":                            func(c *config) { c.Issuer.URL = "" },
		"and issuer.audience must":                  func(c *config) { c.Issuer.Audience = "" },
		"issuer.keys[0] (): needs":                  func(c *config) { c.Issuer.Keys[0].ID = "" },
		"issuer.keys[1] (a): needs":                 func(c *config) { c.Issuer.Keys = append(c.Issuer.Keys, c.Issuer.Keys[0]) },
		"issuer.keys[0] (a): publicKey":             func(c *config) { c.Issuer.Keys[0].PublicKey = []byte("secret") },
		"publicKey is none for algorithm \"RS256\"": func(c *config) { c.Issuer.Keys[0].Algorithm = routeconfig.RS256 },
		"publicKey is none for algorithm \"ES384\"": func(c *config) { c.Issuer.Keys[0].Algorithm = routeconfig.ES384 },
		"publicKey is none for algorithm \"HS256\"": func(c *config) { c.Issuer.Keys[0].Algorithm = "HS256" },
		"publicKey is none for algorithm \"\"":      func(c *config) { c.Issuer.Keys[0].Algorithm = "" },
		"(workload): serviceAccounts[0] (sa:search/crawler): namespace, name and uid": func(c *config) {
			c.Routes[0].Consumers[2].ServiceAccounts[0].UID = ""
		},
		"consumers[2] (workload): serviceAccounts[0] (sa:search/crawler): is also that of search": func(c *config) {
			other := c.Routes[0].Consumers[2].ServiceAccounts[0]
			other.UID = "another"
			c.Routes[0].Consumers[1].ServiceAccounts = []routeconfig.ServiceAccount{other}
		},
	} {
		t.Run(field, func(t *testing.T) {
			spoilt := complete()
			spoil(&spoilt)
			if err := routeconfig.Validate(spoilt); err == nil || !strings.Contains(err.Error(), field) {
				t.Errorf("the error is %v", err)
			}
			if encoded, err := routeconfig.Encode(spoilt); err == nil {
				if _, err := routeconfig.Decode(encoded); err == nil {
					t.Error("Decode accepts it")
				}
			}
		})
	}
}

func TestValidateAcceptsWhatIsOptional(t *testing.T) {
	type config = routeconfig.Config
	for reason, spare := range map[string]func(*config){
		"everything": func(*config) {},
		"no reserves": func(c *config) {
			c.Routes[0].Upstreams, c.Routes[0].Reserves, c.Routes[0].Consumers = c.Routes[0].Upstreams[:1], nil, nil
		},
		"no routes":                   func(c *config) { c.Routes = nil },
		"an issuer whom nobody needs": func(c *config) { c.Routes[0].Consumers = c.Routes[0].Consumers[:2] },
		"no issuer where nobody needs one": func(c *config) {
			c.Issuer, c.Routes[0].Consumers = nil, c.Routes[0].Consumers[:2]
		},
		"an issuer without keys":      func(c *config) { c.Issuer.Keys = nil },
		"no consumers":                func(c *config) { c.Routes[0].Consumers = nil },
		"a consumer without a key":    func(c *config) { c.Routes[0].Consumers[0].Keys = nil },
		"no defaults":                 func(c *config) { c.Routes[0].Defaults = nil },
		"no overrides":                func(c *config) { c.Routes[0].Overrides = nil },
		"no bound of the route's":     func(c *config) { c.Routes[0].MaxCompletionTokens = 0 },
		"any parameter passed on":     func(c *config) { c.Routes[0].Unsupported = "" },
		"unsupported ones taken out":  func(c *config) { c.Routes[0].Unsupported = routeconfig.DropUnsupported },
		"no bound on the completion":  func(c *config) { c.Routes[0].Model.MaxCompletionTokens = 0 },
		"free tokens":                 func(c *config) { c.Routes[0].Upstreams[0].Pricing = routeconfig.Pricing{} },
		"no proxy at all":             func(c *config) { c.Routes[0].Upstreams[0].ProxyURL = routeconfig.Direct },
		"no word of its endpoints":    func(c *config) { c.Routes[0].Upstreams[0].Endpoints = nil },
		"an upstream on this machine": func(c *config) { c.Routes[0].Upstreams[0].BaseURL = "http://127.0.0.1:8000/v1" },
		"two routes of one name in two namespaces": func(c *config) {
			other := c.Routes[0]
			other.Namespace = "research"
			c.Routes = append(c.Routes, other)
		},
	} {
		t.Run(reason, func(t *testing.T) {
			spared := complete()
			spare(&spared)
			if err := routeconfig.Validate(spared); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestURLsThatAProxyCannotUse(t *testing.T) {
	secret := url.UserPassword("somebody", "hunter2").String()
	for reason, text := range map[string]string{
		"empty":         "",
		"no scheme":     "ledger.svc:8443",
		"another":       "ftp://ledger.svc",
		"no host":       "https:///v1",
		"a user":        "https://" + secret + "@ledger.svc",
		"a query":       "https://ledger.svc?key=" + secret,
		"a fragment":    "https://ledger.svc#" + secret,
		"a bad port":    "https://" + secret + "@ledger.svc:port",
		"a line ending": "https://ledger.svc/\n",
	} {
		t.Run(reason, func(t *testing.T) {
			config := complete()
			config.Ledger.URL = text
			err := routeconfig.Validate(config)
			if err == nil {
				t.Fatal("is accepted")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error %q gives the secret away", err)
			}
		})
	}
}
