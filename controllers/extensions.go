package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/apply"
	"github.com/modelroute/modelroute/internal/desired"
)

// DefaultExtensionsInterval is how often the API server is asked which kinds it has. It is two short questions, for which nobody needs a
// right.
const DefaultExtensionsInterval = 15 * time.Second

// Extensions knows which of the kinds are there that not every cluster has, and has their objects in a cache for as long as they are. So a
// kind that is installed, or taken away, is taken up without a restart, and one that is not there costs no more than the question. Each has
// a cache of its own, which the manager's does not wait for: it may have no right to one of them.
type Extensions struct {
	// Discovery says which kinds the API server has.
	Discovery discovery.ServerResourcesInterface
	// NewCache makes a cache of objects with our label.
	NewCache func() (cache.Cache, error)
	Clock    clock.WithTicker
	// Interval is how often the API server is asked.
	Interval time.Duration

	start sync.Once
	mu    sync.Mutex
	kinds map[schema.GroupVersionKind]extensionKind
	// listeners are the controllers that are told.
	listeners []listener
}

// extensionKind is what is known of a kind.
type extensionKind struct {
	state extensionState
	// reader is a cache of its objects; nil where the kind is not there. end ends it.
	reader   cache.Cache
	informer cache.Informer
	end      context.CancelFunc
}

// extensionState is whether there is a kind.
type extensionState int

const (
	// extensionUnknown is the state of a kind that was not asked for yet.
	extensionUnknown extensionState = iota
	// extensionMissing is that of one that the API server does not have.
	extensionMissing
	// extensionUnread is that of one whose objects are not in the cache yet.
	extensionUnread
	// extensionThere is that of one that can be used.
	extensionThere
)

// listener is a controller that has objects of these kinds for objects of its own kind.
type listener struct {
	// ownerKind is its own kind, and asking lists those of its objects that ask for any of these kinds.
	ownerKind string
	asking    func(ctx context.Context) []reconcile.Request
	queue     workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// NewExtensions makes them for a manager that sees these namespaces, or all if there are none.
func NewExtensions(manager ctrl.Manager, namespaces map[string]cache.Config) (*Extensions, error) {
	asking, err := discovery.NewDiscoveryClientForConfigAndClient(manager.GetConfig(), manager.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("making the client that asks for the cluster's kinds: %w", err)
	}
	newCache := func() (cache.Cache, error) {
		return cache.New(manager.GetConfig(), cache.Options{
			HTTPClient: manager.GetHTTPClient(), Scheme: manager.GetScheme(), Mapper: manager.GetRESTMapper(),
			DefaultLabelSelector: ours(), DefaultNamespaces: namespaces,
		})
	}
	return &Extensions{Discovery: asking, NewCache: newCache, Clock: clock.RealClock{}, Interval: DefaultExtensionsInterval}, nil
}

// readerOf reads the objects of a kind; nil if they cannot be read and written.
func (e *Extensions) readerOf(gvk schema.GroupVersionKind) client.Reader {
	if known := e.of(gvk); known.state == extensionThere {
		return known.reader
	}
	return nil
}

// of is what is known of a kind.
func (e *Extensions) of(gvk schema.GroupVersionKind) extensionKind {
	if e == nil {
		return extensionKind{state: extensionMissing}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.kinds[gvk]
}

// source is that of a controller whose objects of ownerKind have objects of these kinds. It is told of changes of those, and of every one
// of its own that asks for any when there is news of a kind. The API server was asked once before the controller starts.
func (e *Extensions) source(ownerKind string, asking func(ctx context.Context) []reconcile.Request) source.Source {
	return source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		e.mu.Lock()
		e.listeners = append(e.listeners, listener{ownerKind: ownerKind, asking: asking, queue: queue})
		e.mu.Unlock()
		e.start.Do(func() {
			e.look(ctx)
			go e.run(ctx)
		})
		return nil
	})
}

func (e *Extensions) run(ctx context.Context) {
	ticker := e.Clock.NewTicker(e.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
			e.look(ctx)
		}
	}
}

