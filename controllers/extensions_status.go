package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/desired"
)

// extension is what a pass made of an object of a kind that not every cluster has.
type extension struct {
	// state is whether there is the kind.
	state extensionState
	// live is the object as it is; nil if it is not there.
	live *unstructured.Unstructured
	// err is why it is not as it should be.
	err error
}

// isFinished reports whether nothing is left to do soon: what is refused, or somebody else's, waits for a person.
func (e extension) isFinished() bool {
	var (
		notOwned *apply.NotOwnedError
		write    *apply.WriteError
	)
	switch {
	case errors.As(e.err, &notOwned):
		return !notOwned.Leaving
	case errors.As(e.err, &write):
		return write.Reason() != metav1.StatusReasonUnknown
	}
	return e.err == nil && e.state != extensionUnknown
}

// applyExtension makes one such object what it should be, where there is its kind. Whatever goes wrong is in what it returns, and keeps
// nobody from serving.
func applyExtension(ctx context.Context, applier *apply.Applier, kinds *Extensions, owner client.Object, wanted desired.Object) extension {
	made := extension{state: kinds.of(wanted.Kind).state}
	reader := kinds.readerOf(wanted.Kind)
	if reader == nil {
		return made
	}
	if made.err = applier.Apply(ctx, owner, []desired.Object{wanted}, nil); made.err != nil {
		return made
	}
	live := apply.NewExtension(wanted.Kind)
	switch err := reader.Get(ctx, wanted.Name, live); {
	case err == nil:
		made.live = live
	case !apierrors.IsNotFound(err): // otherwise it is so new that the cache does not have it, and tells when it has
		made.err = fmt.Errorf("reading the %s: %w", wanted.Kind.Kind, err)
	}
	return made
}

// conditions are those on what is asked for of these kinds. unseen is the verdict if the pass did not get to that.
func (e extensions) conditions(
	pods v1alpha1.ProxyPods, namespace string, unseen verdict, condition func(name string, v verdict) metav1.Condition,
) []metav1.Condition {
	var conditions []metav1.Condition
	add := func(name string, v verdict) {
		if e == nil {
			v = unseen
		}
		conditions = append(conditions, condition(name, v))
	}
	if len(pods.HTTPRoute.ParentRefs) > 0 {
		add(v1alpha1.ConditionPublished, published(e[desired.HTTPRouteKind], pods.HTTPRoute, namespace))
	}
	if pods.PodMonitor != nil {
		add(v1alpha1.ConditionMonitored, monitored(e[desired.PodMonitorKind]))
	}
	return conditions
}

// applyExtensions makes such objects what they should be, each by itself. The error is a conflict with what the cache does not have yet.
func applyExtensions(
	ctx context.Context, applier *apply.Applier, kinds *Extensions, owner client.Object, wanted []desired.Object,
) (extensions, error) {
	made := extensions{}
	for _, object := range wanted {
		one := applyExtension(ctx, applier, kinds, owner, object)
		if apierrors.IsConflict(one.err) || apierrors.IsAlreadyExists(one.err) {
			return nil, one.err
		}
		if one.err != nil {
			log.FromContext(ctx).Info("A child is not as it should be; this is tried again",
				"kind", object.Kind.Kind, "child", object.Name.Name, "error", one.err.Error())
		}
		made[object.Kind] = one
	}
	return made, nil
}

// extensions are what a pass made of such objects, by their kinds; nil if it did not get to them.
type extensions map[schema.GroupVersionKind]extension

// areFinished reports whether nothing is left to do soon for any of them.
func (e extensions) areFinished() bool {
	for _, one := range e {
		if !one.isFinished() {
			return false
		}
	}
	return true
}

// missingKind says that a kind is not there, or cannot be used yet; false if it can.
func missingKind(of extension, gvk schema.GroupVersionKind, remedy string) (verdict, bool) {
	switch of.state {
	case extensionUnknown:
		return unknown(v1alpha1.ReasonNotObserved, fmt.Sprintf("It is not known yet whether the cluster has the kind %s.", gvk.Kind)), true
	case extensionMissing:
		return no(v1alpha1.ReasonKindNotInstalled, fmt.Sprintf(
			"The cluster does not have the kind %s of %s: %s", gvk.Kind, gvk.GroupVersion(), remedy)), true
	case extensionUnread:
		return unknown(v1alpha1.ReasonPending, fmt.Sprintf("The objects of the kind %s are not read yet. If it stays so, "+
			"the manager lacks the right to list and watch them: see config/rbac/role.yaml.", gvk.Kind)), true
	case extensionThere:
	}
	return verdict{}, false
}

