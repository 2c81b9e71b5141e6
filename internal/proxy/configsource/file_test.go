package configsource_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/clock"

	"github.com/modelroute/modelroute/internal/proxy/configsource"
)

// served collects what Watch delivers.
type served chan string

// next returns the next configuration that Watch delivers.
func (s served) next(t *testing.T) string {
	t.Helper()
	select {
	case encoded := <-s:
		return encoded
	case <-time.After(30 * time.Second):
		t.Fatal("no configuration was delivered")
		return ""
	}
}

func (s served) expect(t *testing.T, want string) {
	t.Helper()
	if diff := cmp.Diff(want, s.next(t)); diff != "" {
		t.Fatalf("delivered configuration (-want +got):\n%s", diff)
	}
}

func watch(t *testing.T, dir string, secret *configsource.Secret) served {
	t.Helper()
	deliveries := make(served)
	done := make(chan struct{})
	ctx := t.Context()
	go func() {
		defer close(done)
		options := configsource.Options{Dir: dir, Secret: secret, Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{}}
		configsource.Watch(ctx, options, func(version configsource.Version) {
			select {
			case deliveries <- string(version.Encoded):
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() { <-done })
	return deliveries
}

// mount is a directory as the kubelet mounts a Secret: config.json links to ..data/config.json, and ..data links to a directory of its
// own for each version.
type mount struct{ dir string }

func newMount(t *testing.T) mount {
	t.Helper()
	m := mount{dir: t.TempDir()}
	if err := os.Symlink(filepath.Join("..data", configsource.Key), filepath.Join(m.dir, configsource.Key)); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m mount) put(t *testing.T, version, content string) {
	t.Helper()
	versioned := filepath.Join(m.dir, version)
	if err := os.Mkdir(versioned, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(versioned, configsource.Key), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(m.dir, "..data_tmp")
	if err := os.Symlink(version, fresh); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, filepath.Join(m.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func TestAMountedSecretIsFollowedThroughItsSymbolicLinks(t *testing.T) {
	mounted := newMount(t)
	mounted.put(t, "..2026_01", "one")
	deliveries := watch(t, mounted.dir, nil)
	deliveries.expect(t, "one")
	mounted.put(t, "..2026_02", "two")
	deliveries.expect(t, "two")
}

func TestAFileThatAppearsLateIsServed(t *testing.T) {
	mounted := newMount(t)
	deliveries := watch(t, mounted.dir, nil)
	mounted.put(t, "..2026_01", "late")
	deliveries.expect(t, "late")
}

func TestAFileThatVanishesAndComesBackUnchangedIsNotServedAgain(t *testing.T) {
	mounted := newMount(t)
	mounted.put(t, "..2026_01", "one")
	deliveries := watch(t, mounted.dir, nil)
	deliveries.expect(t, "one")
	if err := os.Remove(filepath.Join(mounted.dir, "..data")); err != nil {
		t.Fatal(err)
	}
	mounted.put(t, "..2026_02", "one")
	mounted.put(t, "..2026_03", "two")
	deliveries.expect(t, "two")
}
