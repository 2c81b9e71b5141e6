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

// kinOf is the kin of a child of owner with labels: that of earlier children, if there are any.
func kinOf(owner metav1.OwnerReference, labels map[string]string) *kin {
	var made *kin
	for {
		if known, found := families.Load(owner.UID); found {
			if its := known.(weak.Pointer[kin]).Value(); its != nil {
				return its
			}
			families.CompareAndDelete(owner.UID, known)
		}
		if made == nil {
			made = &kin{owner: [1]metav1.OwnerReference{owner}, labels: labels}
		}
		pointer := weak.Make(made)
		if _, isThere := families.LoadOrStore(owner.UID, pointer); isThere {
			continue
		}
		runtime.AddCleanup(made, func(uid types.UID) { families.CompareAndDelete(uid, pointer) }, owner.UID)
		return made
	}
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
