package routeconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Encode returns the configuration as the bytes that are delivered. Equal configurations have equal bytes.
func Encode(config Config) ([]byte, error) {
	return encode(config)
}

// Hash names delivered bytes: SHA-256, in hexadecimal. A proxy acknowledges the hash of what it serves.
func Hash(encoded []byte) string {
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:])
}

// Decode reads delivered bytes strictly: an unknown field, a second value or a configuration that Validate refuses is an
// error, so that a proxy never serves half of what was meant.
func Decode(encoded []byte) (Config, error) {
	var config Config
	if err := decodeStrictly(encoded, &config); err != nil {
		return Config{}, fmt.Errorf("decoding proxy configuration: %w", err)
	}
	if err := Validate(config); err != nil {
		return Config{}, fmt.Errorf("proxy configuration: %w", err)
	}
	return config, nil
}

// Validate checks what a proxy relies on. The errors name the field.
func Validate(config Config) error {
	if config.Version != Version {
		return fmt.Errorf("version is %q, this program reads %q", config.Version, Version)
	}
	if err := validateURL(config.Ledger.URL, "http", "https"); err != nil {
		return fmt.Errorf("ledger.url: %w", err)
	}
	if err := validateIssuer(config); err != nil {
		return err
	}
	type name struct{ namespace, name string }
	seen := map[name]bool{}
	for i, route := range config.Routes {
		if err := validateRoute(route); err != nil {
			return fmt.Errorf("routes[%d] (%s/%s): %w", i, route.Namespace, route.Name, err)
		}
		if seen[name{route.Namespace, route.Name}] {
			return fmt.Errorf("routes[%d] (%s/%s): namespace and name are taken", i, route.Namespace, route.Name)
		}
		seen[name{route.Namespace, route.Name}] = true
	}
	return nil
}

func validateRoute(route Route) error {
	switch {
	case route.Namespace == "" || route.Name == "":
		return errors.New("namespace and name must be set")
	case route.MaxRequestBytes < 0 || route.MaxAttempts < 0:
		return errors.New("maxRequestBytes and maxAttempts must not be negative")
	case route.CostHeaders != "" && route.CostHeaders != OmitCostHeaders:
		return fmt.Errorf("costHeaders is %q, which is not known", route.CostHeaders)
	}
	if err := validateModel(route.Model); err != nil {
		return err
	}
	if err := validateUpstreams(route.Upstreams); err != nil {
		return err
	}
	if err := validateParameters(route); err != nil {
		return err
	}
	if err := validateConsumers(route.Consumers); err != nil {
		return err
	}
	return validateReserves(route)
}

func validateUpstreams(upstreams []Upstream) error {
	if len(upstreams) == 0 {
		return errors.New("upstreams must not be empty")
	}
	for i, upstream := range upstreams {
		if err := validateUpstream(upstream); err != nil {
			return fmt.Errorf("upstreams[%d] (%s): %w", i, upstream.Name, err)
		}
	}
	return nil
}

func validateModel(model Model) error {
	switch {
	case model.Name == "":
		return errors.New("model.name must be set")
	case model.ContextLength <= 0:
		return errors.New("model.contextLength must be positive")
	case model.MaxCompletionTokens < 0:
		return errors.New("model.maxCompletionTokens must not be negative")
	}
	return nil
}

// validateReserves checks that every reserve is an upstream that is kept for that, and that there is one for the other requests.
func validateReserves(route Route) error {
	kept, names := map[string]bool{}, map[string]bool{}
	for i, upstream := range route.Upstreams {
		if names[upstream.Name] {
			return fmt.Errorf("upstreams[%d] (%s): name is taken", i, upstream.Name)
		}
		names[upstream.Name] = true
		kept[upstream.Name] = upstream.Reserve
	}
	if !slices.ContainsFunc(route.Upstreams, func(one Upstream) bool { return !one.Reserve }) {
		return errors.New("upstreams must have one that is no reserve")
	}
	if err := areKept(route.Reserves, kept); err != nil {
		return err
	}
	for i, consumer := range route.Consumers {
		if err := areKept(consumer.Reserves, kept); err != nil {
			return fmt.Errorf("consumers[%d] (%s): %w", i, consumer.Name, err)
		}
	}
	return nil
}

// areKept checks that reserves are upstreams that are kept for that.
func areKept(reserves []Reserve, kept map[string]bool) error {
	for i, one := range reserves {
		if !kept[one.Upstream] {
			return fmt.Errorf("reserves[%d] (%s): upstream %q is no reserve", i, one.Budget, one.Upstream)
		}
	}
	return nil
}

func validateParameters(route Route) error {
	if err := validateValues("defaults", route.Defaults); err != nil {
		return err
	}
	if err := validateValues("overrides", route.Overrides); err != nil {
		return err
	}
	if route.MaxCompletionTokens < 0 {
		return errors.New("maxCompletionTokens must not be negative")
	}
	switch route.Unsupported {
	case "", RejectUnsupported, DropUnsupported:
		return nil
	}
	return fmt.Errorf("unsupported is %q, which is not known", route.Unsupported)
}

