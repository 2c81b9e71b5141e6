package manifest

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	serializerjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

// The kinds that are known.
const (
	kindRoute    = "ModelRoute"
	kindModelKey = "ModelKey"
	kindTeam     = "TeamBudget"
	// kindGateway says how proxies run, of which there is one here, for all routes: it is checked and has no effect.
	kindGateway = "ModelGateway"
	kindSecret  = "Secret"
	// kindConfigMap has certificates.
	kindConfigMap = "ConfigMap"
)

// decoder reads objects as an API server does that is asked for strict validation.
var decoder = newDecoder()

func newDecoder() runtime.Decoder {
	scheme := runtime.NewScheme()
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.Secret{}, &corev1.ConfigMap{})
	return serializerjson.NewSerializerWithOptions(serializerjson.DefaultMetaFactory, scheme, scheme,
		serializerjson.SerializerOptions{Strict: true})
}

// readDocument takes up the object in a document. It returns false if there is none.
func (o *objects) readDocument(ctx context.Context, at place, document []byte) bool {
	encoded, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		o.add(at, "is no YAML: %s", strings.ReplaceAll(err.Error(), "\n", " "))
		return true
	}
	if string(bytes.TrimSpace(encoded)) == "null" {
		return false
	}
	var object map[string]any
	if err := utiljson.Unmarshal(encoded, &object); err != nil {
		o.add(at, "is no object with apiVersion, kind and metadata")
		return true
	}
	kind, known := o.kindOf(at, object)
	if !known {
		return true
	}
	name, errs := nameOf(kind, object)
	at.object = kind + " " + name
	if len(errs) > 0 {
		o.addAll(at, errs)
		return true
	}
	if other, taken := o.declared[at.object]; taken {
		o.add(at, "is declared in %s, document %d, as well: delete one of them", other.file, other.document)
		return true
	}
	o.declared[at.object] = at
	switch kind {
	case kindSecret:
		o.addSecret(at, object)
	case kindConfigMap:
		o.addConfigMap(at, object)
	default:
		o.addOurs(ctx, at, kind, object)
	}
	return true
}

// kindOf returns the kind of an object, or refuses it.
func (o *objects) kindOf(at place, object map[string]any) (string, bool) {
	version, _, _ := unstructured.NestedString(object, "apiVersion")
	kind, _, _ := unstructured.NestedString(object, "kind")
	switch {
	case version == "" || kind == "":
		o.add(at, "apiVersion and kind must be set")
	case isOurs(kind) && version == v1alpha1.GroupVersion.String(), (kind == kindSecret || kind == kindConfigMap) && version == "v1":
		return kind, true
	default:
		o.add(at, "kind %s of %s is not known here, only %s, %s, %s and %s of %s, and %s and %s of v1 are",
			kind, version, kindRoute, kindGateway, kindModelKey, kindTeam, v1alpha1.GroupVersion, kindSecret, kindConfigMap)
	}
	return "", false
}

// isOurs reports whether a kind is one of this project's.
func isOurs(kind string) bool {
	return kind == kindRoute || kind == kindModelKey || kind == kindTeam || kind == kindGateway
}

