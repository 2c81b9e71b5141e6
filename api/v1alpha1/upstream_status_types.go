package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// UpstreamStatus shows the prices and the budgets of an upstream, and compares what it has billed to its API key with what was spent here
// by all routes that use the same key, at those of their upstreams that do. All amounts are in USD with up to nine decimals. The comparison
// begins anew when the key changes, or which upstreams of which routes use it.
type UpstreamStatus struct {
	// name is the upstream's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name,omitempty"`

	// baseURL is where the upstream is, and model what the model is called there. A price that was adopted is that of this model there.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	BaseURL string `json:"baseURL,omitempty"`

	// model is described with baseURL.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Model string `json:"model,omitempty"`

	// pricing is what requests are reserved and, where the upstream does not report what it billed, booked at. Absent: no price is known,
	// and what the upstream reports is counted.
	// +optional
	Pricing Pricing `json:"pricing,omitzero"`

	// pricingSource is where pricing is from: Route if the route says it, Upstream if it was adopted from the upstream's list of models,
	// BuiltIn if it was adopted from the built-in catalog. Absent: no price is known.
	// +optional
	PricingSource PricingSource `json:"pricingSource,omitempty"`

	// listedPricing is what the upstream lists at present, if that is something else; see the condition PricesCurrent.
	// +optional
	ListedPricing Pricing `json:"listedPricing,omitzero"`

	// provisionedKey is the API key that was made for this upstream; absent if there is none.
	// +optional
	ProvisionedKey *ProvisionedKeyStatus `json:"provisionedKey,omitempty"`

	// budgets are the upstream's budgets in their present windows.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Budgets []BudgetStatus `json:"budgets,omitempty"`

	// since is when the comparison began.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// billed is what the upstream has billed to the key since then, in USD.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Billed string `json:"billed,omitempty"`

	// settled is what these routes are known to have spent since then, in USD. It is without what is uncertain.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Settled string `json:"settled,omitempty"`

	// drift is how much more was billed than spent, in USD; negative if more was spent than billed. What either side may book yet, and what
	// is uncertain, is no drift.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Drift string `json:"drift,omitempty"`

	// state is Agreeing, or Drifting if the drift is more than 0.01 USD and more than 1 % of what was billed or settled.
	// +optional
	State BooksState `json:"state,omitempty"`

	// updateTime is when these figures were last written, which they are when they change.
	// +optional
	UpdateTime metav1.Time `json:"updateTime,omitzero"`

	// baseline is what the comparison starts from.
	// +optional
	Baseline *BooksBaseline `json:"baseline,omitempty"`
}

// ProvisionedKeyStatus is an API key that was made at an upstream.
type ProvisionedKeyStatus struct {
	// hash is the upstream's identifier of the key. It is not the key.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Hash string `json:"hash,omitempty"`

	// limit is what the key may spend, for example 550.00 USD monthly; none if no budget denies. When it is less than it was, the key may
	// spend more until the upstream's window ends.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Limit string `json:"limit,omitempty"`

	// createTime is when it was made.
	// +optional
	CreateTime metav1.Time `json:"createTime,omitzero"`

	// previousHashes are the identifiers of keys that were replaced and have still to be deleted.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=128
	PreviousHashes []string `json:"previousHashes,omitempty"`
}

// PricingSource is where a price is from.
//
// +kubebuilder:validation:Enum=Route;Upstream;BuiltIn
type PricingSource string

const (
	// PricingFromRoute is a price that the route says.
	PricingFromRoute PricingSource = "Route"
	// PricingFromUpstream is one that was adopted from the upstream's list of models.
	PricingFromUpstream PricingSource = "Upstream"
	// PricingBuiltIn is one that was adopted from the built-in catalog.
	PricingBuiltIn PricingSource = "BuiltIn"
)

// BooksState says whether an upstream's books and ours agree.
//
// +kubebuilder:validation:Enum=Agreeing;Drifting
type BooksState string

const (
	// BooksAgreeing means that what was billed is what was spent, as far as can be known.
	BooksAgreeing BooksState = "Agreeing"
	// BooksDrifting means that the upstream has billed more, or less, than was spent here.
	BooksDrifting BooksState = "Drifting"
)

// BooksBaseline is how both books stood when the comparison began, and when both were sure to have all that was spent until then. It lets
// another manager go on with the comparison.
type BooksBaseline struct {
	// id stands for the key and for the upstreams of routes that use it.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id,omitempty"`

	// billedFrom is what the upstream had ever billed to the key when the comparison began, and billedTo a few minutes later, in USD.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	BilledFrom string `json:"billedFrom,omitempty"`

	// billedTo is described with billedFrom.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	BilledTo string `json:"billedTo,omitempty"`

	// settledFrom is what the routes were known to have spent when the comparison began, in USD.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	SettledFrom string `json:"settledFrom,omitempty"`

	// spentTo is what they had spent a few minutes later, in USD, what was uncertain included.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	SpentTo string `json:"spentTo,omitempty"`
}
