package apply

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NotOwnedError says that an object under a name that is needed is not controlled by the owner.
type NotOwnedError struct {
	Kind, Name string
	// Leaving is true if the object is on its way out: it is being deleted, or belongs to an earlier owner of the same name. Then waiting
	// helps.
	Leaving bool
}

// Error names the object by kind and name.
func (e *NotOwnedError) Error() string {
	return fmt.Sprintf("%s %q is not controlled by this object", e.Kind, e.Name)
}

// WriteError says that the API server refused to write or delete a child.
type WriteError struct {
	Kind string
	Err  error
}

// Error names the kind; the reason is in the wrapped error.
func (e *WriteError) Error() string { return fmt.Sprintf("writing the %s: %v", e.Kind, e.Err) }

// Unwrap returns the API server's error.
func (e *WriteError) Unwrap() error { return e.Err }

// Reason is the API server's word for why, such as Forbidden; "" if it never answered. Unlike the error's text it is the same each time.
func (e *WriteError) Reason() metav1.StatusReason { return apierrors.ReasonForError(e.Err) }

// NamespaceLeaves reports whether the child could not be made because its namespace is being deleted.
func (e *WriteError) NamespaceLeaves() bool {
	return apierrors.HasStatusCause(e.Err, corev1.NamespaceTerminatingCause)
}

// Causes are the API server's words on what is wrong with which field, sorted; nil if it did not say.
func (e *WriteError) Causes() []string {
	status, answered := errors.AsType[*apierrors.StatusError](e.Err)
	if !answered || status.ErrStatus.Details == nil {
		return nil
	}
	causes := make([]string, 0, len(status.ErrStatus.Details.Causes))
	for _, cause := range status.ErrStatus.Details.Causes {
		causes = append(causes, cause.Field+": "+cause.Message)
	}
	slices.Sort(causes)
	return causes
}
