package v1alpha1

// The types of a ModelRoute's conditions.
const (
	// ConditionAccepted is True when the spec is valid and was compiled.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs is True when each Secret and key that the spec names exists.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionProgrammed is True when every ready proxy has acknowledged that it serves this generation.
	ConditionProgrammed = "Programmed"
	// ConditionAvailable is True when enough proxies are ready.
	ConditionAvailable = "Available"
	// ConditionWithinBudget is True when no Deny budget is used up. It is not part of Ready.
	ConditionWithinBudget = "WithinBudget"
	// ConditionPricesCurrent is True when what the upstreams list is what requests are reserved at. It is there where a list is read, and
	// not part of Ready.
	ConditionPricesCurrent = "PricesCurrent"
	// ConditionUpstreamKeysProvisioned is True when each API key that is to be made at an upstream is made, has its limit, and none is left
	// that is not needed. It is there where keys are made, and not part of Ready: a key that is there goes on working.
	ConditionUpstreamKeysProvisioned = "UpstreamKeysProvisioned"
	// ConditionSuspended is there, and True, while the annotation modelroute.dev/suspended has the proxies refuse requests. It is not part
	// of Ready: Programmed says whether they already do.
	ConditionSuspended = "Suspended"
	// ConditionPublished is True when the Gateways of proxy.httpRoute serve the endpoint. It is there where the route asks for that, and
	// not part of Ready: within the cluster it serves anyway.
	ConditionPublished = "Published"
	// ConditionMonitored is True when the PodMonitor of proxy.podMonitor is there. It is there where the route asks for that, and not part
	// of Ready.
	ConditionMonitored = "Monitored"
	// ConditionReady is True when Accepted, ResolvedRefs, Programmed and Available are.
	ConditionReady = "Ready"
	// ConditionReconciling is there, and True, while the operator is at work towards the spec.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is there, and True, while only a change by a person can help.
	ConditionStalled = "Stalled"
)

// Reasons of Accepted.
const (
	// ReasonAccepted means that the spec is valid.
	ReasonAccepted = "Accepted"
	// ReasonInvalid means that the spec contradicts itself or names something unknown; the message says which field.
	ReasonInvalid = "Invalid"
	// ReasonListPending means that the route leaves out what an upstream's list of models may have, which was not read yet.
	ReasonListPending = "ListPending"
)

// Reasons of PricesCurrent.
const (
	// ReasonPricesCurrent means that the prices in force are those that the upstreams list.
	ReasonPricesCurrent = "PricesCurrent"
	// ReasonPriceChanged means that an upstream lists another price than the one in force.
	ReasonPriceChanged = "PriceChanged"
	// ReasonListUnavailable means that an upstream's list of models cannot be read, or does not have the model's price.
	ReasonListUnavailable = "ListUnavailable"
)

// Reasons of ResolvedRefs.
const (
	// ReasonResolvedRefs means that everything that the spec refers to is there.
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonSecretNotFound means that a Secret that the spec names does not exist.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretKeyMissing means that a Secret lacks the key that the spec names, or that the key is empty.
	ReasonSecretKeyMissing = "SecretKeyMissing"
	// ReasonConfigMapNotFound means that a ConfigMap that the spec names does not exist.
	ReasonConfigMapNotFound = "ConfigMapNotFound"
	// ReasonConfigMapKeyMissing means that a ConfigMap lacks the key that the spec names, or that the key is empty.
	ReasonConfigMapKeyMissing = "ConfigMapKeyMissing"
	// ReasonRefNotPermitted means that the manager has no right to read what the spec names.
	ReasonRefNotPermitted = "RefNotPermitted"
	// ReasonCABundleInvalid means that what the spec names as certificates is none.
	ReasonCABundleInvalid = "CABundleInvalid"
	// ReasonGatewayNotFound means that the ModelGateway that a route names does not exist.
	ReasonGatewayNotFound = "GatewayNotFound"
	// ReasonCertificateInvalid means that clients could not be served under the certificate of proxy.tls.
	ReasonCertificateInvalid = "CertificateInvalid"
)

