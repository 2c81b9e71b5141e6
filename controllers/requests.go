package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// requestsOf asks for a pass over each object of a kind, or over those that are meant, of an empty list of the kind. Where they cannot be
// listed the log has why, and nothing is asked for: whoever calls has nobody to tell.
func requestsOf(ctx context.Context, from client.Reader, list client.ObjectList, meant func(client.Object) bool) []reconcile.Request {
	var requests []reconcile.Request
	err := from.List(ctx, list)
	if err == nil {
		err = meta.EachListItem(list, func(item runtime.Object) error {
			object, is := item.(client.Object)
			if !is {
				return fmt.Errorf("a %T has no name", item)
			}
			if meant == nil || meant(object) {
				requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(object)})
			}
			return nil
		})
	}
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing", "list", fmt.Sprintf("%T", list))
	}
	return requests
}
