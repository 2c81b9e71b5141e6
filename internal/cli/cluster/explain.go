package cluster

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
)

// Explain turns an error of the API server's into one that says what to do next; doing is what was wanted, such as "list ModelRoutes".
func Explain(err error, doing string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s: %w%s", doing, err, next(err))
}

func next(err error) string {
	_, unreachable := errors.AsType[*url.Error](err)
	_, unconnected := errors.AsType[net.Error](err)
	switch {
	case meta.IsNoMatchError(err):
		return "\nThe cluster does not have ModelRoute's kinds. Install it (docs/install.md), or name another cluster with --context"
	case apierrors.IsForbidden(err):
		return "\nAsk whoever administers the cluster for the ClusterRole " + roleFor(err) +
			" there; what you may do: kubectl auth can-i --list"
	case apierrors.IsUnauthorized(err):
		return "\nThe cluster does not know you: log in to it again, or name another user or context with --user or --context"
	case apierrors.IsNotFound(err):
		return "\nWhat there is: kubectl modelroute models --all-namespaces; kubectl modelroute keys list --all-namespaces"
	case unreachable, unconnected:
		return "\nThe cluster cannot be reached. Which one is meant: kubectl config current-context; another one: --context"
	}
	return ""
}

// roleFor is the least of our roles that allows what was forbidden, or Kubernetes' own for what is not ours.
func roleFor(err error) string {
	text := err.Error()
	own := strings.Contains(text, "modelroute.dev")
	reads := strings.Contains(text, "cannot get ") || strings.Contains(text, "cannot list ")
	switch {
	case own && reads:
		return "modelroute-view"
	case own:
		return "modelroute-edit"
	}
	return "edit"
}