// ReasonUpstreamKeyPending is a reason of ResolvedRefs and of UpstreamKeysProvisioned: a key is still to be made at the upstream.
const ReasonUpstreamKeyPending = "UpstreamKeyPending"

// Reasons of UpstreamKeysProvisioned, beside those of ResolvedRefs.
const (
	// ReasonUpstreamKeysProvisioned means that all keys are as they should be.
	ReasonUpstreamKeysProvisioned = "UpstreamKeysProvisioned"
	// ReasonProvisioningFailed means that the upstream refused to make or change a key, or could not be asked.
	ReasonProvisioningFailed = "ProvisioningFailed"
	// ReasonUpstreamKeyDisabled means that somebody has disabled a key at the upstream.
	ReasonUpstreamKeyDisabled = "UpstreamKeyDisabled"
	// ReasonRevocationPending means that a key that is not needed any more could not be deleted at the upstream yet.
	ReasonRevocationPending = "RevocationPending"
)

// Reasons of what has to do with ServiceAccounts: of ResolvedRefs, and of Accepted of a ModelKey.
const (
	// ReasonServiceAccountNotFound means that a ServiceAccount that the spec names does not exist, or cannot be read.
	ReasonServiceAccountNotFound = "ServiceAccountNotFound"
	// ReasonServiceAccountTaken means that a ServiceAccount already stands for another consumer of a route.
	ReasonServiceAccountTaken = "ServiceAccountTaken"
	// ReasonIssuerUnavailable means that the API server does not tell the manager by which keys it signs tokens.
	ReasonIssuerUnavailable = "IssuerUnavailable"
)

// Reasons of what has to do with teams: of ResolvedRefs, and of Accepted of a TeamBudget.
const (
	// ReasonTeamNotAllowed means that a consumer names a team in whose name its namespace may not spend; it is not served.
	ReasonTeamNotAllowed = "TeamNotAllowed"
	// ReasonSuperseded means that an older TeamBudget names the same team.
	ReasonSuperseded = "Superseded"
)

// Reasons of Programmed.
const (
	// ReasonProgrammed means that every ready proxy serves this generation.
	ReasonProgrammed = "Programmed"
	// ReasonPending means that proxies have still to acknowledge this generation.
	ReasonPending = "Pending"
	// ReasonLastGood means that the spec cannot be served and that the proxies go on serving the last one that could.
	ReasonLastGood = "ServingLastGood"
	// ReasonLedgerUnavailable means that the ledger cannot be reached.
	ReasonLedgerUnavailable = "LedgerUnavailable"
	// ReasonNotInGateway means that the ModelGateway that a route names does not serve it; the message says why.
	ReasonNotInGateway = "NotInGateway"
	// ReasonChildNotOwned means that an object under a name that the route needs belongs to somebody else.
	ReasonChildNotOwned = "ChildNotOwned"
)

// Reasons of Available.
const (
	// ReasonAvailable means that enough proxies are ready.
	ReasonAvailable = "Available"
	// ReasonUnavailable means that too few proxies are ready.
	ReasonUnavailable = "Unavailable"
)

// Reasons of WithinBudget.
const (
	// ReasonWithinBudget means that no Deny budget is used up.
	ReasonWithinBudget = "WithinBudget"
	// ReasonBudgetExhausted means that a Deny budget is used up: requests are denied.
	ReasonBudgetExhausted = "BudgetExhausted"
	// ReasonNoBudget means that spend is counted and not limited.
	ReasonNoBudget = "NoBudget"
)

