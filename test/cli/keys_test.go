package cli

import (
	"os/exec"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/modelroute/modelroute/api/v1alpha1"
)

const someKey = "mrk_this-is-the-key"

func TestKeysAreListedWithoutTheKeys(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.modelKey("crawler", "chat")
	w.secret("crawler", someKey, map[string]string{v1alpha1.LabelModelKey: "crawler"})
	table := w.call("keys", "list").wants(t, 0)
	wantEqual(t, `
NAMESPACE   HOLDER                   KEY              LAST USE                      SPENT   SECRET        OLD KEY UNTIL          EXPIRES
cli-12345   modelroute/chat/search   k_0123456789ab   2026-11-27 04:05 UTC   12.335678901   chat-search   -                      -
cli-12345   modelroute/chat/trial    -                -                          0.010000   chat-trial    -                      -
cli-12345   modelkey/crawler         k_abcdefabcdef   2026-11-27 04:05 UTC      17.000000   crawler       2026-11-30 23:00 UTC   -
`, "\n"+w.masked(table.out))
	w.call("keys", "list", "-o", "json").wants(t, 0, `"holder": "modelkey/crawler"`, `"keyID": "k_abcdefabcdef"`).lacks(t, someKey)
}

func TestRotationIsAskedForByTheAnnotation(t *testing.T) {
	w := newCaller(t)
	route, key := w.route("chat"), w.modelKey("crawler", "chat")
	for word, object := range map[string]client.Object{"modelroute/chat": route, "mkey/crawler": key} {
		w.call("keys", "rotate", word).wants(t, 0, "on the way")
		w.must(w.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		first := object.GetAnnotations()[v1alpha1.AnnotationRotate]
		w.call("keys", "rotate", word).wants(t, 0)
		w.must(w.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		if second := object.GetAnnotations()[v1alpha1.AnnotationRotate]; first == "" || first == second {
			t.Errorf("%s is asked for a new key by %q, then by %q", word, first, second)
		}
	}
	w.call("keys", "rotate", "modelroute/chat/search").wants(t, 2, "modelroute/chat replaces those of all", "keys revoke")
	w.call("keys", "rotate", "chat").wants(t, 2, `"chat" must be modelkey/NAME or modelroute/ROUTE`)
	w.call("keys").wants(t, 2, "list, rotate, revoke or env")
}

func TestRevokingDeletesTheSecretThatDeliversTheKey(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	secret := w.secret("chat-search", someKey, ofConsumer("chat", "search"))
	isThere := func() bool {
		err := w.Get(t.Context(), client.ObjectKeyFromObject(secret), &corev1.Secret{})
		w.must(client.IgnoreNotFound(err))
		return !apierrors.IsNotFound(err)
	}
	w.call("keys", "revoke", "modelroute/chat/search").wants(t, 2, "nothing is revoked")
	w.interactive, w.typed = true, "n\n"
	w.call("keys", "revoke", "modelroute/chat/search").wants(t, 2, "[y/N]", "nothing is revoked")
	if !isThere() {
		t.Fatal("it is revoked though nobody said yes")
	}
	w.typed = "y\n"
	w.call("keys", "revoke", "modelroute/chat/search").wants(t, 0, "is refused from now on").lacks(t, someKey)
	if isThere() {
		t.Error("the Secret is still there")
	}
}

func TestAShellGetsAKeyWhateverIsInItsValues(t *testing.T) {
	w := newCaller(t)
	w.modelKey("crawler", "chat")
	w.secret("crawler", someKey, map[string]string{v1alpha1.LabelModelKey: "crawler"})
	exports := w.call("keys", "env", "modelkey/crawler").wants(t, 0)
	exports.lacks(t, "no-variable")
	output, err := exec.CommandContext(t.Context(), "sh", "-c", exports.out+`printf '%s|%s|%s' "$OPENAI_API_KEY" "$OPENAI_BASE_URL" "$MODEL"`).Output()
	w.must(err)
	wantEqual(t, someKey+"|http://chat.ai.svc/v1|it's a model", string(output))
}

// Whoever may read Secrets is not shown those of others by it, nor deletes them.
func TestASecretThatIsNotTheOperatorsIsLeftAlone(t *testing.T) {
	w := newCaller(t)
	w.route("chat")
	w.secret("chat-search", someKey, ofConsumer("other", "search"))
	for _, command := range []string{"env", "revoke"} {
		w.call("keys", command, "modelroute/chat/search").wants(t, 1, "is not the operator's", v1alpha1.LabelRoute).lacks(t, someKey)
	}
	w.call("keys", "env", "modelroute/chat/nobody").wants(t, 1, "there is no consumer nobody", "search, trial")
	w.call("keys", "env", "modelroute/chat").wants(t, 2, "all consumers of a route")
}
