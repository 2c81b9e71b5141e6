package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
	"github.com/modelroute/modelroute/internal/routeconfig"
)

// identities are what a pass finds out of the ServiceAccounts that a route's consumers and ModelKeys name.
type identities struct {
	// issuer is who issues their tokens, and problem why the API server does not say so now; both nil if nobody needed to know.
	issuer  *routeconfig.Issuer
	problem *unresolvedError
	// uids are those of the accounts that are there; absent says of the others why they are not.
	uids   map[types.NamespacedName]types.UID
	absent map[types.NamespacedName]string
}

// lookUpAccounts finds out which of the ServiceAccounts that consumers name are there, and how their tokens are verified. An account that
// was deleted or made anew is noticed at the next look: nobody watches those of others. A look costs a read for each of their namespaces.
func (r *ModelRouteReconciler) lookUpAccounts(ctx context.Context, s *scope, consumers []compile.Consumer) error {
	wanted := map[string][]types.NamespacedName{}
	for _, consumer := range consumers {
		for _, name := range consumer.ServiceAccounts {
			if _, known := s.identities.uids[name]; !known && s.identities.absent[name] == "" {
				wanted[name.Namespace] = append(wanted[name.Namespace], name)
			}
		}
	}
	for namespace, names := range wanted {
		if err := r.lookUpNamespace(ctx, s, namespace, names); err != nil {
			return err
		}
	}
	if len(s.identities.uids)+len(s.identities.absent) == 0 || s.identities.issuer != nil {
		return nil
	}
	var err error
	s.identities.issuer, s.identities.problem, err = r.Issuer.issuer(ctx)
	return err
}

func (r *ModelRouteReconciler) lookUpNamespace(ctx context.Context, s *scope, namespace string, names []types.NamespacedName) error {
	accounts := &metav1.PartialObjectMetadataList{}
	accounts.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccountList"))
	// As the API server has it in memory will do.
	fromMemory := &client.ListOptions{Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: "0"}}
	err := r.Live.List(ctx, accounts, fromMemory)
	if err != nil && !apierrors.IsForbidden(err) {
		return fmt.Errorf("listing the ServiceAccounts of namespace %s: %w", namespace, err)
	}
	found := map[string]types.UID{}
	for _, account := range accounts.Items {
		if account.DeletionTimestamp.IsZero() {
			found[account.Name] = account.UID
		}
	}
	for _, name := range names {
		uid, isThere := found[name.Name]
		switch {
		case isThere:
			s.identities.uids[name] = uid
		case err != nil:
			s.identities.absent[name] = fmt.Sprintf(
				"ServiceAccount %s cannot be read: the manager has no right to ServiceAccounts of that namespace.", name)
		default:
			s.identities.absent[name] = fmt.Sprintf("ServiceAccount %s does not exist: create it, or take it from serviceAccounts.", name)
		}
	}
	return nil
}

// servedAccounts are the ServiceAccounts whose tokens are accepted, by consumer.
func (s *scope) servedAccounts() map[string][]routeconfig.ServiceAccount {
	served := map[string][]routeconfig.ServiceAccount{}
	if s.identities.issuer == nil {
		return served
	}
	for consumer, names := range compile.ClaimAccounts(s.route, s.modelKeys).Granted {
		for _, name := range names {
			if uid, is := s.identities.uids[name]; is {
				served[consumer] = append(served[consumer], routeconfig.ServiceAccount{
					Namespace: name.Namespace, Name: name.Name, UID: string(uid),
				})
			}
		}
	}
	return served
}

// absentAccounts says of a consumer's ServiceAccounts that are not there why.
func (s *scope) absentAccounts(accounts []types.NamespacedName) []string {
	var messages []string
	for _, name := range accounts {
		if why := s.identities.absent[name]; why != "" {
			messages = append(messages, why)
		}
	}
	return messages
}

// unresolvedAccounts says which consumers of the spec are not served, or not by all their ServiceAccounts; nil if all are.
func unresolvedAccounts(s *scope) *unresolvedError {
	var messages []string
	for _, consumer := range compile.Consumers(s.route, nil) {
		for _, why := range s.absentAccounts(consumer.ServiceAccounts) {
			messages = append(messages, fmt.Sprintf("Of consumer %s: %s", consumer.Name, why))
		}
	}
	if len(messages) > 0 {
		return &unresolvedError{Reason: v1alpha1.ReasonServiceAccountNotFound, Message: listed(messages, " ")}
	}
	return s.identities.problem
}

// servedNames are how the status shows the ServiceAccounts of a consumer.
func servedNames(accounts []routeconfig.ServiceAccount) []string {
	names := make([]string, 0, len(accounts))
	for _, account := range accounts {
		names = append(names, account.Namespace+"/"+account.Name)
	}
	slices.Sort(names)
	return names
}

// accountReports say what the route does with the ServiceAccounts of ModelKeys: it serves those of this pass if all proxies have
// acknowledged its configuration, and else those of them that it served before.
func accountReports(s *scope, before routeReport, all bool) map[types.NamespacedName]keyReport {
	served, taken := s.servedAccounts(), compile.ClaimAccounts(s.route, s.modelKeys).Taken
	reports := map[types.NamespacedName]keyReport{}
	for _, key := range s.modelKeys {
		if compile.KeyHasKey(key) {
			continue
		}
		name, consumer := client.ObjectKeyFromObject(key), compile.KeyConsumerName(key.Namespace, key.Name)
		report := keyReport{absent: s.absentAccounts(compile.KeyAccounts(key))}
		for _, account := range served[consumer] {
			if all || slices.Contains(before.keys[name].accounts, account) {
				report.accounts = append(report.accounts, account)
			}
		}
		for _, account := range taken[consumer] {
			report.taken = append(report.taken, account.Name)
		}
		if problem := s.identities.problem; problem != nil {
			report.issuer = problem.Message
		}
		reports[name] = report
	}
	return reports
}

// keyed are the consumers of the spec that have keys.
func (s *scope) keyed() []v1alpha1.Consumer {
	return slices.DeleteFunc(slices.Clone(s.route.Spec.Consumers), func(consumer v1alpha1.Consumer) bool {
		return !compile.HasKey(consumer)
	})
}

// lacksAccounts reports whether a ServiceAccount is missing, whose coming nobody tells us of.
func (s *scope) lacksAccounts() bool {
	return len(s.identities.absent) > 0 || s.identities.problem != nil
}
