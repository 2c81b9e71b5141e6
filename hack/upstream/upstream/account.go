package upstream

import (
	"encoding/json"
	"net/http"
	"time"
)

func usd(nano int64) json.Number { return json.Number(FormatUSD(nano)) }

// optionalUSD is null for a negative amount, which is how "no limit" is kept.
func optionalUSD(nano int64) *json.Number {
	if nano < 0 {
		return nil
	}
	n := usd(nano)
	return &n
}

type envelope struct {
	Data any `json:"data"`
}

type keyData struct {
	keyUsage

	Label           string    `json:"label"`
	IsFreeTier      bool      `json:"is_free_tier"`
	IsManagementKey bool      `json:"is_management_key"`
	ExpiresAt       *string   `json:"expires_at"`
	CreatorUserID   string    `json:"creator_user_id"`
	RateLimit       rateLimit `json:"rate_limit"`
}

// keyUsage is what a key may spend and has spent. Windows are UTC, weeks begin on Monday.
type keyUsage struct {
	Limit              *json.Number `json:"limit"`
	LimitRemaining     *json.Number `json:"limit_remaining"`
	LimitReset         *limitReset  `json:"limit_reset"`
	IncludeBYOKInLimit bool         `json:"include_byok_in_limit"`
	Usage              json.Number  `json:"usage"`
	UsageDaily         json.Number  `json:"usage_daily"`
	UsageWeekly        json.Number  `json:"usage_weekly"`
	UsageMonthly       json.Number  `json:"usage_monthly"`
	BYOKUsage          json.Number  `json:"byok_usage"`
	BYOKUsageDaily     json.Number  `json:"byok_usage_daily"`
	BYOKUsageWeekly    json.Number  `json:"byok_usage_weekly"`
	BYOKUsageMonthly   json.Number  `json:"byok_usage_monthly"`
}

type rateLimit struct {
	Requests int    `json:"requests"`
	Interval string `json:"interval"`
	Note     string `json:"note"`
}

// serveKey answers GET /key: what the caller's key has spent.
func (s *Server) serveKey(w http.ResponseWriter, r *http.Request) error {
	payer, err := s.keys.authenticate(openRouterAPI{}.secret(r.Header))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, envelope{keyData{
		keyUsage:        s.usageOf(payer),
		Label:           payer.label,
		CreatorUserID:   "user_upstream",
		IsManagementKey: payer.management,
		RateLimit:       rateLimit{Requests: -1, Interval: "10s", Note: "This field is deprecated and safe to ignore."},
	}})
	return nil
}

// usageOf is what a key has spent, in all and in the windows of today, and what that leaves of its limit.
func (s *Server) usageOf(payer account) keyUsage {
	spent, now := s.books.spent(payer.label), s.Now()
	usage := keyUsage{
		Limit:              optionalUSD(payer.limit),
		IncludeBYOKInLimit: payer.includeBYOK,
		Usage:              usd(spent.credits()),
		UsageDaily:         usd(spent.days.since(daily.began(now))),
		UsageWeekly:        usd(spent.days.since(weekly.began(now))),
		UsageMonthly:       usd(spent.days.since(monthly.began(now))),
		BYOKUsage:          usd(spent.byok),
		BYOKUsageDaily:     usd(spent.byoks.since(daily.began(now))),
		BYOKUsageWeekly:    usd(spent.byoks.since(weekly.began(now))),
		BYOKUsageMonthly:   usd(spent.byoks.since(monthly.began(now))),
	}
	if payer.reset != "" {
		usage.LimitReset = &payer.reset
	}
	if payer.limit >= 0 {
		usage.LimitRemaining = optionalUSD(max(0, payer.limit-s.usedOfLimit(payer)))
	}
	return usage
}

// usedOfLimit is what a key has spent of its limit since that was last reset, in nano-USD.
func (s *Server) usedOfLimit(payer account) int64 {
	spent, began := s.books.spent(payer.label), payer.reset.began(s.Now())
	used := spent.days.since(began)
	if payer.includeBYOK {
		used += spent.byoks.since(began)
	}
	return used
}

