package controllers

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// onceReader reads from the API server, which it does not ask again for the metadata of what was not there. It is made for one pass, which
// looks several times for the children that a new route has not yet: what comes in between is found out when it is written to.
type onceReader struct {
	client.Reader
	absent map[absentObject]error
}

type absentObject struct {
	kind schema.GroupVersionKind
	name client.ObjectKey
}

// Get implements client.Reader. It is called by one goroutine at a time.
func (r *onceReader) Get(ctx context.Context, name client.ObjectKey, object client.Object, options ...client.GetOption) error {
	metadata, isMetadata := object.(*metav1.PartialObjectMetadata)
	if !isMetadata {
		return r.Reader.Get(ctx, name, object, options...)
	}
	its := absentObject{metadata.GroupVersionKind(), name}
	if err := r.absent[its]; err != nil {
		return err
	}
	err := r.Reader.Get(ctx, name, object, options...)
	if apierrors.IsNotFound(err) {
		if r.absent == nil {
			r.absent = map[absentObject]error{}
		}
		r.absent[its] = err
	}
	return err
}
