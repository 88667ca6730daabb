package agent

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"agentd/goals"
	"agentd/journal"
	"agentd/llm"
	"agentd/planner"
)

// priced is a model that is never asked: its body is the prompt's text.
type priced struct{ info llm.Info }

func (m priced) Info() llm.Info                        { return m.info }
func (m priced) Encode(r *llm.Request) ([]byte, error) { return []byte(r.Messages[0].Text), nil }
func (m priced) Stream(context.Context, *llm.Request) iter.Seq2[llm.Delta, error] {
	panic("not asked")
}

// bidder runs one random schedule of calls of parallel tasks on a state, as the ledger does: one decision at a time, replies in any order.
type bidder struct {
	r      *rand.Rand
	s      *journal.State
	now    time.Time
	models []llm.Model
	prompt []string
	open   []journal.ModelAsked
}

func newBidder(seed uint64, tasks int) *bidder {
	r := rand.New(rand.NewPCG(seed, 50))
	b := &bidder{r: r, s: new(journal.State), now: time.Unix(1e9, 0)}
	budget := goals.Budget{USD: 0.01 + r.Float64()*3, Tokens: int64(5_000 + r.IntN(400_000)), Steps: 20 + r.IntN(200), Wall: -1}
	if r.IntN(2) == 0 {
		budget.PerTask = goals.Bounds{USD: budget.USD / float64(2+r.IntN(20)), Tokens: budget.Tokens / int64(2+r.IntN(20)), Steps: 1 + r.IntN(4)}
	}
	plan := planner.Plan{Revision: 1}
	for i := range tasks {
		plan.Tasks = append(plan.Tasks, planner.Task{ID: fmt.Sprintf("t%d", i), Do: "x", Writes: []string{fmt.Sprintf("d%d", i)}})
	}
	b.push(journal.RunStarted{Goal: goals.Goal{Text: "x", Budget: budget}})
	b.push(journal.PlanMade{Plan: plan})
	for _, t := range plan.Tasks {
		b.push(journal.TaskStarted{Task: t.ID, Attempt: 1})
	}
	for i := range 1 + r.IntN(3) {
		b.models = append(b.models, priced{llm.Info{Name: fmt.Sprintf("m/%d", i), MaxOut: 500 + r.IntN(8000), Price: &llm.Price{
			Prompt: r.Float64() * 20, Completion: r.Float64() * 80, Cached: r.Float64() * 2, CacheWrite: r.Float64() * 25,
		}}})
	}
	for range 4 {
		b.prompt = append(b.prompt, strings.Repeat("words and more ", 1+r.IntN(80)))
	}
	return b
}

func (b *bidder) push(e journal.Event) { b.s.Push(e, b.now) }

// ask reserves one call of a random task, or of the planner, the judge or the summariser, which have none. It reports whether a bound refused it.
func (b *bidder) ask(task, purpose string) bool {
	q := question{task: task, purpose: purpose, build: func(*journal.State, llm.Info) (*llm.Request, error) {
		return &llm.Request{MaxTokens: 300 + b.r.IntN(5000), Messages: []llm.Message{{Text: b.prompt[b.r.IntN(len(b.prompt))]}}}, nil
	}}
	first := b.models[b.r.IntN(len(b.models))]
	asked, _, err := bid(b.s, b.now, q, first, 1)
	if isUSD(err) {
		for _, m := range cheaper(b.models, first) {
			if asked, _, err = bid(b.s, b.now, q, m, 1); !isUSD(err) {
				break
			}
		}
	}
	var short *tight
	if errors.As(err, &short) {
		return false
	}
	if err != nil {
		panic(err)
	}
	b.push(asked)
	b.open = append(b.open, asked)
	return true
}

// reply settles a random open call with a random usage within what was reserved, or as lost in a crash.
func (b *bidder) reply() {
	i := b.r.IntN(len(b.open))
	asked := b.open[i]
	b.open = append(b.open[:i], b.open[i+1:]...)
	if b.r.IntN(20) == 0 {
		b.push(journal.ModelReplied{Call: asked.Call, Lost: true, Used: asked.Reserved, USD: asked.USD})
		return
	}
	var info llm.Info
	for _, m := range b.models {
		if m.Info().Name == asked.Model {
			info = m.Info()
		}
	}
	u := llm.Usage{Prompt: asked.Prompt, Completion: b.r.IntN(asked.MaxOut + 1)}
	if b.r.IntN(3) > 0 {
		u.Cached = b.r.IntN(u.Prompt + 1)
		u.CacheWrite = b.r.IntN(u.Prompt - u.Cached + 1)
	}
	b.push(settlement(asked, info, &llm.Reply{Usage: u}, 1))
}

// TestNoScheduleOvershoots holds promise 7: 10,000 random schedules of 50 parallel tasks, random prices and replies in random order; at no moment is
// more spent and reserved than any bound allows.
func TestNoScheduleOvershoots(t *testing.T) {
	const schedules, tasks = 10_000, 50
	calls, refused := 0, 0
	for seed := range uint64(schedules) {
		b := newBidder(seed, tasks)
		misses := 0
		for range 120 {
			if len(b.open) > 0 && (len(b.open) >= tasks || b.r.IntN(3) == 0) {
				b.reply()
			} else {
				task, purpose := fmt.Sprintf("t%d", b.r.IntN(tasks)), "step"
				if b.r.IntN(10) == 0 {
					task, purpose = "", []string{"plan", "check", "judge", "summary"}[b.r.IntN(4)]
				}
				if b.ask(task, purpose) {
					calls, misses = calls+1, 0
				} else if refused, misses = refused+1, misses+1; misses > 15 && len(b.open) == 0 {
					break
				}
			}
			if over := overshoot(b.s); over != "" {
				t.Fatalf("schedule %d: %s", seed, over)
			}
		}
	}
	if calls < 10*schedules || refused < schedules {
		t.Errorf("%d calls and %d refusals in %d schedules: too few to show anything", calls, refused, schedules)
	}
	t.Logf("%d schedules, %d calls, %d refused, overshoot 0", schedules, calls, refused)
}

// hair is what sums of floats may differ by: far less than the smallest price.
const hair = 1e-12

func overshoot(s *journal.State) string {
	b := s.Budget
	if s.Spent.USD > b.USD+hair || s.Spent.Tokens > b.Tokens || s.Spent.Steps > b.Steps {
		return fmt.Sprintf("spent %+v of %+v", s.Spent, b)
	}
	if b.PerTask == (goals.Bounds{}) {
		return ""
	}
	for id, t := range s.Tasks {
		if t.USD > b.PerTask.USD+hair || t.Tokens > b.PerTask.Tokens || t.Steps > b.PerTask.Steps {
			return fmt.Sprintf("task %s: %g USD, %d tokens, %d steps of %+v", id, t.USD, t.Tokens, t.Steps, b.PerTask)
		}
	}
	return ""
}

func TestBudgetNews(t *testing.T) {
	for _, tt := range []struct {
		spent int64
		want  string
	}{{700, ""}, {810, "More than 80 %"}, {960, "almost used up"}} {
		s := &journal.State{Budget: goals.Budget{Tokens: 1000}, Spent: journal.Spent{Tokens: tt.spent}}
		if got := budgetNews(s, ""); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%d of 1000 tokens: %q, want %q", tt.spent, got, tt.want)
		}
	}
}
