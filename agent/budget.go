package agent

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
)

// tight is returned for a call that a bound refuses, with the bound's key.
type tight struct {
	key    string // as it stands in a goal file
	task   string // whose bound it is; "" for the run's
	reason string
}

func (e *tight) Error() string { return e.key + ": " + e.reason }

// ends is the outcome that a refused call dictates, where it is the run's bound that refuses it.
func (e *tight) ends() error { return end(journal.StatusBudget, "%s", e.Error()) }

// bound is one purse that a call is paid from: the run's, or its task's.
type bound struct {
	prefix, task string
	goals.Bounds
	steps  int
	tokens int64
	usd    float64
	active time.Duration
}

// bounds are the purses of a call. Every model call of a run, whatever its purpose, passes here.
func bounds(s *journal.State, now time.Time, task string) []bound {
	b := s.Budget
	all := []bound{{
		prefix: "budget.", Bounds: goals.Bounds{USD: b.USD, Tokens: b.Tokens, Steps: b.Steps},
		steps: s.Spent.Steps, tokens: s.Spent.Tokens, usd: s.Spent.USD,
	}}
	t := s.Tasks[task]
	if t == nil || task == "" {
		return all
	}
	own := b.PerTask
	for _, seed := range s.Start.Goal.Plan.Tasks {
		if t.Seed == seed.ID || task == seed.ID {
			own = within(seed.Budget, own)
		}
	}
	if own == (goals.Bounds{}) {
		return all
	}
	return append(all, bound{prefix: "budget.per_task.", task: task, Bounds: own, steps: t.Steps, tokens: t.Tokens, usd: t.USD, active: now.Sub(t.Began)})
}

// within is the narrower of two bounds, field by field.
func within(a, b goals.Bounds) goals.Bounds {
	return goals.Bounds{USD: narrower(a.USD, b.USD), Tokens: narrower(a.Tokens, b.Tokens), Steps: narrower(a.Steps, b.Steps), Wall: narrower(a.Wall, b.Wall)}
}

func narrower[T cmp.Ordered](a, b T) T {
	var none T
	switch {
	case a <= none:
		return b
	case b <= none:
		return a
	}
	return min(a, b)
}

// fit returns how many tokens a reply may have so that the call's worst case fits what is left in every purse, or a *tight error that
// names the bound which refuses it.
func fit(s *journal.State, now time.Time, info llm.Info, task string, prompt, maxOut, step int) (int, error) {
	if w := s.Budget.Work; w > 0 && s.Spent.Work >= w {
		return 0, &tight{key: "budget.work", reason: fmt.Sprintf("models and tools have worked for %s of %s", s.Spent.Work.Round(time.Second), w)}
	}
	for _, b := range bounds(s, now, task) {
		refuse := func(key, format string, args ...any) (int, error) {
			why := fmt.Sprintf(format, args...)
			if b.task != "" {
				why = "task " + b.task + ": " + why
			}
			return 0, &tight{key: b.prefix + key, task: b.task, reason: why}
		}
		if b.task != "" {
			step = b.steps + 1
		}
		if b.Steps > 0 && step > b.Steps {
			return refuse("steps", "all %d steps are used", b.Steps)
		}
		if b.Wall > 0 && b.active >= b.Wall {
			return refuse("wall", "the time of %s is used", b.Wall)
		}
		if b.Tokens > 0 {
			left := b.Tokens - b.tokens
			if left < int64(prompt+min(minOut, maxOut)) {
				return refuse("tokens", "the next call needs up to %d tokens, %d of %d are left", prompt+maxOut, max(0, left), b.Tokens)
			}
			maxOut = int(min(int64(maxOut), left-int64(prompt)))
		}
		if b.USD <= 0 {
			continue
		}
		_, usd, priced := llm.Worst(info, prompt, maxOut)
		if !priced {
			if s.Budget.Unpriced != "allow" && (s.Start.Goal.Budget.USD > 0 || b.task != "" || s.Budget.Unpriced == "deny") {
				return refuse("usd", "the price of %s is unknown, so no call of it fits a money limit; set its price, drop the limit, or say unpriced: allow", info.Name)
			}
			continue
		}
		left := b.USD - b.usd
		if usd <= left {
			continue
		}
		if out := affordable(info, prompt, left); out >= min(minOut, maxOut) {
			maxOut = min(out, maxOut)
			continue
		}
		return refuse("usd", "the next call costs up to $%.4f, $%.4f of $%.2f are left", usd, max(0, left), b.USD)
	}
	return maxOut, nil
}