func (s *Server) serveCredits(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.keys.authenticate(openRouterAPI{}.secret(r.Header)); err != nil {
		return err
	}
	all := s.books.allCredits()
	writeJSON(w, http.StatusOK, envelope{map[string]json.Number{"total_credits": usd(s.CreditsNano), "total_usage": usd(all)}})
	return nil
}

type generationData struct {
	ID                     string      `json:"id"`
	CreatedAt              string      `json:"created_at"`
	Model                  string      `json:"model"`
	ProviderName           string      `json:"provider_name"`
	ProviderResponses      []attempt   `json:"provider_responses"`
	TotalCost              json.Number `json:"total_cost"`
	Usage                  json.Number `json:"usage"`
	IsBYOK                 bool        `json:"is_byok"`
	UpstreamInferenceCost  json.Number `json:"upstream_inference_cost"`
	CacheDiscount          *string     `json:"cache_discount"`
	TokensPrompt           int         `json:"tokens_prompt"`
	TokensCompletion       int         `json:"tokens_completion"`
	NativeTokensPrompt     int         `json:"native_tokens_prompt"`
	NativeTokensCompletion int         `json:"native_tokens_completion"`
	NativeTokensReasoning  int         `json:"native_tokens_reasoning"`
	NativeTokensCached     int         `json:"native_tokens_cached"`
	Streamed               bool        `json:"streamed"`
	Cancelled              bool        `json:"cancelled"`
	FinishReason           *string     `json:"finish_reason"`
	NativeFinishReason     *string     `json:"native_finish_reason"`
	ServiceTier            string      `json:"service_tier"`
	Latency                int64       `json:"latency"`
	GenerationTime         int64       `json:"generation_time"`
	UpstreamID             string      `json:"upstream_id"`
	RequestID              string      `json:"request_id"`
	SessionID              *string     `json:"session_id"`
}

// attempt is what one provider answered to OpenRouter.
type attempt struct {
	ProviderName   string `json:"provider_name"`
	Status         int    `json:"status"`
	Latency        int64  `json:"latency"`
	IsBYOK         bool   `json:"is_byok"`
	ModelPermaslug string `json:"model_permaslug"`
}

// serveGeneration answers GET /generation?id=, which knows a generation only a while after it was booked.
func (s *Server) serveGeneration(w http.ResponseWriter, r *http.Request) error {
	payer, err := s.keys.authenticate(openRouterAPI{}.secret(r.Header))
	if err != nil {
		return err
	}
	id := r.URL.Query().Get("id")
	if id == "" {
		return badRequest(`Invalid input for "id": required`)
	}
	record, ok := s.books.find(id)
	if !ok || record.KeyHash != payer.hash || s.Now().Before(record.Time.Add(s.GenerationDelay)) {
		return newError(http.StatusNotFound, "Generation %s not found", id)
	}
	writeJSON(w, http.StatusOK, envelope{record.generation()})
	return nil
}

func (r Record) generation() generationData {
	status := http.StatusOK
	if r.FinishReason == finishError {
		status = http.StatusBadGateway
	}
	data := generationData{
		ProviderResponses: []attempt{{r.Provider, status, r.LatencyMillis, r.IsBYOK, r.Model}},
		ID:                r.ID, CreatedAt: r.Time.UTC().Format(time.RFC3339Nano), Model: r.Model, ProviderName: r.Provider,
		TotalCost: usd(r.CostNanoUSD - r.BYOKNanoUSD), Usage: usd(r.CostNanoUSD - r.BYOKNanoUSD),
		IsBYOK: r.IsBYOK, UpstreamInferenceCost: usd(r.BYOKNanoUSD),
		TokensPrompt: r.PromptTokens, TokensCompletion: r.CompletionTokens,
		NativeTokensPrompt: r.PromptTokens, NativeTokensCompletion: r.CompletionTokens, NativeTokensCached: r.CachedTokens,
		Streamed: r.Streamed, Cancelled: r.Cancelled, ServiceTier: r.ServiceTier,
		Latency: r.LatencyMillis, GenerationTime: r.LatencyMillis,
		UpstreamID: "up-" + r.ID, RequestID: "req-" + r.ID,
	}
	if r.FinishReason != "" {
		data.FinishReason, data.NativeFinishReason = &r.FinishReason, &r.FinishReason
	}
	return data
}