// Reasons of Published and Monitored, beside ReasonPending and ReasonChildNotOwned.
const (
	// ReasonPublished means that every Gateway has accepted the HTTPRoute.
	ReasonPublished = "Published"
	// ReasonGatewayRefused means that a Gateway does not serve the HTTPRoute; the message has its words.
	ReasonGatewayRefused = "GatewayRefused"
	// ReasonMonitored means that the PodMonitor is there.
	ReasonMonitored = "Monitored"
	// ReasonKindNotInstalled means that the cluster does not have the kind of object that is asked for.
	ReasonKindNotInstalled = "KindNotInstalled"
	// ReasonChildRefused means that the API server does not take the object; the message says what is wrong with it.
	ReasonChildRefused = "ChildRefused"
)

// Reasons of a ModelKey's conditions, beside those of routes.
const (
	// ReasonExpired means that the ModelKey's expireTime is over.
	ReasonExpired = "Expired"
	// ReasonNotAllowed means that a route does not allow ModelKeys of this namespace.
	ReasonNotAllowed = "NotAllowed"
	// ReasonTooManyKeys means that a route has as many ModelKeys as it can.
	ReasonTooManyKeys = "TooManyKeys"
	// ReasonRouteNotFound means that a route that the spec names does not exist.
	ReasonRouteNotFound = "RouteNotFound"
	// ReasonModelNameTaken means that another route that the spec names has a model of the same name in the same ModelGateway.
	ReasonModelNameTaken = "ModelNameTaken"
)

// ReasonSuspended is the reason of Suspended: somebody asked for it.
const ReasonSuspended = "Suspended"

// Reasons of Ready and of several conditions.
const (
	// ReasonReady means that the proxies serve this generation of the route.
	ReasonReady = "Ready"
	// ReasonInternalError means that something failed that the operator will try again; its log says what.
	ReasonInternalError = "InternalError"
	// ReasonNotObserved means that this could not be looked at, since something earlier failed.
	ReasonNotObserved = "NotObserved"
)

// AnnotationSuspended has the proxies of a route refuse requests, while its value is "true". It is an annotation, since GitOps tools undo a
// change of the spec that is not in git.
const AnnotationSuspended = "modelroute.dev/suspended"

const (
	// FinalizerUpstreamKeys keeps a route that has keys at an upstream until they are deleted there, but no longer than ten minutes.
	FinalizerUpstreamKeys = "modelroute.dev/upstream-keys"
	// AnnotationAbandonUpstreamKeys lets a route that is being deleted go without its keys at an upstream being deleted there, while its
	// value is "true".
	AnnotationAbandonUpstreamKeys = "modelroute.dev/abandon-upstream-keys"
	// AnnotationUpstreamKeyRecord says, on a Secret with the key of an upstream, which keys were made there. It is the operator's.
	AnnotationUpstreamKeyRecord = "modelroute.dev/upstream-key-record"
)

// Labels and annotations of the objects that are made for a route.
const (
	// LabelRoute has the name of the route that an object was made for.
	LabelRoute = "modelroute.dev/route"
	// LabelGateway has the name of the ModelGateway that an object was made for.
	LabelGateway = "modelroute.dev/gateway"
	// LabelModelKey has the name of the ModelKey that a Secret was made for.
	LabelModelKey = "modelroute.dev/model-key"
	// LabelUpstreamKey has the name of the route that a Secret was made for which has the key of one of its upstreams; LabelUpstream has
	// the name of the upstream.
	LabelUpstreamKey = "modelroute.dev/upstream-key"
	// LabelUpstream is described with LabelUpstreamKey.
	LabelUpstream = "modelroute.dev/upstream"
	// AnnotationRotate, on a ModelRoute or a ModelKey, asks for new keys: each value that it is given replaces them once.
	AnnotationRotate = "modelroute.dev/rotate"
	// LabelConsumer has the name of the consumer that a Secret was made for.
	LabelConsumer = "modelroute.dev/consumer"
	// LabelManagedBy is the well-known label; ManagedBy is its value on all that the operator makes.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "modelroute"
)