func validateValues(field string, parameters []Parameter) error {
	for i, parameter := range parameters {
		if parameter.Name == "" || !json.Valid(parameter.Value) {
			return fmt.Errorf("%s[%d] (%s): needs a name and a JSON value", field, i, parameter.Name)
		}
	}
	return nil
}

func validateUpstream(upstream Upstream) error {
	switch upstream.Provider {
	case OpenRouter, OpenAI, Mistral, OpenAICompatible:
	default:
		return fmt.Errorf("provider %q is not known", upstream.Provider)
	}
	if err := validateURL(upstream.BaseURL, "http", "https"); err != nil {
		return fmt.Errorf("baseURL: %w", err)
	}
	for _, endpoint := range upstream.Endpoints {
		switch endpoint {
		case ChatCompletions, Completions, Embeddings, Responses, Messages:
		default:
			return fmt.Errorf("endpoint %q is not known", endpoint)
		}
	}
	switch {
	case strings.HasSuffix(upstream.BaseURL, "/"):
		return errors.New("baseURL: must not end in a slash")
	case upstream.Model == "":
		return errors.New("model must be set")
	case upstream.TimeoutSeconds <= 0:
		return errors.New("timeoutSeconds must be positive")
	case min(upstream.ConnectTimeoutSeconds, upstream.FirstByteTimeoutSeconds, upstream.IdleTimeoutSeconds) < 0:
		return errors.New("connectTimeoutSeconds, firstByteTimeoutSeconds and idleTimeoutSeconds must not be negative")
	case !slices.Contains([]OnDisconnect{"", Drain, Cancel, CancelAsServed}, upstream.OnDisconnect):
		return fmt.Errorf("onDisconnect is %q, which is not known", upstream.OnDisconnect)
	}
	if err := errors.Join(validatePricing(upstream), validateWay(upstream)); err != nil {
		return err
	}
	return validateValues("parameters", upstream.Parameters)
}

func validatePricing(upstream Upstream) error {
	switch {
	case upstream.Pricing.isNegative():
		return errors.New("pricing must not be negative")
	case upstream.Unpriced && upstream.Pricing != (Pricing{}):
		return errors.New("pricing must be nothing where it is not known")
	}
	return nil
}

// validateWay checks how the upstream is reached, and what it is told beside the request.
func validateWay(upstream Upstream) error {
	if upstream.ProxyURL != "" && upstream.ProxyURL != Direct {
		if err := validateURL(upstream.ProxyURL, "http", "https", "socks5"); err != nil {
			return fmt.Errorf("proxyURL: %w", err)
		}
	}
	if strings.ContainsFunc(upstream.Referer+upstream.Title, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errors.New("referer and title must be printable ASCII")
	}
	return nil
}

func (p Pricing) isNegative() bool {
	return p.PromptPicoUSD < 0 || p.CompletionPicoUSD < 0 || p.RequestNanoUSD < 0 ||
		(p.CachedPromptPicoUSD != nil && *p.CachedPromptPicoUSD < 0) || (p.CacheWritePicoUSD != nil && *p.CacheWritePicoUSD < 0)
}

func validateConsumers(consumers []Consumer) error {
	names, holders, accounts := map[string]bool{}, map[string]string{}, map[[2]string]string{}
	for i, consumer := range consumers {
		if consumer.Name == "" {
			return fmt.Errorf("consumers[%d]: name must be set", i)
		}
		if names[consumer.Name] {
			return fmt.Errorf("consumers[%d] (%s): name is taken", i, consumer.Name)
		}
		names[consumer.Name] = true
		if consumer.Expires < 0 {
			return fmt.Errorf("consumers[%d] (%s): expires must not be negative", i, consumer.Name)
		}
		if err := errors.Join(validateKeys(consumer, holders), validateServiceAccounts(consumer, accounts)); err != nil {
			return fmt.Errorf("consumers[%d] (%s): %w", i, consumer.Name, err)
		}
	}
	return nil
}

// validateKeys checks the keys of a consumer and enters them in holders, which says whose every key is.
func validateKeys(consumer Consumer, holders map[string]string) error {
	for i, key := range consumer.Keys {
		sum, err := hex.DecodeString(key.SHA256)
		if err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("keys[%d] (%s): sha256 is no SHA-256 in hexadecimal", i, key.ID)
		}
		if holder, taken := holders[string(sum)]; taken {
			return fmt.Errorf("keys[%d] (%s): sha256 is also that of a key of %s", i, key.ID, holder)
		}
		holders[string(sum)] = consumer.Name
		if key.Expires < 0 {
			return fmt.Errorf("keys[%d] (%s): expires must not be negative", i, key.ID)
		}
	}
	return nil
}

func validateURL(text string, schemes ...string) error {
	parsed, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("is no URL")
	case !slices.Contains(schemes, parsed.Scheme):
		return fmt.Errorf("must begin with %s://", strings.Join(schemes, ":// or "))
	case parsed.Host == "" || parsed.User != nil:
		return errors.New("must have a host and no user")
	case strings.ContainsAny(text, "?#"):
		return errors.New("must have no query and no fragment")
	}
	return nil
}
