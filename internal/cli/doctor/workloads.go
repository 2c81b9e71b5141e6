package doctor

import (
	"cmp"
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/internal/cli/cluster"
)

// nameLabel is the well-known label by which the manifests name the manager and the ledger.
const nameLabel = "app.kubernetes.io/name"

// workload is a Deployment or a StatefulSet.
type workload struct {
	kind, name    string
	wanted, ready int32
}

func (o *options) checkManager(ctx context.Context, in *cluster.Cluster) finding {
	found, err := o.workloads(ctx, in, "modelroute-manager")
	if err != nil {
		return unseen("manager", "Deployments of the namespace "+o.systemNamespace, err)
	}
	return o.ofWorkload(ctx, in, "manager", found)
}

func (o *options) checkLedger(ctx context.Context, in *cluster.Cluster) []finding {
	found, err := o.workloads(ctx, in, "modelroute-ledger")
	if err != nil {
		return []finding{unseen("ledger", "StatefulSets and Deployments of the namespace "+o.systemNamespace, err)}
	}
	findings := []finding{o.ofWorkload(ctx, in, "ledger", found)}
	if len(found) > 0 {
		findings = append(findings, o.checkReader(ctx, in))
	}
	for _, one := range found {
		if one.kind == "StatefulSet" {
			findings = append(findings, o.checkVolume(ctx, in, "data-"+one.name+"-0"))
		}
	}
	return findings
}

// workloads are the Deployments and StatefulSets of the system's namespace with a name.
func (o *options) workloads(ctx context.Context, in *cluster.Cluster, name string) ([]workload, error) {
	where := []client.ListOption{client.InNamespace(o.systemNamespace), client.MatchingLabels{nameLabel: name}}
	var deployments appsv1.DeploymentList
	if err := in.List(ctx, &deployments, where...); err != nil {
		return nil, err
	}
	var sets appsv1.StatefulSetList
	if err := in.List(ctx, &sets, where...); err != nil {
		return nil, err
	}
	var found []workload
	for _, one := range deployments.Items {
		found = append(found, workload{"Deployment", one.Name, replicas(one.Spec.Replicas), one.Status.ReadyReplicas})
	}
	for _, one := range sets.Items {
		found = append(found, workload{"StatefulSet", one.Name, replicas(one.Spec.Replicas), one.Status.ReadyReplicas})
	}
	return found, nil
}

// replicas is how many pods are wanted: one, where nothing is said.
func replicas(said *int32) int32 {
	if said == nil {
		return 1
	}
	return *said
}

func (o *options) ofWorkload(ctx context.Context, in *cluster.Cluster, check string, found []workload) finding {
	if len(found) == 0 {
		return finding{
			Check: check, State: problem, Says: "There is none in the namespace " + o.systemNamespace + ".",
			Mend: "Name another namespace with --system-namespace, or install it: docs/install.md",
		}
	}
	one := found[0]
	says := fmt.Sprintf("The %s %s/%s has %d of %d pods ready.", one.kind, o.systemNamespace, one.name, one.ready, one.wanted)
	switch {
	case one.wanted == 0:
		return finding{
			Check: check, State: problem, Says: says,
			Mend: fmt.Sprintf("kubectl -n %s scale %s/%s --replicas=1", o.systemNamespace, one.kind, one.name),
		}
	case one.ready == 0:
		return finding{Check: check, State: problem, Says: says + o.whyNotReady(ctx, in, one.name), Mend: fmt.Sprintf(
			"kubectl -n %[1]s describe pods -l %[2]s=%[3]s\nkubectl -n %[1]s logs %[4]s/%[3]s",
			o.systemNamespace, nameLabel, one.name, one.kind)}
	case one.ready < one.wanted:
		return finding{Check: check, State: warning, Says: says + o.whyNotReady(ctx, in, one.name), Mend: fmt.Sprintf(
			"kubectl -n %s describe pods -l %s=%s", o.systemNamespace, nameLabel, one.name)}
	}
	return finding{Check: check, State: good, Says: says}
}

// whyNotReady is what the first pod says that is not ready; nothing if none says anything.
func (o *options) whyNotReady(ctx context.Context, in *cluster.Cluster, name string) string {
	var pods corev1.PodList
	if err := in.List(ctx, &pods, client.InNamespace(o.systemNamespace), client.MatchingLabels{nameLabel: name}); err != nil {
		return "" // What the workload says is enough.
	}
	for _, pod := range pods.Items {
		for _, container := range pod.Status.ContainerStatuses {
			if waiting := container.State.Waiting; waiting != nil && !container.Ready {
				return fmt.Sprintf(" %s: %s", cmp.Or(waiting.Reason, "Waiting"), cmp.Or(waiting.Message, "no message"))
			}
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
				return fmt.Sprintf(" %s: %s", condition.Reason, condition.Message)
			}
		}
	}
	return ""
}

// checkVolume looks for the volume that has the books.
func (o *options) checkVolume(ctx context.Context, in *cluster.Cluster, name string) finding {
	claim := &corev1.PersistentVolumeClaim{}
	err := in.Get(ctx, client.ObjectKey{Namespace: o.systemNamespace, Name: name}, claim)
	switch {
	case apierrors.IsNotFound(err):
		return finding{
			Check: "volume", State: problem, Says: "The claim " + o.systemNamespace + "/" + name + " of the books is not there.",
			Mend: "The StatefulSet makes it; why it has not: kubectl -n " + o.systemNamespace + " get events --sort-by=.lastTimestamp",
		}
	case err != nil:
		return unseen("volume", "the claims of the namespace "+o.systemNamespace, err)
	case claim.Status.Phase == corev1.ClaimBound:
		return finding{Check: "volume", State: good, Says: "The claim " + o.systemNamespace + "/" + name + " of the books is bound."}
	}
	classes := &storagev1.StorageClassList{}
	_ = in.List(ctx, classes) // Who may not see them gets the general advice.
	return finding{
		Check: "volume", State: problem, Mend: mendClaim(claim, classes.Items),
		Says: fmt.Sprintf("The claim %s/%s is %s.", o.systemNamespace, name, cmp.Or(claim.Status.Phase, "not seen yet")),
	}
}

// mendClaim says what a claim that is not bound may lack.
func mendClaim(claim *corev1.PersistentVolumeClaim, classes []storagev1.StorageClass) string {
	describe := "kubectl -n " + claim.Namespace + " describe pvc " + claim.Name
	if claim.Spec.StorageClassName == nil {
		for _, class := range classes {
			if class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" {
				return describe
			}
		}
		return "The cluster has no default StorageClass: mark one as the default, or use PostgreSQL (docs/ledger.md)\n" + describe
	}
	for _, class := range classes {
		if class.Name == *claim.Spec.StorageClassName {
			return describe
		}
	}
	return "Is there a StorageClass " + *claim.Spec.StorageClassName + "? kubectl get storageclasses\n" + describe
}
