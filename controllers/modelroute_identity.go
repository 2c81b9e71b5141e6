package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
// was deleted or made anew is noticed at the next look: nobody watches those of others.
func (r *ModelRouteReconciler) lookUpAccounts(ctx context.Context, s *scope, consumers []compile.Consumer) error {
	for _, consumer := range consumers {
		for _, name := range consumer.ServiceAccounts {
			if err := r.lookUpAccount(ctx, s, name); err != nil {
				return err
			}
		}
	}
	if len(s.identities.uids)+len(s.identities.absent) == 0 || s.identities.issuer != nil {
		return nil
	}
	var err error
	s.identities.issuer, s.identities.problem, err = r.Issuer.issuer(ctx)
	return err
}

func (r *ModelRouteReconciler) lookUpAccount(ctx context.Context, s *scope, name types.NamespacedName) error {
	if _, known := s.identities.uids[name]; known || s.identities.absent[name] != "" {
		return nil
	}
	account := &metav1.PartialObjectMetadata{}
	account.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	switch err := r.Live.Get(ctx, name, account); {
	case err == nil && account.DeletionTimestamp.IsZero():
		s.identities.uids[name] = account.UID
	case err == nil, apierrors.IsNotFound(err):
		s.identities.absent[name] = fmt.Sprintf("ServiceAccount %s does not exist: create it, or take it from serviceAccounts.", name)
	case apierrors.IsForbidden(err):
		s.identities.absent[name] = fmt.Sprintf(
			"ServiceAccount %s cannot be read: the manager has no right to ServiceAccounts of that namespace.", name)
	default:
		return fmt.Errorf("reading ServiceAccount %s: %w", name, err)
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

// accountReport says what the route does with the ServiceAccounts of a ModelKey.
func accountReport(s *scope, key *v1alpha1.ModelKey, before keyReport, all bool) keyReport {
	consumer := compile.KeyConsumerName(key.Namespace, key.Name)
	served := s.servedAccounts()[consumer]
	report := keyReport{absent: s.absentAccounts(compile.KeyAccounts(key))}
	for _, account := range served {
		if all || slices.Contains(before.accounts, account) {
			report.accounts = append(report.accounts, account)
		}
	}
	for _, name := range compile.ClaimAccounts(s.route, s.modelKeys).Taken[consumer] {
		report.taken = append(report.taken, name.Name)
	}
	if problem := s.identities.problem; problem != nil {
		report.issuer = problem.Message
	}
	return report
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
