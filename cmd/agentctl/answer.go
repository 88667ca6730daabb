package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"agentd/api"
	"agentd/journal"
)

func (a *app) answerCmd() *cobra.Command {
	var reason, scope, rule string
	var yes bool
	c := &cobra.Command{
		Use:   "answer RUN ASK ANSWER",
		Short: "Answer what a run asks",
		Long: "Answer what a run asks: allow or deny for a call; done (it took effect), again (run it anew) or skip for one in doubt; words for a question.\n" +
			"agentctl show RUN lists the open asks. ASK may be left out when one is open.\n\n" +
			"An allowance is for this call alone. With --for run it also answers what a rule holds of, until the run ends; with --for always the rule is added to " +
			"granted.yaml beside the configuration, after you have seen it. Without --rule the narrowest that the daemon proposes is taken. No rule turns what policy denies.",
		Example: `agentctl answer last allow
agentctl answer last deny --reason 'ask me again after the tests pass'
agentctl answer last allow --for run
agentctl answer last allow --for always --rule 'tool == "shell" && all(cmds, .name == "git" && not .dynamic)'`,
		Args: between(2, -1),
		RunE: a.withRun(func(ctx context.Context, c *api.Client, run journal.RunID, args []string) error {
			ask, words, err := a.askOf(ctx, c, run, args)
			if err != nil {
				return err
			}
			answer := api.Answer{Answer: words, Reason: reason, Rule: rule}
			switch scope {
			case "once":
				if rule != "" {
					return invalid("add --for run or --for always", "--rule is nothing for this call alone")
				}
			case "run", "always":
				answer.Scope = journal.Scope(scope)
				if err := a.ruleFor(ctx, c, run, ask, &answer, yes); err != nil {
					return err
				}
			default:
				return invalid("", "--for is %q: it is once, run or always", scope)
			}
			if err := c.Answer(ctx, run, ask, answer); err != nil {
				return err
			}
			a.note("answered; watch it: agentctl events -f %s", run)
			return nil
		}),
	}
	c.Flags().StringVar(&reason, "reason", "", "why, told to the agent")
	c.Flags().StringVar(&scope, "for", "once", "once, run or always: what else is allowed")
	c.Flags().StringVar(&rule, "rule", "", "condition of the rule for --for run or always, as in docs/policy.md")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "add the rule of --for always without asking")
	_ = c.RegisterFlagCompletionFunc("for", cobra.FixedCompletions([]string{"once", "run", "always"}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that is not there
	return c
}

// ruleFor finds the rule of an allowance for more than once and shows it. One that nobody wrote is added for always only when a person says so.
func (a *app) ruleFor(ctx context.Context, c *api.Client, run journal.RunID, ask string, answer *api.Answer, yes bool) error {
	if answer.Answer != "allow" {
		return invalid("answer allow", "--for %s goes with allow alone", answer.Scope)
	}
	written := answer.Rule != ""
	offer, err := c.AskRules(ctx, run, ask)
	if err != nil {
		return err
	}
	if !written {
		if answer.Rule, err = firstRule(offer, answer.Scope); err != nil {
			return err
		}
	}
	if answer.Scope != journal.ScopeAlways {
		a.note("for this run: allow when %s", clean(answer.Rule))
		return nil
	}
	a.note("%s\n  to %s", ruleText(answer.Rule), clean(offer.File))
	if written || yes {
		return nil
	}
	if !terminal(a.stdin) {
		return invalid("add --yes to add this rule, or write another with --rule", "nobody is here to look at the rule")
	}
	fmt.Fprint(a.stderr, "add it? (y/n) ")
	text, err := bufio.NewReader(io.LimitReader(a.stdin, 100)).ReadString('\n')
	if err != nil {
		return invalid("", "the question was not answered: %v", err)
	}
	if w := strings.ToLower(strings.TrimSpace(text)); w != "y" && w != "yes" {
		return invalid("agentctl answer "+string(run)+" allow is for this call alone", "not added, and the ask is still open")
	}
	return nil
}

// firstRule is the narrowest rule that is proposed for a scope.
func firstRule(offer api.AskRules, scope journal.Scope) (string, error) {
	list := offer.Run
	if scope == journal.ScopeAlways {
		list = offer.Always
	}
	if len(list) == 0 {
		return "", invalid("allow it once, or write one: --rule", "no rule would answer this ask%s", dash(line(offer.Note, 300)))
	}
	return list[0], nil
}

// ruleText is a rule as it stands in the file.
func ruleText(rule string) string { return "  - when: " + clean(rule) + "\n    do: allow" }
