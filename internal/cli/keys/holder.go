package keys

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/cluster"
	"github.com/modelroute/modelroute/internal/cli/shell"
)

// holder is who has a key, as a word names it: a ModelKey, or a consumer of a ModelRoute; a route without a consumer is all of its
// consumers.
type holder struct{ modelKey, route, consumer string }

const forms = "modelkey/NAME or modelroute/ROUTE/CONSUMER"

// parse reads modelkey/NAME, modelroute/ROUTE and modelroute/ROUTE/CONSUMER. Kinds may be as kubectl takes them. The forms are for its
// error.
func parse(word, forms string) (holder, error) {
	parts := strings.Split(word, "/")
	kind := strings.TrimSuffix(strings.ToLower(parts[0]), ".modelroute.dev")
	named := len(parts) > 1 && !slices.Contains(parts, "")
	switch {
	case named && len(parts) == 2 && slices.Contains([]string{"modelkey", "modelkeys", "mkey"}, kind):
		return holder{modelKey: parts[1]}, nil
	case named && len(parts) <= 3 && slices.Contains([]string{"modelroute", "modelroutes", "mroute"}, kind):
		return holder{route: parts[1], consumer: strings.Join(parts[2:], "")}, nil
	}
	return holder{}, shell.Misused("%q must be %s", word, forms)
}

// parseOne is parse for one key.
func parseOne(word string) (holder, error) {
	found, err := parse(word, forms)
	if err == nil && found.route != "" && found.consumer == "" {
		return holder{}, shell.Misused("%q is all consumers of a route, must be %s", word, forms)
	}
	return found, err
}

func (h holder) String() string {
	if h.modelKey != "" {
		return "ModelKey " + h.modelKey
	}
	return "consumer " + h.consumer + " of the ModelRoute " + h.route
}

// secret is the Secret that delivers the key. It is read only if the operator made it for that: whatever else has the name
// is none of our business.
func (h holder) secret(ctx context.Context, in *cluster.Cluster) (*corev1.Secret, error) {
	if h.modelKey != "" {
		key, err := in.ModelKey(ctx, h.modelKey)
		if err != nil {
			return nil, err
		}
		return secretOf(ctx, in, h.String(), key.Status.SecretName, len(key.Spec.ServiceAccounts) > 0,
			map[string]string{v1alpha1.LabelModelKey: h.modelKey})
	}
	route, err := in.Route(ctx, h.route)
	if err != nil {
		return nil, err
	}
	return ConsumerSecret(ctx, in, route, h.consumer)
}

// ConsumerSecret is the Secret that delivers a consumer's key.
func ConsumerSecret(ctx context.Context, in *cluster.Cluster, route *v1alpha1.ModelRoute, consumer string) (*corev1.Secret, error) {
	who := holder{route: route.Name, consumer: consumer}.String()
	declared := slices.IndexFunc(route.Spec.Consumers, func(one v1alpha1.Consumer) bool { return one.Name == consumer })
	if declared < 0 {
		return nil, fmt.Errorf("there is no %s: it has %s", who, consumersOf(route))
	}
	name := ""
	for _, one := range route.Status.Consumers {
		if one.Name == consumer {
			name = one.SecretName
		}
	}
	return secretOf(ctx, in, who, name, len(route.Spec.Consumers[declared].ServiceAccounts) > 0,
		map[string]string{v1alpha1.LabelRoute: route.Name, v1alpha1.LabelConsumer: consumer})
}

func consumersOf(route *v1alpha1.ModelRoute) string {
	if len(route.Spec.Consumers) == 0 {
		return "no consumers; add one to spec.consumers"
	}
	names := make([]string, 0, len(route.Spec.Consumers))
	for _, consumer := range route.Spec.Consumers {
		names = append(names, consumer.Name)
	}
	return strings.Join(names, ", ")
}

func secretOf(
	ctx context.Context, in *cluster.Cluster, who, name string, tokens bool, labels map[string]string,
) (*corev1.Secret, error) {
	switch {
	case tokens:
		return nil, fmt.Errorf("the %s has no key: the pods of its ServiceAccounts use their own tokens (docs/workload-identity.md)", who)
	case name == "":
		return nil, fmt.Errorf("the key of the %s is not delivered yet; why: kubectl modelroute doctor", who)
	}
	secret := &corev1.Secret{}
	if err := in.Get(ctx, client.ObjectKey{Namespace: in.Namespace, Name: name}, secret); err != nil {
		return nil, cluster.Explain(err, fmt.Sprintf("read the Secret %s of the %s", name, who))
	}
	labels[v1alpha1.LabelManagedBy] = v1alpha1.ManagedBy
	for label, value := range labels {
		if secret.Labels[label] != value {
			return nil, fmt.Errorf("the Secret %s is not the operator's: it lacks the label %s=%s; "+
				"rename it, or give the %s another secretName", name, label, value, who)
		}
	}
	return secret, nil
}
