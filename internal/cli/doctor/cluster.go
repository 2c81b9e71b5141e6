package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/rest"

	"github.com/modelroute/modelroute/internal/cli/cluster"
)

// oldest is the first Kubernetes that knows all fields of the manifests; docs/install.md says so.
var oldest = utilversion.MustParseGeneric("1.30")

// tolerated is how far this machine's clock and the API server's may be apart.
const tolerated = 30 * time.Second

// checkCluster looks for the API server, its version and its clock. It returns false if it cannot be reached.
func (o *options) checkCluster(ctx context.Context, in *cluster.Cluster) (findings []finding, reached bool) {
	kubernetes, date, err := ask(ctx, in.Config)
	if err != nil {
		return []finding{{
			Check: "cluster", State: problem, Says: "The API server at " + in.Config.Host + " does not answer: " + err.Error(),
			Mend: "Which cluster is meant: kubectl config current-context; another one: --context",
		}}, false
	}
	return []finding{ofVersion(kubernetes, in.Config.Host), ofClock(date, o.Clock.Now())}, true
}

// ask asks the API server for its version, and what time it has.
func ask(ctx context.Context, config *rest.Config) (info version.Info, date time.Time, err error) {
	base, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return info, date, err
	}
	asking, err := rest.HTTPClientFor(config)
	if err != nil {
		return info, date, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("version").String(), http.NoBody)
	if err != nil {
		return info, date, err
	}
	answer, err := asking.Do(request)
	if err != nil {
		return info, date, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return info, date, fmt.Errorf("it answers %s", answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&info); err != nil {
		return info, date, fmt.Errorf("reading its version: %w", err)
	}
	date, err = http.ParseTime(answer.Header.Get("Date"))
	return info, date, err
}

func ofVersion(kubernetes version.Info, host string) finding {
	found, err := utilversion.ParseGeneric(kubernetes.GitVersion)
	if err != nil || found.LessThan(oldest) {
		return finding{
			Check: "cluster", State: problem, Says: fmt.Sprintf("Kubernetes %s is older than %s.", kubernetes.GitVersion, oldest),
			Mend: "Upgrade the cluster: an older one drops fields of the manifests without a word.",
		}
	}
	return finding{Check: "cluster", State: good, Says: "Kubernetes " + kubernetes.GitVersion + " at " + host}
}

// ofClock compares clocks. The header has whole seconds.
func ofClock(theirs, ours time.Time) finding {
	apart := ours.Sub(theirs).Round(time.Second)
	if apart.Abs() > tolerated {
		return finding{
			Check: "clock", State: warning,
			Says: fmt.Sprintf("This machine's clock and the API server's are %s apart.", apart.Abs()),
			Mend: "Have both follow a time server. Budgets' windows go by the ledger's clock, and expireTime by the proxies'.",
		}
	}
	return finding{Check: "clock", State: good, Says: "This machine and the API server agree on the time."}
}

// unseen is the finding of a check whose objects could not be read.
func unseen(check, what string, err error) finding {
	if apierrors.IsForbidden(err) {
		return finding{Check: check, State: notChecked, Says: "You may not look at " + what + "."}
	}
	lines := strings.SplitN(cluster.Explain(err, "look at "+what).Error(), "\n", 2)
	return finding{Check: check, State: problem, Says: lines[0], Mend: strings.Join(lines[1:], "")}
}
