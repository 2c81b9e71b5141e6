package cli

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/certs"
	"github.com/modelroute/modelroute/internal/ledger/ledgertest"
)

// doctor calls it for the namespace, in which the manager and the ledger are as well.
func (w *caller) doctor(words ...string) said {
	w.t.Helper()
	return w.call(append([]string{"doctor", "--system-namespace", w.namespace}, words...)...)
}

func template(name string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/name": name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "it", Image: "modelroute"}}},
	}
}

// system is the manager and the ledger with so many ready pods, a volume for the books, and what those need who read them.
func (w *caller) system(ready int32, phase corev1.PersistentVolumeClaimPhase) {
	w.t.Helper()
	selector := func(name string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": name}}
	}
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/name": name}}
	}
	manager := &appsv1.Deployment{ObjectMeta: meta("modelroute-manager"), Spec: appsv1.DeploymentSpec{
		Selector: selector("modelroute-manager"), Template: template("modelroute-manager"),
	}}
	makeWithStatus(w, manager, func(it *appsv1.Deployment) { it.Status.Replicas, it.Status.ReadyReplicas = 1, ready })
	ledger := &appsv1.StatefulSet{ObjectMeta: meta("modelroute-ledger"), Spec: appsv1.StatefulSetSpec{
		Selector: selector("modelroute-ledger"), Template: template("modelroute-ledger"), Replicas: ptr.To[int32](1),
	}}
	makeWithStatus(w, ledger, func(it *appsv1.StatefulSet) { it.Status.Replicas, it.Status.ReadyReplicas = 1, ready })
	claim := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "data-modelroute-ledger-0"},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	makeWithStatus(w, claim, func(claim *corev1.PersistentVolumeClaim) { claim.Status.Phase = phase })
	w.make(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "modelroute-reader"}})
	certificate, _ := ledgertest.NewCertificate(w.t)
	w.publish(certificate)
}

func TestAHealthyInstallHasNothingWrong(t *testing.T) {
	w := newCaller(t)
	w.system(1, corev1.ClaimBound)
	w.route("chat")
	w.doctor().wants(t, 0, "Kubernetes v1.", "agree on the time", "All 4 are there and of this program's version",
		"modelroute-manager has 1 of 1", "modelroute-ledger has 1 of 1", "is bound",
		"The manager reaches it", "Whoever has the Role modelroute-reader can read the ledger", "None is for ModelRoute's objects",
		"You may do all that").
		lacks(t, "problem", "warning", "not checked")
}

func TestADoctorSaysWhatIsWrongAndHowToMendIt(t *testing.T) {
	w := newCaller(t)
	w.system(0, corev1.ClaimPending)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "ledger", Labels: template("modelroute-ledger").Labels},
		Spec:       template("").Spec,
	}
	makeWithStatus(w, pod, func(pod *corev1.Pod) {
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "it", State: corev1.ContainerState{
			Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"},
		}}}
	})
	route := w.route("chat")
	route.Status.Conditions = []metav1.Condition{
		condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound, "Secret openrouter does not exist."),
	}
	w.must(w.Status().Update(t.Context(), route))
	w.make(&v1alpha1.ModelKey{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "unseen"},
		Spec:       v1alpha1.ModelKeySpec{RouteRefs: []v1alpha1.RouteReference{{Name: "chat"}}},
	})
	w.doctor().wants(t, 1,
		"modelroute-manager has 0 of 1 pods ready", "logs Deployment/modelroute-manager",
		"ImagePullBackOff: no such image", "describe pods -l app.kubernetes.io/name=modelroute-ledger",
		"data-modelroute-ledger-0 is Pending", "no default StorageClass",
		"ModelRoute "+w.namespace+"/chat is not ready: SecretNotFound: Secret openrouter does not exist.", "create secret generic SECRET",
		"ModelKey "+w.namespace+"/unseen: the manager has not looked at its latest change", "there are 5 problems")
	var found struct {
		Findings []struct{ Check, State, Says, Mend string }
	}
	w.must(json.Unmarshal([]byte(w.doctor("-o", "json").out), &found))
	problems := 0
	for _, one := range found.Findings {
		if one.State == "problem" {
			problems++
		}
	}
	wantEqual(t, 5, problems)
}

func TestAnInstallThatIsMissingIsAProblem(t *testing.T) {
	w := newCaller(t)
	w.doctor().wants(t, 1, "There is none in the namespace "+w.namespace, "--system-namespace", "docs/install.md", "there are 2 problems")
	w.callAnywhere("doctor", "--server", "https://127.0.0.1:1").wants(t, 1, "does not answer", "there is a problem")
}

func TestAnInstallFromBeforeThereWereReadersIsWarnedOf(t *testing.T) {
	w := newCaller(t)
	w.system(1, corev1.ClaimBound)
	w.must(w.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: certs.AuthorityConfigMap}}))
	w.doctor().wants(t, 0, "warning", "usage --by day cannot ask the ledger", "ConfigMap modelroute-ledger-ca", "upgrade the install")
}

func TestALedgerThatTheManagerDoesNotReachIsAProblemOfItsOwn(t *testing.T) {
	w := newCaller(t)
	w.system(1, corev1.ClaimBound)
	route := w.route("chat")
	route.Status.Conditions = []metav1.Condition{
		condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonLedgerUnavailable, "The ledger does not answer."),
		condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonLedgerUnavailable, "The ledger does not answer."),
	}
	w.must(w.Status().Update(t.Context(), route))
	w.doctor().wants(t, 1, "The manager does not reach it: ModelRoute "+w.namespace+"/chat")
}

func TestWhoMayNotLookIsToldWhatWasNotChecked(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.make(&rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "view"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"modelroute.dev"}, Verbs: []string{"get", "list"},
			Resources: []string{"modelroutes", "modelkeys", "modelgateways"},
		}},
	})
	user := "viewer-" + w.namespace
	w.make(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "view"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
	w.become(user)
	w.doctor().wants(t, 0, "You may not look at CRDs", "not checked", "1 of 1 are ready", "you may not list teambudgets (usage --by team)",
		"create pods/portforward (chat without --url)")
}
