// Package shell is what a command knows of the shell that it was called from: its streams, its environment, and whether a person looks on.
package shell

import (
	"io"
	"os"

	"golang.org/x/term"
	"k8s.io/utils/clock"
)

// Shell is where a command was called from.
type Shell struct {
	In               io.Reader
	Out, Diagnostics io.Writer
	LookupEnv        func(string) (string, bool)
	Clock            clock.WithTicker

	// Watched is true if a person reads Out, and Interactive if the same person can answer at In. Followed is true if a person reads
	// Diagnostics, at a terminal whose lines can be written over.
	Watched, Interactive, Followed bool
	// Colours is true if Out takes colours and nobody has said otherwise.
	Colours bool
}

// Of is the shell of a program with these files. By the environment's NO_COLOR, with any value but none, and by TERM=dumb, it has no
// colours: https://no-color.org. TERM=dumb also writes over no line.
func Of(in, out, diagnostics *os.File, lookupEnv func(string) (string, bool), clock clock.WithTicker) *Shell {
	watched := term.IsTerminal(int(out.Fd()))
	return &Shell{
		In: in, Out: out, Diagnostics: diagnostics, LookupEnv: lookupEnv, Clock: clock,
		Watched: watched, Interactive: watched && term.IsTerminal(int(in.Fd())), Colours: watched && wantsColours(lookupEnv),
		Followed: term.IsTerminal(int(diagnostics.Fd())) && !isDumb(lookupEnv),
	}
}

func wantsColours(lookupEnv func(string) (string, bool)) bool {
	without, _ := lookupEnv("NO_COLOR")
	return without == "" && !isDumb(lookupEnv)
}

func isDumb(lookupEnv func(string) (string, bool)) bool {
	kind, _ := lookupEnv("TERM")
	return kind == "dumb"
}

// Colour is the number of a colour of the terminal's, by ECMA-48.
type Colour string

// The colours that something may have.
const (
	Plain  Colour = ""
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Grey   Colour = "90"
)

// Paint returns the text in a colour, where the shell has colours.
func (s *Shell) Paint(colour Colour, text string) string {
	if colour == Plain || !s.Colours {
		return text
	}
	return "\x1b[" + string(colour) + "m" + text + "\x1b[0m"
}
