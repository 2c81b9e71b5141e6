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

// mounted is a volume, and where proxies find it.
type mounted struct {
	volume *corev1ac.VolumeApplyConfiguration
	mount  *corev1ac.VolumeMountApplyConfiguration
}

// readOnly mounts a volume where nothing but its source writes.
func readOnly(volume *corev1ac.VolumeApplyConfiguration, directory string) mounted {
	return mounted{volume, corev1ac.VolumeMount().WithName(*volume.Name).WithMountPath(directory).WithReadOnly(true)}
}

// mounted are the configuration, the token for the ledger, the journal, which outlives the container and not the pod, the certificate for
// clients, if there is one, and what the upstreams need.
func (p proxies) mounted() []mounted {
	config, upstreams := p.files[0], p.files[1:]
	all := make([]mounted, 0, 4+len(upstreams))
	all = append(all, config,
		readOnly(corev1ac.Volume().WithName("ledger-token").WithProjected(corev1ac.ProjectedVolumeSource().
			WithDefaultMode(0o440).
			WithSources(corev1ac.VolumeProjection().WithServiceAccountToken(corev1ac.ServiceAccountTokenProjection().
				WithAudience(ledgerAudience).WithExpirationSeconds(tokenSeconds).WithPath(tokenFile)))), tokenDir),
		mounted{
			corev1ac.Volume().WithName("journal").
				WithEmptyDir(corev1ac.EmptyDirVolumeSource().WithSizeLimit(resource.MustParse(journalSize))),
			corev1ac.VolumeMount().WithName("journal").WithMountPath(journalDir),
		},
	)
	if p.isEncrypted() {
		all = append(all, readOnly(corev1ac.Volume().WithName("tls").WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(p.pods.TLS.SecretRef.Name).WithDefaultMode(0o440).WithItems(
			corev1ac.KeyToPath().WithKey(corev1.TLSCertKey).WithPath(corev1.TLSCertKey),
			corev1ac.KeyToPath().WithKey(corev1.TLSPrivateKeyKey).WithPath(corev1.TLSPrivateKeyKey))), tlsDir))
	}
	return append(all, upstreams...)
}

func (p proxies) volumes() []*corev1ac.VolumeApplyConfiguration {
	mounted := p.mounted()
	all := make([]*corev1ac.VolumeApplyConfiguration, 0, len(mounted))
	for _, one := range mounted {
		all = append(all, one.volume)
	}
	return all
}

func (p proxies) mounts() []*corev1ac.VolumeMountApplyConfiguration {
	mounted := p.mounted()
	all := make([]*corev1ac.VolumeMountApplyConfiguration, 0, len(mounted))
	for _, one := range mounted {
		all = append(all, one.mount)
	}
	return all
}

// configFiles are the configuration of one route.
func configFiles(owner Owner) mounted {
	return readOnly(corev1ac.Volume().WithName("config").WithSecret(corev1ac.SecretVolumeSource().
		WithSecretName(owner.Config).WithDefaultMode(0o440)), configDir)
}

// upstreamFiles are one directory for each upstream's API key, and one for the certificates of its authorities where it has some of its
// own.
func upstreamFiles(route *v1alpha1.ModelRoute) []mounted {
	all := make([]mounted, 0, 2*len(route.Spec.Upstreams))
	for i, upstream := range route.Spec.Upstreams {
		secret := compile.UpstreamKeySecret(route, upstream)
		key := corev1ac.Volume().WithName(upstreamVolume(i)).WithSecret(corev1ac.SecretVolumeSource().
			WithSecretName(secret.Name).WithDefaultMode(0o440).
			WithItems(corev1ac.KeyToPath().WithKey(secret.Key).WithPath(compile.UpstreamKeyFile)))
		all = append(all, readOnly(key, path.Join(compile.UpstreamKeyDir, upstream.Name)))
		if ref, has := compile.CABundle(upstream); has {
			all = append(all, readOnly(authoritiesVolume(authoritiesName(i), ref), path.Join(compile.UpstreamCADir, upstream.Name)))
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
