package controllers

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestAProxyServesARouteAsItIsWhenItsVersionHasItSo(t *testing.T) {
	chat, code := types.NamespacedName{Name: "chat"}, types.NamespacedName{Name: "code"}
	history := gatewayHistory{}
	history.note("v1", map[types.NamespacedName]string{chat: "a", code: "a"})
	history.note("v2", map[types.NamespacedName]string{chat: "b", code: "a"})
	for version, want := range map[string][2]bool{"v1": {false, true}, "v2": {true, true}, "v0": {false, false}, "": {false, false}} {
		if got := [2]bool{history.serves(version, chat), history.serves(version, code)}; got != want {
			t.Errorf("%q serves %v, want %v", version, got, want)
		}
	}
	history.note("v1", map[types.NamespacedName]string{chat: "a", code: "a"}) // as it was before
	if !history.serves("v1", chat) || history.serves("v2", chat) || !history.serves("v2", code) {
		t.Error("a version that is in force again is taken for the old one")
	}
	history.note("v3", map[types.NamespacedName]string{chat: "a"})
	if history.serves("v3", code) {
		t.Error("a route that is not there any more is served")
	}
}

func TestVersionsThatAreLongGoneAreForgotten(t *testing.T) {
	chat := types.NamespacedName{Name: "chat"}
	history := gatewayHistory{}
	for i := range 2 * maxVersions {
		history.note(fmt.Sprint(i), map[types.NamespacedName]string{chat: "a"})
	}
	if len(history.versions) != maxVersions || history.serves("0", chat) || !history.serves(fmt.Sprint(2*maxVersions-1), chat) {
		t.Errorf("%d versions are known", len(history.versions))
	}
}