// affordable is the longest reply that usd pays for beside the prompt.
func affordable(info llm.Info, prompt int, usd float64) int {
	_, bare, _ := llm.Worst(info, prompt, 0)
	if info.Price.Completion <= 0 || usd < bare {
		return 0
	}
	out := int((usd - bare) / info.Price.Completion * 1e6)
	for out > 0 { // rounding must not cost a hair more than there is
		if _, worst, _ := llm.Worst(info, prompt, out); worst <= usd {
			break
		}
		out--
	}
	return out
}

// bid makes the reservation of a call on a state: the request as it may be sent, and the event that must be on disk before it is.
func bid(s *journal.State, now time.Time, q question, model llm.Model, try int) (asked journal.ModelAsked, req *llm.Request, err error) {
	info := model.Info()
	if req, err = q.build(s, info); err != nil {
		return asked, nil, err
	}
	if info.MaxOut > 0 {
		req.MaxTokens = min(req.MaxTokens, info.MaxOut)
	}
	body, err := model.Encode(req)
	if err != nil {
		return asked, nil, fmt.Errorf("encode the request: %w", err)
	}
	step := s.Spent.Steps
	if try == 1 {
		step++
	}
	prompt := llm.CountPrompt(body, req)
	if req.MaxTokens, err = fit(s, now, info, q.task, prompt, req.MaxTokens, step); err != nil {
		return asked, nil, err
	}
	if body, err = model.Encode(req); err != nil {
		return asked, nil, fmt.Errorf("encode the request: %w", err)
	}
	sum := sha256.Sum256(body)
	tokens, usd, _ := llm.Worst(info, prompt, req.MaxTokens)
	asked = journal.ModelAsked{
		Call: fmt.Sprintf("m%d", s.Spent.Calls+1), Task: q.task, Purpose: q.purpose, Step: step, Model: info.Name,
		BodyHash: hex.EncodeToString(sum[:]), Body: len(body), Prompt: prompt, MaxOut: req.MaxTokens,
		Reserved: tokens, USD: usd, Try: try,
	}
	if req.Temperature != nil {
		asked.Temp = *req.Temperature
	}
	return asked, req, nil
}

// cheaper are the models of a chain that cost less than one of them, the cheapest last resort last: where a call does not fit, they are tried in
// this order.
func cheaper(models []llm.Model, than llm.Model) []llm.Model {
	cost := func(m llm.Model) float64 {
		if p := m.Info().Price; p != nil {
			return p.Prompt + p.Completion
		}
		return -1
	}
	var out []llm.Model
	for _, m := range models {
		if c := cost(m); c >= 0 && (c < cost(than) || cost(than) < 0) {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b llm.Model) int { return cmp.Compare(cost(b), cost(a)) })
	return out
}

// isUSD reports whether a refusal is one of money, which a cheaper model may get around.
func isUSD(err error) bool {
	var t *tight
	return errors.As(err, &t) && strings.HasSuffix(t.key, ".usd")
}

// budgetNews tells the model what is left, from the moment at which 80 % of a bound are used, and more plainly from 95 %. It is a pure
// function of the state.
func budgetNews(s *journal.State, task string) string {
	type left struct {
		what string
		used float64
	}
	var all []left
	add := func(what string, used, of float64) {
		if of > 0 && used/of >= 0.8 {
			all = append(all, left{what, used / of})
		}
	}
	for _, b := range bounds(s, s.Updated, task) {
		whose := ""
		if b.task != "" {
			whose = " of this task"
		}
		settled := b.tokens
		if b.task == "" {
			settled -= s.Spent.Reserved
		}
		add(fmt.Sprintf("%d tokens%s", max(0, b.Tokens-settled), whose), float64(settled), float64(b.Tokens))
		add(fmt.Sprintf("%d steps%s", max(0, b.Steps-b.steps), whose), float64(b.steps), float64(b.Steps))
		add(fmt.Sprintf("$%.3f%s", max(0, b.USD-b.usd), whose), b.usd, b.USD)
		add(fmt.Sprintf("%s%s", max(0, b.Wall-b.active).Round(time.Minute), whose), float64(b.active), float64(b.Wall))
	}
	b := s.Budget
	add(max(0, b.Wall-s.Spent.Active).Round(time.Minute).String(), float64(s.Spent.Active), float64(b.Wall))
	add(max(0, b.Work-s.Spent.Work).Round(time.Minute).String()+" of work", float64(s.Spent.Work), float64(b.Work))
	if len(all) == 0 {
		return ""
	}
	var words []string
	most := 0.0
	for _, l := range all {
		words = append(words, l.what)
		most = max(most, l.used)
	}
	if most >= 0.95 {
		return "The budget is almost used up; left: " + strings.Join(words, ", ") + ". Write down what you have and finish now."
	}
	return "More than 80 % of the budget is used; left: " + strings.Join(words, ", ") + ". Finish what matters most."
}
