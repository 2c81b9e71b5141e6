package upstream

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// limitReset is when what was spent of a key's limit starts again at nothing: at midnight UTC, and weeks are Monday to Sunday.
type limitReset string

const (
	daily   limitReset = "daily"
	weekly  limitReset = "weekly"
	monthly limitReset = "monthly"
)

// began is the day, since 1970, with which the window began that now is in. Without a reset there is one window, of all days.
func (l limitReset) began(now time.Time) int64 {
	now = now.UTC()
	switch l {
	case daily:
		return dayOf(now)
	case weekly:
		return dayOf(now.AddDate(0, 0, -(int(now.Weekday())+6)%7))
	case monthly:
		return dayOf(time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC))
	}
	return 0
}

const (
	// managedPrefix begins the keys that are made here: AnyKey does not accept one that was deleted.
	managedPrefix = "sk-or-v1-managed-"
	// keysPerPage is how many keys one page of the list has.
	keysPerPage = 100
	maxKeyName  = 255
)

// managedKey is a key that a management key made.
type managedKey struct {
	account

	name             string
	number           int // counts keys, so that those of one instant have an order
	created, updated time.Time
}

// managedKeyData is what the management API tells of a key. It never has the key itself.
type managedKeyData struct {
	keyUsage

	Hash          string  `json:"hash"`
	Name          string  `json:"name"`
	Label         string  `json:"label"`
	Disabled      bool    `json:"disabled"`
	CreatedAt     string  `json:"created_at"`
	UpdatedAt     *string `json:"updated_at"`
	ExpiresAt     *string `json:"expires_at"`
	CreatorUserID string  `json:"creator_user_id"`
	WorkspaceID   string  `json:"workspace_id"`
}

// managed lets only management keys in.
func (s *Server) managed(serve handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		caller, err := s.keys.authenticate(openRouterAPI{}.secret(r.Header))
		if err == nil {
			err = mayManage(caller)
		}
		if err != nil {
			return err
		}
		return serve(w, r)
	}
}

func (s *Server) describe(key managedKey) managedKeyData {
	data := managedKeyData{
		keyUsage: s.usageOf(key.account), Hash: key.hash, Name: key.name, Label: key.label, Disabled: key.disabled,
		CreatedAt: key.created.UTC().Format(time.RFC3339Nano), CreatorUserID: "user_upstream", WorkspaceID: "workspace_upstream",
	}
	if !key.updated.IsZero() {
		data.UpdatedAt = new(key.updated.UTC().Format(time.RFC3339Nano))
	}
	return data
}

// serveKeys answers GET /keys: a page of the keys, the newest first, and of those that are disabled only where that is asked for.
func (s *Server) serveKeys(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	offset := 0
	if text := query.Get("offset"); text != "" {
		var err error
		if offset, err = strconv.Atoi(text); err != nil || offset < 0 {
			return badRequest(`Invalid input for "offset": expected a number from 0 on`)
		}
	}
	keys := s.keys.list(query.Get("include_disabled") == "true")
	page := keys[min(offset, len(keys)):min(offset+keysPerPage, len(keys))]
	data := make([]managedKeyData, 0, len(page))
	for _, key := range page {
		data = append(data, s.describe(key))
	}
	writeJSON(w, http.StatusOK, envelope{data})
	return nil
}

func (k *keyring) list(disabledToo bool) []managedKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := make([]managedKey, 0, len(k.managed))
	for _, key := range k.managed {
		if disabledToo || !key.disabled {
			keys = append(keys, *key)
		}
	}
	slices.SortFunc(keys, func(a, b managedKey) int { return cmp.Compare(b.number, a.number) })
	return keys
}

// serveCreateKey answers POST /keys. This is the only time that the key is shown.
func (s *Server) serveCreateKey(w http.ResponseWriter, r *http.Request) error {
	key := managedKey{account: account{limit: NoLimit}, created: s.Now()}
	if err := key.change(r); err != nil {
		return err
	}
	if key.name == "" {
		return badRequest(`Invalid input for "name": required`)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails.
	secret := managedPrefix + hex.EncodeToString(random[:])
	key.hash = hashOf(secret)
	key.label = secret[:len(managedPrefix)+3] + "..." + secret[len(secret)-4:]
	s.keys.add(key)
	writeJSON(w, http.StatusCreated, struct {
		Data managedKeyData `json:"data"`
		Key  string         `json:"key"`
	}{s.describe(key), secret})
	return nil
}

func (k *keyring) add(key managedKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, other := range k.managed {
		key.number = max(key.number, other.number+1)
	}
	k.managed[key.hash] = &key
}

func (s *Server) serveManagedKey(w http.ResponseWriter, r *http.Request) error {
	key, err := s.keys.find(r.PathValue("hash"))
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, envelope{s.describe(key)})
	return nil
}

func (k *keyring) find(hash string) (managedKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, found := k.managed[hash]; found {
		return *key, nil
	}
	return managedKey{}, newError(http.StatusNotFound, "API key not found")
}

// serveUpdateKey answers PATCH /keys/HASH, which changes what is in the body and leaves the rest. What was spent stays spent.
func (s *Server) serveUpdateKey(w http.ResponseWriter, r *http.Request) error {
	key, err := s.keys.find(r.PathValue("hash"))
	if err != nil {
		return err
	}
	key.updated = s.Now()
	if err := key.change(r); err != nil {
		return err
	}
	if err := s.keys.replace(key); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, envelope{s.describe(key)})
	return nil
}

func (k *keyring) replace(key managedKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.managed[key.hash] == nil {
		return newError(http.StatusNotFound, "API key not found")
	}
	k.managed[key.hash] = &key
	return nil
}

// serveDeleteKey answers DELETE /keys/HASH. The key is refused from then on.
func (s *Server) serveDeleteKey(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.keys.find(r.PathValue("hash")); err != nil {
		return err
	}
	s.keys.mu.Lock()
	delete(s.keys.managed, r.PathValue("hash"))
	s.keys.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]bool{"deleted": true})
	return nil
}

// change reads a body onto the key: an absent field is left, and null means none.
func (m *managedKey) change(r *http.Request) error {
	var body map[string]json.RawMessage
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&body); err != nil {
		return badRequest("Invalid JSON body")
	}
	for field, raw := range body {
		if !m.set(field, raw) {
			return badRequest("Invalid input for %q", field)
		}
	}
	return nil
}

// set changes one field; false if there is none of that name or of that value.
func (m *managedKey) set(field string, raw json.RawMessage) bool {
	isNull := string(raw) == "null"
	switch field {
	case "name":
		return json.Unmarshal(raw, &m.name) == nil && m.name != "" && len(m.name) <= maxKeyName
	case "disabled":
		return !isNull && json.Unmarshal(raw, &m.disabled) == nil
	case "include_byok_in_limit":
		return !isNull && json.Unmarshal(raw, &m.includeBYOK) == nil
	case "limit":
		if isNull {
			m.limit = NoLimit
			return true
		}
		limit, isAmount := ParseUSD(strings.TrimSpace(string(raw)))
		m.limit = limit
		return isAmount
	case "limit_reset":
		m.reset = ""
		return json.Unmarshal(raw, &m.reset) == nil && slices.Contains([]limitReset{"", daily, weekly, monthly}, m.reset)
	}
	return false
}