// extensionFailed says why an object is not as it should be; false if it is.
func extensionFailed(of extension, gvk schema.GroupVersionKind) (verdict, bool) {
	var (
		notOwned *apply.NotOwnedError
		write    *apply.WriteError
	)
	switch {
	case of.err == nil:
		return verdict{}, false
	case errors.As(of.err, &notOwned) && notOwned.Leaving:
		return no(v1alpha1.ReasonPending, fmt.Sprintf(
			"%s %q of an earlier owner is still being deleted.", notOwned.Kind, notOwned.Name)), true
	case errors.As(of.err, &notOwned):
		return no(v1alpha1.ReasonChildNotOwned, fmt.Sprintf(
			"%s %q belongs to somebody else and is left alone: delete it, or give it another name.", notOwned.Kind, notOwned.Name)), true
	case errors.As(of.err, &write) && len(write.Causes()) > 0:
		return no(v1alpha1.ReasonChildRefused, fmt.Sprintf(
			"The API server refuses the %s: %s.", gvk.Kind, listed(write.Causes(), ", "))), true
	case errors.As(of.err, &write) && write.Reason() != metav1.StatusReasonUnknown:
		return no(v1alpha1.ReasonChildRefused, fmt.Sprintf(
			"The API server refuses the %s (%s): %s. This is tried again.",
			gvk.Kind, write.Reason(), strings.TrimSuffix(write.Err.Error(), "."))), true
	}
	return unknown(v1alpha1.ReasonInternalError, "Something failed and is tried again; the manager's log has the details."), true
}

// monitored is the verdict on a PodMonitor.
func monitored(of extension) verdict {
	gvk := desired.PodMonitorKind
	if v, is := missingKind(of, gvk, "install the Prometheus Operator, or take proxy.podMonitor away."); is {
		return v
	}
	if v, is := extensionFailed(of, gvk); is {
		return v
	}
	return yes(v1alpha1.ReasonMonitored, "The PodMonitor is there: Prometheus reads the metrics if it selects it.")
}

// published is the verdict on an HTTPRoute: what the Gateways say that it names.
func published(of extension, wanted v1alpha1.HTTPRoute, namespace string) verdict {
	gvk := desired.HTTPRouteKind
	const remedy = "install the Gateway API, or take proxy.httpRoute away. Within the cluster the endpoint is served all the same."
	if v, is := missingKind(of, gvk, remedy); is {
		return v
	}
	if v, is := extensionFailed(of, gvk); is {
		return v
	}
	var refused, silent []string
	for _, gateway := range wanted.ParentRefs {
		answer, refusal := answerOf(of.live, gateway, namespace)
		switch {
		case refusal != "":
			refused = append(refused, fmt.Sprintf(
				"Gateway %s does not serve the HTTPRoute: %s.", describeGateway(gateway, namespace), refusal))
		case !answer:
			silent = append(silent, describeGateway(gateway, namespace))
		}
	}
	switch {
	case len(refused) > 0:
		return no(v1alpha1.ReasonGatewayRefused, listed(refused, " "))
	case len(silent) > 0:
		return no(v1alpha1.ReasonPending, fmt.Sprintf("Gateway %s has not answered yet: see whether it is there and has a controller.",
			listed(silent, ", ")))
	}
	hosts := "every host of its listeners"
	if len(wanted.Hostnames) > 0 {
		hosts = listed(slices.Clone(wanted.Hostnames), ", ")
	}
	return yes(v1alpha1.ReasonPublished, fmt.Sprintf("Every Gateway serves the endpoint for %s, under %s/v1.", hosts, wanted.PathPrefix))
}

func describeGateway(gateway v1alpha1.ListenerReference, namespace string) string {
	text := gatewayNamespace(gateway, namespace) + "/" + gateway.Name
	if gateway.SectionName != "" {
		text += " (listener " + gateway.SectionName + ")"
	}
	if gateway.Port != 0 {
		text += fmt.Sprintf(" (port %d)", gateway.Port)
	}
	return text
}

func gatewayNamespace(gateway v1alpha1.ListenerReference, namespace string) string {
	if gateway.Namespace != "" {
		return gateway.Namespace
	}
	return namespace
}

// parentStatus is what a Gateway's controller says of an HTTPRoute.
type parentStatus struct {
	ParentRef  v1alpha1.ListenerReference `json:"parentRef"`
	Conditions []metav1.Condition         `json:"conditions"`
}

// answerOf reports whether a Gateway has accepted the HTTPRoute as it is now, or why not. An answer to an earlier generation is none.
func answerOf(live *unstructured.Unstructured, gateway v1alpha1.ListenerReference, namespace string) (accepted bool, refusal string) {
	if live == nil {
		return false, ""
	}
	var route struct {
		Status struct {
			Parents []parentStatus `json:"parents"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(live.Object, &route); err != nil {
		return false, "its status cannot be read"
	}
	for _, parent := range route.Status.Parents {
		ref := parent.ParentRef
		ref.Namespace, gateway.Namespace = gatewayNamespace(ref, namespace), gatewayNamespace(gateway, namespace)
		if ref != gateway {
			continue
		}
		for _, condition := range parent.Conditions {
			switch {
			case condition.ObservedGeneration != live.GetGeneration():
			case condition.Type != v1alpha1.ConditionAccepted && condition.Type != v1alpha1.ConditionResolvedRefs:
			case condition.Status == metav1.ConditionFalse:
				return false, fmt.Sprintf("%s (%s)", strings.TrimSuffix(condition.Message, "."), condition.Reason)
			case condition.Type == v1alpha1.ConditionAccepted:
				accepted = condition.Status == metav1.ConditionTrue
			}
		}
	}
	return accepted, ""
}
