package doctor

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

func wants(t *testing.T, found finding, state state, parts ...string) {
	t.Helper()
	if found.State != state {
		t.Errorf("it is %q, want %q: %+v", found.State, state, found)
	}
	for _, part := range parts {
		if !strings.Contains(found.Says+found.Mend, part) {
			t.Errorf("there is no %q in %+v", part, found)
		}
	}
}

func TestAClusterThatIsTooOldIsAProblem(t *testing.T) {
	wants(t, ofVersion(version.Info{GitVersion: "v1.29.9-eks-1234"}, "host"), problem, "v1.29.9-eks-1234 is older than 1.30")
	wants(t, ofVersion(version.Info{GitVersion: "v1.30.0+k3s1"}, "host"), good, "v1.30.0+k3s1 at host")
	wants(t, ofVersion(version.Info{GitVersion: "of my own"}, "host"), problem)
}

func TestClocksMayBeApartALittle(t *testing.T) {
	now := time.Date(2026, time.November, 27, 4, 0, 0, 0, time.UTC)
	wants(t, ofClock(now, now.Add(-29*time.Second)), good)
	wants(t, ofClock(now, now.Add(-90*time.Second)), warning, "1m30s apart", "time server")
	wants(t, ofClock(now, now.Add(time.Hour)), warning, "1h0m0s apart")
}

func TestACRDOfAnotherVersionIsAWarningAndOneThatIsNotServedAProblem(t *testing.T) {
	all, err := ownCRDs()
	if err != nil || len(all) != 4 {
		t.Fatalf("there are %d CRDs (%v)", len(all), err)
	}
	found := all[0].DeepCopy()
	wants(t, ofCRD(all[0], found)[0], problem, "does not serve", "kubectl describe crd "+found.Name)
	found.Status.Conditions = []apiextensionsv1.CustomResourceDefinitionCondition{{
		Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue,
	}}
	if findings := ofCRD(all[0], found); len(findings) != 0 {
		t.Errorf("the same CRD has %+v", findings)
	}
	found.Spec.Versions[0].Schema.OpenAPIV3Schema.Description = "Another one."
	wants(t, ofCRD(all[0], found)[0], warning, "of another version", "docs/install.md#upgrade")
}

func TestAClaimThatWaitsIsToldWhatItLacks(t *testing.T) {
	class := func(name, isDefault string) storagev1.StorageClass {
		return storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{
			Name: name, Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": isDefault},
		}}
	}
	named := func(name *string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: name},
		}
	}
	const describe = "kubectl -n system describe pvc data"
	for name, test := range map[string]struct {
		claim   *corev1.PersistentVolumeClaim
		classes []storagev1.StorageClass
		want    string
	}{
		"no default":               {named(nil), []storagev1.StorageClass{class("slow", "false")}, "no default StorageClass"},
		"a default":                {named(nil), []storagev1.StorageClass{class("slow", "true")}, describe},
		"a class that is there":    {named(new("slow")), []storagev1.StorageClass{class("slow", "false")}, describe},
		"a class that is missing":  {named(new("fast")), []storagev1.StorageClass{class("slow", "true")}, "Is there a StorageClass fast?"},
		"classes that nobody sees": {named(new("fast")), nil, "kubectl get storagecl"},
	} {
		if got := mendClaim(test.claim, test.classes); !strings.HasPrefix(got, test.want) && !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestWhatIsStillAtWorkIsNoProblem(t *testing.T) {
	object := func(conditions ...metav1.Condition) object {
		return object{kind: "ModelRoute", namespace: "ai", name: "chat", observed: 3, generation: 3, conditions: conditions}
	}
	condition := func(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: "So it is."}
	}
	pending := condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonPending)
	found, _ := ofObject(object(pending, condition(v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonPending)))
	wants(t, found, warning, "Pending: So it is.", "kubectl -n ai logs")
	found, _ = ofObject(object(pending))
	wants(t, found, problem)
	found, _ = ofObject(object(condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "SomethingNew")))
	wants(t, found, problem, "kubectl -n ai describe modelroute chat")
	ready := condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
	found, _ = ofObject(object(ready, condition(v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)))
	wants(t, found, warning, "is suspended", "annotate modelroute chat modelroute.dev/suspended-")
	if found, isWrong := ofObject(object(ready)); isWrong {
		t.Errorf("a route that is ready has %+v", found)
	}
}

func TestAWebhookOfSomebodyElseIsAWarning(t *testing.T) {
	wants(t, ofWebhooks(nil), good)
	wants(t, ofWebhooks([]string{"ValidatingWebhookConfiguration policy"}), warning, "policy sees ModelRoute's objects")
}

func TestWhatIsToBeDoneNamesTheNamespaceInWhichTheOperatorIs(t *testing.T) {
	ledger := metav1.Condition{Type: v1alpha1.ConditionProgrammed, Reason: v1alpha1.ReasonLedgerUnavailable}
	findings := []finding{ofLedgerConnection([]object{{kind: "ModelRoute", name: "chat", conditions: []metav1.Condition{ledger}}})}
	if got := naming("platform", findings)[0].Mend; !strings.Contains(got, "kubectl -n platform logs") || strings.Contains(got, "{") {
		t.Errorf("it says %q", got)
	}
}
