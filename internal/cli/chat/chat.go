// Package chat is the command chat: a conversation through a route.
package chat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/modelroute/modelroute/internal/cli/cluster"
	"github.com/modelroute/modelroute/internal/cli/shell"
)

const manual = `Asks a model through its route, streams the answer, and says what it cost and what is left, where
the route tells.

With a prompt there is one answer. Without one, at a terminal, it is a conversation: each line is a
question, the model is told what was said before, and Ctrl-D ends it. Without a terminal the prompt
is what standard input has.

ROUTE is a ModelRoute of the cluster. The key is that of the consumer which --consumer names, else
of the first whose Secret you may read, else OPENAI_API_KEY of the environment. The endpoint is in
the cluster, so it is reached by a port-forward to a pod of the route, for which you need the right
to create pods/portforward; --url is another way to it, such as its Gateway's.

With --url and OPENAI_API_KEY, and without --consumer, no cluster is asked, and ROUTE is the name of
the model. So it reaches a run on this machine as well.`

const examples = `  kubectl-modelroute chat mixtral-8x22b-instruct -n ai-platform "What is a ledger?"
  kubectl-modelroute chat mixtral-8x22b-instruct -n ai-platform --consumer trial
  # A run on this machine:
  set -a; . .modelroute/secrets/ai-platform/mixtral-8x22b-instruct-search.env; set +a
  kubectl-modelroute chat "$MODEL" --url "$OPENAI_BASE_URL" "What is a ledger?"`

// options are what the command is told.
type options struct {
	*shell.Shell
	cluster       cluster.Flags
	url, consumer string
}

// New is the command.
func New(s *shell.Shell) *cobra.Command {
	o := &options{Shell: s}
	command := &cobra.Command{
		Use: "chat ROUTE [PROMPT]", Short: "Ask a model through its route, and see what it cost",
		Long: manual, Example: examples, Args: shell.Words(1, 2, "a ROUTE; which there are: kubectl modelroute models"),
		ValidArgsFunction: o.cluster.CompleteRoutes,
		RunE: func(command *cobra.Command, words []string) error {
			found, err := o.find(command.Context(), words[0])
			if err != nil {
				return err
			}
			defer found.close()
			return o.talk(command.Context(), newConversation(found, s), words[1:])
		},
	}
	o.cluster.Bind(command)
	command.Flags().StringVar(&o.url, "url", "",
		"the base `URL` of the endpoint, such as https://models.example/v1, in the place of a port-forward")
	command.Flags().StringVar(&o.consumer, "consumer", "", "the `CONSUMER` of the route whose key is used")
	return command
}

func (o *options) talk(ctx context.Context, with *conversation, prompt []string) error {
	switch {
	case len(prompt) > 0:
		return with.ask(ctx, prompt[0])
	case o.Interactive:
		return o.converse(ctx, with)
	}
	text, err := io.ReadAll(o.In)
	if err != nil {
		return fmt.Errorf("reading the prompt: %w", err)
	}
	if strings.TrimSpace(string(text)) == "" {
		return shell.Misused("it needs a PROMPT, as the last argument or on standard input")
	}
	return with.ask(ctx, string(text))
}

// converse asks line by line. A question that is refused is told, and does not end the conversation.
func (o *options) converse(ctx context.Context, with *conversation) error {
	fmt.Fprintln(o.Diagnostics, o.Paint(shell.Grey, "Ctrl-D ends the conversation."))
	lines := o.lines(ctx)
	for {
		fmt.Fprint(o.Diagnostics, "> ")
		select {
		case <-ctx.Done():
			return nil
		case line, more := <-lines:
			if !more {
				fmt.Fprintln(o.Diagnostics)
				return nil
			}
			if strings.TrimSpace(line) == "" {
				continue
			}
			if err := with.ask(ctx, line); err != nil && !errors.Is(err, context.Canceled) {
				fmt.Fprintln(o.Diagnostics, o.Paint(shell.Red, err.Error()))
			}
		}
	}
}

// lines are what is typed. A terminal cannot be told to stop reading, so that Ctrl-C must not wait for it.
func (o *options) lines(ctx context.Context) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(o.In); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	return lines
}
