package budget

import "strings"

// Owner names who has accounts that several routes share: a team, or a key that is good for several routes. Like a scope, it is made of
// names, so that what was spent is not forgotten when the object that declares it is deleted and applied again.
type Owner string

const (
	teamPrefix = "team/"
	keyPrefix  = "key/"
)

// TeamOwner is the owner of a team's accounts: "team/TEAM".
func TeamOwner(team string) Owner { return Owner(teamPrefix + team) }

// KeyOwner is the owner of a key's accounts over all of its routes: "key/NAMESPACE/NAME".
func KeyOwner(namespace, name string) Owner { return Owner(keyPrefix + namespace + "/" + name) }

// IsValid reports whether the owner is a team or a key.
func (o Owner) IsValid() bool {
	if team, is := o.Team(); is {
		return team != ""
	}
	key, is := strings.CutPrefix(string(o), keyPrefix)
	namespace, name, split := strings.Cut(key, "/")
	return is && split && namespace != "" && name != "" && !strings.Contains(name, "/")
}

// Pays reports whether what a consumer that draws on the owner spends in a team's name counts for the owner: for a team only what is spent
// in its own name, so that it stays with it when the consumer goes over to another one, and for a key everything.
func (o Owner) Pays(team string) bool {
	own, isTeam := o.Team()
	return !isTeam || own == team
}

// Words names the owner for people: "team search", "key ai/bot".
func (o Owner) Words() string { return strings.Replace(string(o), "/", " ", 1) }

// Key returns NAMESPACE/NAME of the key that the owner is; false if it is a team.
func (o Owner) Key() (string, bool) { return strings.CutPrefix(string(o), keyPrefix) }

// Team returns the team that the owner is; false if it is a key.
func (o Owner) Team() (string, bool) { return strings.CutPrefix(string(o), teamPrefix) }
