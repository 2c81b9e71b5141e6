package apply

import (
	"maps"
	"reflect"
	"runtime"
	"sync"
	"unique"
	"weak"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kin is what the children of one owner have alike. With thousands of routes it is noticeable whether each child has that for itself in a
// cache, whose objects nobody changes.
type kin struct {
	owner  [1]metav1.OwnerReference
	labels map[string]string
}

// families have, by the owner's UID, what children have alike for as long as one of them has it: weak.Pointer[kin].
var families sync.Map

// shareWithKin lets a child have its owner, and its labels, if they are as its kin's are, from what its kin has.
func shareWithKin(child client.Object) {
	child.SetLabels(Interned(child.GetLabels()))
	owners := child.GetOwnerReferences()
	if len(owners) != 1 {
		return
	}
	its := kinOf(owners[0], child.GetLabels())
	if reflect.DeepEqual(its.owner[0], owners[0]) {
		child.SetOwnerReferences(its.owner[:]) // Which keeps all of it.
		if maps.Equal(its.labels, child.GetLabels()) {
			child.SetLabels(its.labels)
		}
	}
}

// kinOf is the kin of a child of owner with labels: that of earlier children, if there are any. One that has only labels which all have, as
// the owner's name, takes the place of one that has more, as a consumer's: most children have these.
func kinOf(owner metav1.OwnerReference, labels map[string]string) *kin {
	var made *kin
	for {
		known, found := families.Load(owner.UID)
		if found {
			if its := known.(weak.Pointer[kin]).Value(); its != nil && len(its.labels) <= len(labels) {
				return its
			}
		}
		if made == nil {
			made = &kin{owner: [1]metav1.OwnerReference{owner}, labels: labels}
		}
		if pointer := weak.Make(made); replaceFamily(owner.UID, known, pointer) {
			runtime.AddCleanup(made, func(uid types.UID) { families.CompareAndDelete(uid, pointer) }, owner.UID)
			return made
		}
	}
}

// replaceFamily puts a pointer in the place of what was known, which is nil for nothing; false if something else is there by now.
func replaceFamily(uid types.UID, known any, pointer weak.Pointer[kin]) bool {
	if known == nil {
		_, isThere := families.LoadOrStore(uid, pointer)
		return !isThere
	}
	return families.CompareAndSwap(uid, known, pointer)
}

// Interned returns labels whose texts are in memory once, however many objects have them.
func Interned(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	its := make(map[string]string, len(labels))
	for name, value := range labels {
		its[intern(name)] = intern(value)
	}
	return its
}

func intern[T comparable](text T) T { return unique.Make(text).Value() }
