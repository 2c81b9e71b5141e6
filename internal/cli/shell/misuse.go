package shell

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Misuse is a command that was not called as it has to be.
type Misuse struct{ error }

// Misused says how a command was not called as it has to be.
func Misused(format string, arguments ...any) error { return Misuse{fmt.Errorf(format, arguments...)} }

// MisusedBy is Misused for an error that says it already.
func MisusedBy(err error) error { return Misuse{err} }

// Words are how many words a command takes behind its name, and what it calls them.
func Words(least, most int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, words []string) error {
		switch {
		case len(words) > most:
			return Misused("unexpected argument %q", words[most])
		case len(words) < least:
			return Misused("it needs %s", what)
		}
		return nil
	}
}

// OneOf refuses a value of a flag that is not among those that it may have.
func OneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	last := len(allowed) - 1
	return Misused("%s is %q, must be %s or %s", flag, value, strings.Join(allowed[:last], ", "), allowed[last])
}