// look asks the API server for each kind, and wakes those who ask for one if there is news.
func (e *Extensions) look(ctx context.Context) {
	news := false
	for _, gvk := range desired.ExtensionKinds() {
		changed, err := e.lookFor(ctx, gvk)
		if err != nil && ctx.Err() == nil {
			log.FromContext(ctx).Error(err, "Finding out whether the cluster has a kind; this is tried again", "kind", gvk.Kind)
		}
		news = news || changed
	}
	if !news {
		return
	}
	e.mu.Lock()
	listeners := append([]listener(nil), e.listeners...)
	e.mu.Unlock()
	for _, one := range listeners {
		for _, request := range one.asking(ctx) {
			one.queue.Add(request)
		}
	}
}

// lookFor brings what is known of one kind up to date, and reports whether that is news. Where the API server does not answer, it stays as
// it was.
func (e *Extensions) lookFor(ctx context.Context, gvk schema.GroupVersionKind) (changed bool, err error) {
	isThere, err := e.serves(gvk)
	if err != nil {
		return false, err
	}
	before := e.of(gvk)
	next := before
	switch {
	case isThere && before.reader == nil:
		if next, err = e.read(ctx, gvk); err != nil {
			return false, err
		}
		log.FromContext(ctx).Info("The cluster has a kind that not every one has", "kind", gvk.Kind)
	case !isThere && before.reader != nil:
		before.end()
		log.FromContext(ctx).Info("The cluster does not have a kind any more", "kind", gvk.Kind)
		fallthrough
	case !isThere:
		next = extensionKind{state: extensionMissing}
	}
	if isThere {
		next.state = next.awaitObjects(ctx)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.kinds == nil {
		e.kinds = map[schema.GroupVersionKind]extensionKind{}
	}
	e.kinds[gvk] = next
	return next.state != before.state, nil
}

// serves asks the API server whether it has a kind.
func (e *Extensions) serves(gvk schema.GroupVersionKind) (bool, error) {
	list, err := e.Discovery.ServerResourcesForGroupVersion(gvk.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking the API server for the kinds of %s: %w", gvk.GroupVersion(), err)
	}
	for _, resource := range list.APIResources {
		if resource.Kind == gvk.Kind {
			return true, nil
		}
	}
	return false, nil
}

// read begins to hold the objects of a kind.
func (e *Extensions) read(ctx context.Context, gvk schema.GroupVersionKind) (extensionKind, error) {
	reader, err := e.NewCache()
	if err != nil {
		return extensionKind{}, fmt.Errorf("making a cache for the kind %s: %w", gvk.Kind, err)
	}
	informer, err := reader.GetInformer(ctx, apply.NewExtension(gvk), cache.BlockUntilSynced(false))
	if err == nil {
		_, err = informer.AddEventHandler(e.events())
	}
	if err != nil {
		return extensionKind{}, fmt.Errorf("watching the kind %s: %w", gvk.Kind, err)
	}
	running, end := context.WithCancel(ctx)
	go func() {
		if err := reader.Start(running); err != nil {
			log.FromContext(ctx).Error(err, "Watching a kind", "kind", gvk.Kind)
		}
	}()
	return extensionKind{reader: reader, informer: informer, end: end}, nil
}

// awaitObjects waits a little until the objects of a kind are in its cache. Those that can be listed are there in milliseconds, and those
// to which the manager has no right never.
func (k extensionKind) awaitObjects(ctx context.Context) extensionState {
	if k.informer.HasSynced() {
		return extensionThere
	}
	patience, cancel := context.WithTimeout(ctx, extensionPatience)
	defer cancel()
	if toolscache.WaitForCacheSync(patience.Done(), k.informer.HasSynced) {
		return extensionThere
	}
	return extensionUnread
}

// extensionPatience is how long the objects of a kind are waited for at a time.
const extensionPatience = 2 * time.Second

// events tell the controllers of the owners of what has changed.
func (e *Extensions) events() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    e.tell,
		UpdateFunc: func(_, object any) { e.tell(object) },
		DeleteFunc: func(object any) {
			if gone, isGone := object.(toolscache.DeletedFinalStateUnknown); isGone {
				object = gone.Obj
			}
			e.tell(object)
		},
	}
}

func (e *Extensions) tell(changed any) {
	object, isObject := changed.(client.Object)
	if !isObject {
		return
	}
	owner := metav1.GetControllerOf(object)
	if owner == nil || owner.APIVersion != v1alpha1.GroupVersion.String() {
		return
	}
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: owner.Name}}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, one := range e.listeners {
		if one.ownerKind == owner.Kind {
			one.queue.Add(request)
		}
	}
}
