package desired

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// EnvVar is an environment variable of the proxies.
type EnvVar struct{ Name, Value string }

// Withheld is a variable that proxies do not get, and why.
type Withheld struct{ Name, Reason string }

// Environment is what of the manager's own environment its proxies get: by which way to go out, and where telemetry goes. A variable that
// holds a secret is withheld, because whoever may read a Deployment would see it, and one that names a file, which is not there.
//
// direct are the hosts that are reached without an egress proxy: where there is one, they are added to NO_PROXY. The result is sorted by
// name.
func Environment(environ []string, direct ...string) (handed []EnvVar, withheld []Withheld) {
	found := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if value == "" || !isProxyVariable(name) && name != "NO_PROXY" && name != "no_proxy" && !strings.HasPrefix(name, "OTEL_") {
			continue
		}
		if reason := secretOf(name, value); reason != "" {
			withheld = append(withheld, Withheld{Name: name, Reason: reason})
			continue
		}
		found[name] = value
	}
	goDirectly(found, direct)
	for name, value := range found {
		// The kubelet would put the value of a variable in the place of $(NAME).
		handed = append(handed, EnvVar{Name: name, Value: strings.ReplaceAll(value, "$(", "$$(")})
	}
	slices.SortFunc(handed, func(a, b EnvVar) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(withheld, func(a, b Withheld) int { return cmp.Compare(a.Name, b.Name) })
	return handed, withheld
}

func isProxyVariable(name string) bool {
	switch name {
	case "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy":
		return true
	}
	return false
}

// secretOf says why a variable stays with the manager; empty if it does not.
func secretOf(name, value string) string {
	switch {
	case strings.HasPrefix(name, "OTEL_") && strings.HasSuffix(name, "_HEADERS"):
		return "headers hold credentials; send telemetry to a collector that adds them"
	case strings.HasPrefix(name, "OTEL_EXPORTER_") && (strings.HasSuffix(name, "_CERTIFICATE") || strings.HasSuffix(name, "_CLIENT_KEY")):
		return "it names a file that proxies do not have"
	case isProxyVariable(name) || strings.HasSuffix(name, "_ENDPOINT"):
		if hasUser(value) {
			return "the URL holds a user or a password"
		}
	}
	return ""
}

// hasUser reads an address as Go's client does, for which one without a scheme is an HTTP proxy's.
func hasUser(address string) bool {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Host == "" {
		parsed, err = url.Parse("http://" + address)
	}
	return err != nil || parsed.User != nil
}

// goDirectly adds hosts to those that are reached without a proxy, under each name that the variable has: programs read one or the other.
func goDirectly(found map[string]string, direct []string) {
	const upper, lower = "NO_PROXY", "no_proxy"
	proxied := false
	for name := range found {
		proxied = proxied || isProxyVariable(name)
	}
	if !proxied {
		return
	}
	if found[upper] == "" && found[lower] == "" {
		found[upper] = ""
	}
	for _, name := range [...]string{upper, lower} {
		listed, isSet := found[name]
		if !isSet {
			continue
		}
		hosts := strings.FieldsFunc(listed, func(r rune) bool { return r == ',' || r == ' ' })
		for _, host := range direct {
			if host != "" && !slices.Contains(hosts, host) {
				hosts = append(hosts, host)
			}
		}
		found[name] = strings.Join(hosts, ",")
	}
}

func environment(variables []EnvVar) []*corev1ac.EnvVarApplyConfiguration {
	configs := make([]*corev1ac.EnvVarApplyConfiguration, 0, len(variables))
	for _, one := range variables {
		configs = append(configs, corev1ac.EnvVar().WithName(one.Name).WithValue(one.Value))
	}
	return configs
}
