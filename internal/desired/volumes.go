package desired

import (
	"path"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/modelroute/modelroute/api/v1alpha1"
	"github.com/modelroute/modelroute/internal/compile"
)

// volumes are the configuration, the token for the ledger, the journal, which outlives the container and not the pod, the certificate for
// clients, if there is one, one directory for each upstream's API key, and one for the certificates of its authorities where it has some of
// its own.
func volumes(route *v1alpha1.ModelRoute) []*corev1ac.VolumeApplyConfiguration {
	all := make([]*corev1ac.VolumeApplyConfiguration, 0, 4+2*len(route.Spec.Upstreams))
	all = append(all,
		corev1ac.Volume().WithName("config").WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(ConfigSecretName(route)).WithDefaultMode(0o440)),
		corev1ac.Volume().WithName("ledger-token").WithProjected(corev1ac.ProjectedVolumeSource().
			WithDefaultMode(0o440).
			WithSources(corev1ac.VolumeProjection().WithServiceAccountToken(corev1ac.ServiceAccountTokenProjection().
				WithAudience(ledgerAudience).WithExpirationSeconds(tokenSeconds).WithPath(tokenFile)))),
		corev1ac.Volume().WithName("journal").WithEmptyDir(corev1ac.EmptyDirVolumeSource().WithSizeLimit(resource.MustParse(journalSize))),
	)
	if name, encrypted := compile.TLSSecret(route); encrypted {
		all = append(all, corev1ac.Volume().WithName("tls").WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(name).WithDefaultMode(0o440).WithItems(
			corev1ac.KeyToPath().WithKey(corev1.TLSCertKey).WithPath(corev1.TLSCertKey),
			corev1ac.KeyToPath().WithKey(corev1.TLSPrivateKeyKey).WithPath(corev1.TLSPrivateKeyKey))))
	}
	for i, upstream := range route.Spec.Upstreams {
		all = append(all, corev1ac.Volume().WithName(upstreamVolume(i)).WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(upstream.APIKeySecretRef.Name).WithDefaultMode(0o440).
			WithItems(corev1ac.KeyToPath().WithKey(upstream.APIKeySecretRef.Key).WithPath(compile.UpstreamKeyFile))))
		if ref, has := compile.CABundle(upstream); has {
			all = append(all, authoritiesVolume(authoritiesName(i), ref))
		}
	}
	return all
}

func mounts(route *v1alpha1.ModelRoute) []*corev1ac.VolumeMountApplyConfiguration {
	all := make([]*corev1ac.VolumeMountApplyConfiguration, 0, 4+2*len(route.Spec.Upstreams))
	all = append(all,
		corev1ac.VolumeMount().WithName("config").WithMountPath(configDir).WithReadOnly(true),
		corev1ac.VolumeMount().WithName("ledger-token").WithMountPath(tokenDir).WithReadOnly(true),
		corev1ac.VolumeMount().WithName("journal").WithMountPath(journalDir),
	)
	if _, encrypted := compile.TLSSecret(route); encrypted {
		all = append(all, corev1ac.VolumeMount().WithName("tls").WithMountPath(tlsDir).WithReadOnly(true))
	}
	for i, upstream := range route.Spec.Upstreams {
		all = append(all, corev1ac.VolumeMount().WithName(upstreamVolume(i)).
			WithMountPath(path.Join(compile.UpstreamKeyDir, upstream.Name)).WithReadOnly(true))
		if _, has := compile.CABundle(upstream); has {
			all = append(all, corev1ac.VolumeMount().WithName(authoritiesName(i)).
				WithMountPath(path.Join(compile.UpstreamCADir, upstream.Name)).WithReadOnly(true))
		}
	}
	return all
}

func upstreamVolume(index int) string { return "upstream-" + strconv.Itoa(index) }

func authoritiesVolume(name string, ref v1alpha1.CABundleReference) *corev1ac.VolumeApplyConfiguration {
	item := corev1ac.KeyToPath().WithKey(ref.Key).WithPath(compile.UpstreamCAFile)
	if ref.Kind == v1alpha1.CABundleSecret {
		return corev1ac.Volume().WithName(name).WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(ref.Name).WithDefaultMode(0o440).WithItems(item))
	}
	return corev1ac.Volume().WithName(name).WithConfigMap(corev1ac.ConfigMapVolumeSource().
		WithName(ref.Name).WithDefaultMode(0o440).WithItems(item))
}

func authoritiesName(index int) string { return "authorities-" + strconv.Itoa(index) }
