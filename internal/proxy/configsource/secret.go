package configsource

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/modelroute/modelroute/internal/routeconfig"
)

// Secret is one Secret at one API server.
type Secret struct {
	client          rest.Interface
	namespace, name string
}

// NewSecret returns the Secret that reference names as NAMESPACE/NAME. The client behind it knows only the core types: the usual
// clientset registers every API group of Kubernetes, which costs a small proxy more memory than all of its own state.
func NewSecret(config *rest.Config, reference string) (*Secret, error) {
	namespace, name, found := strings.Cut(reference, "/")
	if !found || namespace == "" || name == "" || strings.Contains(name, "/") {
		return nil, fmt.Errorf("%q is not of the form NAMESPACE/NAME", reference)
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering the core types: %w", err)
	}
	config = rest.CopyConfig(config)
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for the API server: %w", err)
	}
	return &Secret{client: client, namespace: namespace, name: name}, nil
}

// watch sends the configuration in the Secret each time that the API server tells of one, until ctx ends. It asks for this one Secret by
// name, so that the proxy's Role can name it too.
func (s *Secret) watch(ctx context.Context, options Options, versions chan<- Version) {
	byName := func(options *metav1.ListOptions) {
		options.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, s.name).String()
	}
	source := cache.NewFilteredListWatchFromClient(s.client, "secrets", s.namespace, byName)
	receiver := &receiver{ctx: ctx, logger: options.Logger, found: make(chan found, 1)}
	var following sync.WaitGroup
	following.Go(func() { s.follow(ctx, options, receiver.found, versions) })
	cache.NewReflectorWithOptions(source, &corev1.Secret{}, receiver, cache.ReflectorOptions{Name: "config-secret"}).RunWithContext(ctx)
	following.Wait()
}

// found is what the Secret has: a configuration, or the index of one in parts.
type found struct {
	encoded []byte
	isIndex bool
}

// partRetry is how soon parts are asked for again that could not be read: mostly since a newer version has taken their place, and then its
// index is on its way.
const partRetry = time.Second

// follow sends what was found, an index together with its parts.
func (s *Secret) follow(ctx context.Context, options Options, all <-chan found, versions chan<- Version) {
	var held parts
	retry := options.Clock.NewTimer(partRetry)
	defer retry.Stop()
	var latest *found
	for {
		select {
		case <-ctx.Done():
			return
		case next := <-all:
			latest = &next
		case <-retry.C():
			if latest == nil {
				continue
			}
		}
		version, err := Version{Encoded: latest.encoded}, error(nil)
		if latest.isIndex {
			version, err = held.complete(ctx, latest.encoded, s.readPart)
		}
		if err != nil {
			options.Logger.LogAttrs(ctx, slog.LevelWarn, "The configuration is not complete; keeping the last one", slog.Any("error", err))
			retry.Reset(partRetry)
			continue
		}
		latest = nil
		send(ctx, versions, version)
	}
}

// readPart reads a part from its Secret, as it is now.
func (s *Secret) readPart(ctx context.Context, part int, name string) ([]byte, error) {
	secret := &corev1.Secret{}
	err := s.client.Get().Namespace(s.namespace).Resource("secrets").Name(routeconfig.PartName(s.name, part)).Do(ctx).Into(secret)
	if err != nil {
		return nil, err
	}
	packed, has := secret.Data[name]
	if !has {
		return nil, fmt.Errorf("Secret %s has no %s", secret.Name, name)
	}
	return packed, nil
}

// receiver is the reflector's store, which stores nothing: it passes on what it is told.
type receiver struct {
	ctx    context.Context //nolint:containedctx // the reflector's store interface has no context of its own
	logger *slog.Logger
	// found has room for one: what was not taken up yet is replaced by what is newer.
	found chan found
}

var _ cache.ReflectorStore = &receiver{}

func (r *receiver) Add(object any) error {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return fmt.Errorf("the API server sent a %T instead of a Secret", object)
	}
	next := found{encoded: secret.Data[IndexKey], isIndex: true}
	if next.encoded == nil {
		next = found{encoded: secret.Data[Key]}
	}
	if next.encoded == nil {
		r.logger.LogAttrs(r.ctx, slog.LevelWarn, "The configuration Secret has no configuration; keeping the last one",
			slog.String("key", Key))
		return nil
	}
	select {
	case <-r.found:
	default:
	}
	r.found <- next // The reflector is the only one who sends.
	return nil
}

func (r *receiver) Update(object any) error { return r.Add(object) }

// Delete keeps the last good configuration: a route that is being deleted still drains, and one whose Secret was deleted by mistake still
// serves.
func (r *receiver) Delete(any) error {
	r.logger.LogAttrs(r.ctx, slog.LevelWarn, "The configuration Secret was deleted; keeping the last configuration")
	return nil
}

func (r *receiver) Replace(objects []any, _ string) error {
	for _, object := range objects {
		if err := r.Add(object); err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) Resync() error { return nil }
