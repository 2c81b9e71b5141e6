package desired

import (
	"path"
	"reflect"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

const (
	// defaultReplicas lets one proxy go at any time, for an upgrade of its node for example, without an interruption.
	defaultReplicas = 2
	// nonRootID is the user and group of the proxy: "nonroot" of the distroless images.
	nonRootID = 65532
	// drainSeconds is what a proxy gets, beyond its longest request, to leave the Service's endpoints and to settle.
	drainSeconds = 30
	// ledgerAudience is the audience of the token that a proxy shows to the ledger; the API server does not accept it for itself.
	ledgerAudience = "modelroute-ledger"
	// journalSize is what a proxy's journal may take of the node's disk. It keeps 64 MiB of what the ledger has; the rest is for what the
	// ledger could not be told while it was away.
	journalSize = "1Gi"
	// tokenSeconds is how long such a token is valid; the kubelet replaces it in time.
	tokenSeconds = 3600

	configDir  = "/etc/modelroute/config"
	tlsDir     = "/etc/modelroute/tls"
	tokenDir   = "/var/run/secrets/modelroute"
	tokenFile  = "token"
	journalDir = "/var/lib/modelroute"

	// The names of the containers' ports, and of the Service's, which are those of their protocols.
	portHTTP, portHTTPS, portAdmin = "http", "https", "admin"
	httpsPort                      = 8443
)

func (p proxies) deployment() Object {
	spec := appsv1ac.DeploymentSpec().
		WithSelector(metav1ac.LabelSelector().WithMatchLabels(p.ProxyLabels())).
		WithStrategy(appsv1ac.DeploymentStrategy().
			WithType(appsv1.RollingUpdateDeploymentStrategyType).
			WithRollingUpdate(appsv1ac.RollingUpdateDeployment().
				WithMaxUnavailable(intstr.FromInt32(0)).WithMaxSurge(intstr.FromInt32(1)))).
		WithTemplate(p.podTemplate())
	made := p.object("apps", "Deployment", p.Proxy, appsv1ac.Deployment(p.Proxy, p.namespace()).
		WithLabels(p.Labels()).
		WithOwnerReferences(p.reference()).
		WithSpec(spec))
	made.Plain = reflect.DeepEqual(p.pods, v1alpha1.ProxyPods{Replicas: p.pods.Replicas})
	if p.isAutoscaled() {
		made.FirstReplicas = p.fewestReplicas()
	} else {
		spec.WithReplicas(p.fewestReplicas())
	}
	return made
}

// longestRequestSeconds is how long a request may still take that began just before the proxy was told to stop.
func longestRequestSeconds(route *v1alpha1.ModelRoute) int64 {
	longest := int64(0)
	for _, upstream := range route.Spec.Upstreams {
		longest = max(longest, compile.TimeoutSeconds(upstream))
	}
	return longest
}

func (p proxies) container() *corev1ac.ContainerApplyConfiguration {
	container := corev1ac.Container().
		WithName("proxy").
		WithImage(p.Image).
		WithCommand("/proxy").
		WithArgs(
			"--config-dir="+configDir,
			"--config-secret="+p.namespace()+"/"+p.Config,
			"--ledger-token-file="+path.Join(tokenDir, tokenFile),
			"--journal-dir="+path.Join(journalDir, "journal"),
			"--instance=$(POD_NAME)",
			"--drain-timeout="+strconv.FormatInt(p.longestRequestSeconds, 10)+"s").
		// A reference to a field is one atomic value: what the API server would add to it has to be said, or it would never be as wanted.
		WithEnv(corev1ac.EnvVar().WithName("POD_NAME").WithValueFrom(corev1ac.EnvVarSource().
			WithFieldRef(corev1ac.ObjectFieldSelector().WithAPIVersion("v1").WithFieldPath("metadata.name")))).
		WithEnv(environment(p.Env)...).
		WithPorts(p.clientPort(),
			corev1ac.ContainerPort().WithName(portAdmin).WithContainerPort(8081).WithProtocol(corev1.ProtocolTCP)).
		WithReadinessProbe(probe("/readyz").WithPeriodSeconds(2).WithFailureThreshold(2)).
		WithLivenessProbe(probe("/healthz").WithPeriodSeconds(10).WithFailureThreshold(6)).
		WithResources(p.resources()).
		WithSecurityContext(corev1ac.SecurityContext().
			WithAllowPrivilegeEscalation(false).WithReadOnlyRootFilesystem(true).
			WithCapabilities(corev1ac.Capabilities().WithDrop("ALL"))).
		WithVolumeMounts(p.mounts()...)
	if p.isEncrypted() {
		container.WithArgs("--listen=:"+strconv.Itoa(httpsPort), "--tls-dir="+tlsDir)
	}
	if p.PullPolicy != "" {
		container.WithImagePullPolicy(p.PullPolicy)
	}
	return container
}

// clientPort is where clients are served. It is another one over TLS, so that the Service sends nobody to a proxy of the other kind while
// one kind replaces the other.
func (p proxies) clientPort() *corev1ac.ContainerPortApplyConfiguration {
	port := corev1ac.ContainerPort().WithName(portHTTP).WithContainerPort(8080).WithProtocol(corev1.ProtocolTCP)
	if p.isEncrypted() {
		port.WithName(portHTTPS).WithContainerPort(httpsPort)
	}
	return port
}

func probe(urlPath string) *corev1ac.ProbeApplyConfiguration {
	return corev1ac.Probe().WithTimeoutSeconds(2).
		WithHTTPGet(corev1ac.HTTPGetAction().WithPath(urlPath).WithPort(intstr.FromString(portAdmin)))
}

func (p proxies) resources() *corev1ac.ResourceRequirementsApplyConfiguration {
	if wanted := p.pods.Resources; wanted != nil {
		return corev1ac.ResourceRequirements().WithRequests(wanted.Requests).WithLimits(wanted.Limits)
	}
	return corev1ac.ResourceRequirements().WithRequests(corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse("20m"),
		corev1.ResourceMemory: resource.MustParse("48Mi"),
	})
}
