package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/cli/cluster"
)

// right is what a command needs.
type right struct{ verb, group, resource, subresource, neededFor string }

var rights = []right{
	{"list", v1alpha1.GroupVersion.Group, "modelroutes", "", "models, usage, keys, chat"},
	{"list", v1alpha1.GroupVersion.Group, "modelkeys", "", "keys list, usage --by key"},
	{"list", v1alpha1.GroupVersion.Group, "teambudgets", "", "usage --by team"},
	{"patch", v1alpha1.GroupVersion.Group, "modelroutes", "", "keys rotate"},
	{"get", "", "secrets", "", "keys env, chat"},
	{"delete", "", "secrets", "", "keys revoke"},
	{"create", "", "pods", "portforward", "chat without --url"},
}

func (r right) String() string {
	resource := r.resource
	if r.subresource != "" {
		resource += "/" + r.subresource
	}
	return r.verb + " " + resource
}

// checkRights asks what the user may do in the namespace of the context. To lack a right is nothing wrong.
func (o *options) checkRights(ctx context.Context, in *cluster.Cluster) finding {
	where := cmp.Or(in.Namespace, o.own)
	var lacking []string
	for _, one := range rights {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: where, Verb: one.verb, Group: one.group, Resource: one.resource, Subresource: one.subresource,
			},
		}}
		if err := in.Create(ctx, review); err != nil {
			return unseen("rights", "what you may do", err)
		}
		if !review.Status.Allowed {
			lacking = append(lacking, one.String()+" ("+one.neededFor+")")
		}
	}
	if len(lacking) == 0 {
		return finding{Check: "rights", State: good, Says: "You may do all that kubectl-modelroute needs in the namespace " + where + "."}
	}
	return finding{
		Check: "rights", State: warning, Says: "In the namespace " + where + " you may not " + strings.Join(lacking, ", ") + ".",
		Mend: "Where you need one, ask for it: view and edit of Kubernetes have ours with them (config/rbac/aggregated_roles.yaml)",
	}
}

// checkWebhooks looks for webhooks that ModelRoute's objects have to pass. ModelRoute itself has none.
func checkWebhooks(ctx context.Context, in *cluster.Cluster) finding {
	var validating admissionregistrationv1.ValidatingWebhookConfigurationList
	if err := in.List(ctx, &validating); err != nil {
		return unseen("webhooks", "webhooks", err)
	}
	var mutating admissionregistrationv1.MutatingWebhookConfigurationList
	if err := in.List(ctx, &mutating); err != nil {
		return unseen("webhooks", "webhooks", err)
	}
	var names []string
	for _, one := range validating.Items {
		for _, webhook := range one.Webhooks {
			if isOurs(webhook.Rules) {
				names = append(names, "ValidatingWebhookConfiguration "+one.Name)
			}
		}
	}
	for _, one := range mutating.Items {
		for _, webhook := range one.Webhooks {
			if isOurs(webhook.Rules) {
				names = append(names, "MutatingWebhookConfiguration "+one.Name)
			}
		}
	}
	return ofWebhooks(slices.Compact(names))
}

// isOurs reports whether rules name our group. Those for all groups are of the whole cluster.
func isOurs(rules []admissionregistrationv1.RuleWithOperations) bool {
	return slices.ContainsFunc(rules, func(rule admissionregistrationv1.RuleWithOperations) bool {
		return slices.Contains(rule.APIGroups, v1alpha1.GroupVersion.Group)
	})
}

func ofWebhooks(names []string) finding {
	if len(names) == 0 {
		return finding{Check: "webhooks", State: good, Says: "None is for ModelRoute's objects; it needs none."}
	}
	return finding{
		Check: "webhooks", State: warning, Says: strings.Join(names, ", ") + " sees ModelRoute's objects, and is not ModelRoute's.",
		Mend: "While it is down nothing of ours can be applied. One that changes specs has GitOps tools find differences: docs/gitops.md",
	}
}