// nameOf returns NAMESPACE/NAME of an object, and gives it a namespace if it has none; of a TeamBudget, which is in no namespace, the name.
// Names become paths, so what is no name ends here.
func nameOf(kind string, object map[string]any) (string, field.ErrorList) {
	metadata := field.NewPath("metadata")
	name, _, err := unstructured.NestedString(object, "metadata", "name")
	if err != nil || name == "" {
		return "", field.ErrorList{field.Required(metadata.Child("name"), "must be a name")}
	}
	namespace, _, err := unstructured.NestedString(object, "metadata", "namespace")
	if err != nil {
		return "", field.ErrorList{field.Invalid(metadata.Child("namespace"), field.OmitValueType{}, "must be a name")}
	}
	switch {
	case kind == kindTeam && namespace != "":
		return "", field.ErrorList{field.Forbidden(metadata.Child("namespace"), "a TeamBudget is in no namespace: take it away")}
	case kind == kindTeam:
		return name, nil
	case namespace == "":
		namespace = defaultNamespace
		if err := unstructured.SetNestedField(object, namespace, "metadata", "namespace"); err != nil {
			return "", field.ErrorList{field.Invalid(metadata, field.OmitValueType{}, "must be an object")}
		}
	}
	var errs field.ErrorList
	for _, problem := range validation.IsDNS1123Label(namespace) {
		errs = append(errs, field.Invalid(metadata.Child("namespace"), namespace, problem))
	}
	if !isOurs(kind) { // Of those the schema says more.
		for _, problem := range validation.IsDNS1123Subdomain(name) {
			errs = append(errs, field.Invalid(metadata.Child("name"), name, problem))
		}
	}
	return namespace + "/" + name, errs
}

func (o *objects) addAll(at place, errs field.ErrorList) {
	for _, err := range errs {
		o.add(at, "%v", err)
	}
}

// addOurs takes up a route, a ModelKey or a TeamBudget. Of a gateway nothing is needed.
func (o *objects) addOurs(ctx context.Context, at place, kind string, object map[string]any) {
	errs := o.reader.schemas[kind].Validate(ctx, object)
	o.addAll(at, errs)
	decoded, ok := o.decode(at, object, len(errs) > 0)
	if !ok || len(errs) > 0 {
		return
	}
	switch one := decoded.(type) {
	case *v1alpha1.ModelRoute:
		o.routes = append(o.routes, locatedRoute{place: at, route: one})
	case *v1alpha1.ModelKey:
		o.modelKeys = append(o.modelKeys, locatedKey{place: at, key: one})
	case *v1alpha1.TeamBudget:
		o.teams = append(o.teams, locatedTeam{place: at, team: one})
	}
}

func (o *objects) addSecret(at place, object map[string]any) {
	decoded, ok := o.decode(at, object, false)
	if !ok {
		return
	}
	secret, isSecret := decoded.(*corev1.Secret)
	if !isSecret {
		return
	}
	for key, value := range secret.Data {
		o.secrets[SecretKey{secret.Namespace, secret.Name, key}] = string(value)
	}
	for key, value := range secret.StringData { // As the API server merges the two.
		o.secrets[SecretKey{secret.Namespace, secret.Name, key}] = value
	}
}

func (o *objects) addConfigMap(at place, object map[string]any) {
	decoded, ok := o.decode(at, object, false)
	if !ok {
		return
	}
	configMap, isConfigMap := decoded.(*corev1.ConfigMap)
	if !isConfigMap {
		return
	}
	for key, value := range configMap.BinaryData {
		o.configMaps[SecretKey{configMap.Namespace, configMap.Name, key}] = string(value)
	}
	for key, value := range configMap.Data {
		o.configMaps[SecretKey{configMap.Namespace, configMap.Name, key}] = value
	}
}

// decode makes the object of its type. Where the schema has found fault already, only fields that it does not know are told of: the rest
// would be told twice.
func (o *objects) decode(at place, object map[string]any, faulty bool) (runtime.Object, bool) {
	encoded, err := utiljson.Marshal(object)
	if err != nil {
		o.add(at, "cannot be encoded: %v", err)
		return nil, false
	}
	decoded, _, err := decoder.Decode(encoded, nil, nil)
	if err == nil {
		return decoded, true
	}
	if strict, isStrict := runtime.AsStrictDecodingError(err); isStrict {
		for _, one := range strict.Errors() {
			o.add(at, "%v", one)
		}
		return nil, false
	}
	if !faulty {
		o.add(at, "%s", explain(err))
	}
	return nil, false
}

// explain adds what to do to an error of the decoder.
func explain(err error) string {
	text := err.Error()
	if strings.Contains(text, "illegal base64 data") {
		return fmt.Sprintf("data: %s: values under data are base64, plain ones belong under stringData", text)
	}
	return text
}
