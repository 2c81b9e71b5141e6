package desired

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// The keys of a consumer's Secret: the names of environment variables that OpenAI's SDKs read, so that envFrom is all that a program needs.
const (
	ConsumerKeyAPIKey  = "OPENAI_API_KEY"
	ConsumerKeyBaseURL = "OPENAI_BASE_URL"
	ConsumerKeyModel   = "MODEL"
	// ConsumerKeyCA is there only where the endpoint's certificate is by an authority of its own. No SDK reads it by itself: a program
	// does, or has it mounted as a file. Its name is that of a variable nevertheless, or envFrom would warn of it.
	ConsumerKeyCA = "CA_CERT"
)

// Access is how a client reaches one route.
type Access struct {
	BaseURL, Model string
	// CA is what the endpoint's certificate is known by, in PEM; empty where any client knows it.
	CA string
}

// variables are the entries of a Secret for a route, under names that end so.
func (a Access) variables(suffix string) []Variable {
	variables := []Variable{{ConsumerKeyBaseURL + suffix, a.BaseURL}, {ConsumerKeyModel + suffix, a.Model}}
	if a.CA != "" {
		variables = append(variables, Variable{ConsumerKeyCA + suffix, a.CA})
	}
	return variables
}

// AccessOf is how a client within the cluster reaches a route that has proxies of its own.
func AccessOf(route *v1alpha1.ModelRoute) Access {
	return Access{BaseURL: compile.Endpoint(route), Model: compile.ModelName(route)}
}

// AccessThrough is how a client within the cluster reaches a route: through its gateway, which is nil if it names none.
func AccessThrough(route *v1alpha1.ModelRoute, gateway *v1alpha1.ModelGateway) Access {
	if gateway == nil {
		return AccessOf(route)
	}
	return Access{BaseURL: compile.GatewayEndpoint(gateway), Model: compile.ModelName(route)}
}

// Variable is one entry of a Secret that delivers a key.
type Variable struct{ Name, Value string }

// Variables are what a Secret has that delivers a key for some routes. The names for the first are those that SDKs read; those for the
// others end in their place among the routes: OPENAI_BASE_URL_2 and MODEL_2, and so on. A route without a base URL, which is not to be
// used, is left out and keeps its place, but for the first: its names have the first route that is there.
func Variables(key string, routes []Access) []Variable {
	variables := []Variable{{ConsumerKeyAPIKey, key}}
	first := true
	for i, one := range routes {
		if one.BaseURL == "" {
			continue
		}
		if first {
			variables = append(variables, one.variables("")...)
			first = false
		}
		if place := "_" + strconv.Itoa(i+1); i > 0 {
			variables = append(variables, one.variables(place)...)
		}
	}
	return variables
}

// ConsumerSecret returns the Secret that delivers a key to a consumer.
func ConsumerSecret(route *v1alpha1.ModelRoute, consumer v1alpha1.Consumer, access Access, key string) Object {
	name, owner := compile.SecretName(route, consumer), OwnerOf(route)
	secret := corev1ac.Secret(name, route.Namespace).
		WithLabels(owner.Labels()).WithLabels(map[string]string{v1alpha1.LabelConsumer: consumer.Name}).
		WithOwnerReferences(owner.reference()).
		WithType(corev1.SecretTypeOpaque).
		WithData(dataOf(Variables(key, []Access{access})))
	return owner.object("", "Secret", name, secret)
}

// OwnerOfKey is a ModelKey, which has a Secret and nothing else.
func OwnerOfKey(key *v1alpha1.ModelKey) Owner {
	return Owner{Object: key, Kind: "ModelKey", Label: v1alpha1.LabelModelKey}
}

// OwnerOfUpstreamKeys is a route, of the Secrets with the keys that are made for its upstreams. They do not have the label of the route's
// other objects, since another controller makes them.
func OwnerOfUpstreamKeys(route *v1alpha1.ModelRoute) Owner {
	return Owner{Object: route, Kind: "ModelRoute", Label: v1alpha1.LabelUpstreamKey}
}

// UpstreamKeySecret returns the Secret with a key that was made for an upstream, beside the record of what was made. An empty key is left
// out.
func UpstreamKeySecret(route *v1alpha1.ModelRoute, upstream, key, record string) Object {
	name, owner := compile.ProvisionedSecretName(route, upstream), OwnerOfUpstreamKeys(route)
	secret := corev1ac.Secret(name, route.Namespace).
		WithLabels(owner.Labels()).WithLabels(map[string]string{v1alpha1.LabelUpstream: upstream}).
		WithAnnotations(map[string]string{v1alpha1.AnnotationUpstreamKeyRecord: record}).
		WithOwnerReferences(owner.reference()).
		WithType(corev1.SecretTypeOpaque)
	if key != "" {
		secret = secret.WithData(map[string][]byte{compile.UpstreamKeyFile: []byte(key)})
	}
	return owner.object("", "Secret", name, secret)
}

// KeySecret returns the Secret that delivers a ModelKey's key, for routes in the order of its spec; one that is not to be used has no base
// URL.
func KeySecret(modelKey *v1alpha1.ModelKey, routes []Access, key string) Object {
	name, owner := compile.KeySecretName(modelKey), OwnerOfKey(modelKey)
	secret := corev1ac.Secret(name, modelKey.Namespace).
		WithLabels(owner.Labels()).
		WithOwnerReferences(owner.reference()).
		WithType(corev1.SecretTypeOpaque).
		WithData(dataOf(Variables(key, routes)))
	return owner.object("", "Secret", name, secret)
}

// Remembered is what the operator reads again of the data of a Secret that it has made, beside what that is made from anew: keys. Of the
// configuration of a route with proxies of its own that is the record of keys; a gateway takes up the whole.
func Remembered(secret *corev1.Secret) map[string][]byte {
	if key, delivers := secret.Data[ConsumerKeyAPIKey]; delivers {
		return map[string][]byte{ConsumerKeyAPIKey: key}
	}
	config, configures := secret.Data[ConfigKey]
	if !configures || secret.Labels[v1alpha1.LabelGateway] != "" {
		return secret.Data
	}
	record, err := routeconfig.Record(config)
	if err != nil {
		return secret.Data
	}
	return map[string][]byte{ConfigKey: record}
}

func dataOf(variables []Variable) map[string][]byte {
	data := make(map[string][]byte, len(variables))
	for _, one := range variables {
		data[one.Name] = []byte(one.Value)
	}
	return data
}
