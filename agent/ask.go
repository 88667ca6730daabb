package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"agentd/journal"
	"agentd/llm"
	"agentd/sandbox"
)

// question is one thing asked of a model.
type question struct {
	task, purpose string
	before        []journal.Event // appended in the same commit as ModelAsked
	build         func(*journal.State, llm.Info) (*llm.Request, error)
}

// answered is a reply that is not yet in the journal: settle must be the next event of the run's call, in the commit of
// whatever is done with the reply.
type answered struct {
	journal.ModelAsked
	settle journal.Event
}

// Bounds of one question.
const (
	maxTries    = 5                // calls of one model
	baseDelay   = time.Second / 2  // first wait between tries; doubles
	maxDelay    = 30 * time.Second // and stops here
	maxPatience = time.Minute      // longest Retry-After that is waited for
	minOut      = 256              // tokens; a reply bounded lower is of no use
)

// ask makes one model call durable, makes it, and tries again or elsewhere while the failure allows it. Every try is
// an event with its reservation: no call is made whose worst case doesn't fit the budget.
func (d *driver) ask(ctx context.Context, q question) (*llm.Reply, *answered, error) {
	seat := d.seat(q.purpose)
	models, link := d.chain(seat), d.at(seat)
	for try := 1; ; try++ {
		model := models[link]
		asked, req, model, err := d.afford(ctx, q, model, try)
		var short *tight
		if errors.As(err, &short) && short.task == "" {
			err = short.ends()
		}
		if err != nil {
			return nil, nil, err
		}
		q.before = nil
		ready := make(chan struct{})
		go func() {
			defer close(ready)
			if q.purpose == "step" {
				d.mark(ctx, asked.Step)
				d.prepareBox()
			}
		}()
		start := time.Now()
		reply, err := llm.Collect(model.Stream(ctx, req), d.deltas.sink(asked, d.hidden()))
		ms := time.Since(start).Milliseconds()
		<-ready
		if err == nil {
			return reply, &answered{asked, settlement(asked, model.Info(), reply, ms)}, nil
		}
		if ctx.Err() != nil {
			return nil, nil, context.Cause(ctx) // settled at the end of the run, or by the next driver
		}
		e := llm.AsError(err)
		d.deltas.reset(asked)
		if err := d.led.do(ctx, func(t *tx) error { t.add(failure(asked, e, ms)); return nil }); err != nil {
			return nil, nil, err
		}
		d.log.Info("model call failed", "run", d.run, "model", asked.Model, "try", try, "err", e)
		switch {
		case e.Kind == llm.KindContext && try < maxTries:
			// the next render is smaller: it counts these failures
		case e.Retryable() && try < maxTries && e.RetryAfter <= maxPatience && (link+1 == len(models) || try < 2):
			if err := sleep(ctx, delay(try, e.RetryAfter)); err != nil {
				return nil, nil, err
			}
		case e.Failover() && link+1 < len(models):
			link, try = d.moveOn(seat, link), 0
			if err := d.note(ctx, "model", q.task, "%s: going on with %s", e, models[link].Info().Name); err != nil {
				return nil, nil, err
			}
		default:
			return nil, nil, providerEnd(e)
		}
	}
}

// prepareBox sets up the next command's box while the model thinks, where the sandbox can.
func (d *driver) prepareBox() {
	select {
	case <-d.snap: // a box's mount points must not get into the snapshot
	default:
		return
	}
	if p, ok := d.cfg.Box.(interface{ Prepare(sandbox.Policy) }); ok {
		if pol, err := d.taskPolicy(nil); err == nil && len(d.start.Goal.Writable) == 0 { // else its mount points would be made and unmade at every call
			p.Prepare(pol)
		}
	}
}

// hidden are the values that the store masks.
func (d *driver) hidden() []string {
	if s, ok := d.cfg.Store.(interface{ Hidden() []string }); ok {
		return s.Hidden()
	}
	return nil
}

// discardBoxes ends prepared boxes, whose mount points show in the workspace.
func (d *driver) discardBoxes() {
	if p, ok := d.cfg.Box.(interface{ Discard(string) }); ok {
		p.Discard(d.ws)
	}
}

// reserve appends ModelAsked for the request that build makes of the state at that very moment.
func (d *driver) reserve(ctx context.Context, q question, model llm.Model, try int) (asked journal.ModelAsked, req *llm.Request, err error) {
	err = d.led.do(ctx, func(t *tx) error {
		t.add(q.before...)
		if q.purpose == "step" {
			d.relist(t)
		}
		if t.Paused != nil || t.Cancel {
			return errNotNow
		}
		var err error
		if asked, req, err = bid(t.State, t.now, q, model, try); err == nil {
			t.add(asked)
		}
		return err
	})
	if errors.Is(err, errNotNow) {
		if err = d.gate(ctx); err == nil {
			return d.reserve(ctx, q, model, try)
		}
	}
	return asked, req, err
}

// afford is reserve, with a cheaper model of the chain where the call does not fit the money that is left.
func (d *driver) afford(ctx context.Context, q question, model llm.Model, try int) (journal.ModelAsked, *llm.Request, llm.Model, error) {
	asked, req, err := d.reserve(ctx, q, model, try)
	if !isUSD(err) {
		return asked, req, model, err
	}
	for _, m := range cheaper(d.chain(d.seat(q.purpose)), model) {
		was := q.before
		q.before = append(q.before[:len(q.before):len(q.before)], journal.Noted{
			Topic: "budget", Task: q.task, Text: clip(fmt.Sprintf("%v: this call goes to %s, which costs less", err, m.Info().Name), 500),
		})
		cheap, req, cerr := d.reserve(ctx, q, m, try)
		if !isUSD(cerr) {
			return cheap, req, m, cerr
		}
		q.before = was
	}
	return asked, req, model, err
}

// errNotNow undoes a decision because the run was paused or cancelled in between.
var errNotNow = errors.New("the run is paused")

// settlement charges a reply by its usage, or by what was reserved where the provider counts nothing.
func settlement(asked journal.ModelAsked, info llm.Info, reply *llm.Reply, ms int64) journal.Event {
	e := journal.ModelReplied{Call: asked.Call, Reply: reply, Used: asked.Reserved, USD: asked.USD, Ms: ms}
	if n := reply.Usage.Prompt + reply.Usage.Completion; n > 0 {
		e.Used = int64(n)
		e.USD, _ = llm.Cost(info, reply.Usage)
	}
	return e
}

// failure charges a call that gave no reply: nothing where the provider refused it, else its worst case.
func failure(asked journal.ModelAsked, e *llm.Error, ms int64) journal.Event {
	r := journal.ModelReplied{Call: asked.Call, Err: clip(e.Error(), 500), Class: e.Kind, Ms: ms}
	switch e.Kind {
	case llm.KindAuth, llm.KindRate, llm.KindOverload, llm.KindContext, llm.KindInvalid, llm.KindConnect:
	default:
		r.Used, r.USD = asked.Reserved, asked.USD
	}
	return r
}

func providerEnd(e *llm.Error) error {
	reason := e.Error()
	if e.Hint != "" {
		reason += ". " + e.Hint
	}
	return end(journal.StatusProvider, "%s", reason)
}

// delay is how long to wait before the next try: exponential with full jitter above half, and never less than was asked for.
func delay(try int, retryAfter time.Duration) time.Duration {
	d := min(maxDelay, baseDelay<<(try-1))
	d = d/2 + rand.N(d/2+1)
	return max(d, retryAfter)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// current is the model of the chain that answers now.
func (d *driver) current() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link
}

// failover moves the run on from a failed model; of several tasks that saw it fail, one moves it.
func (d *driver) failover(from int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link == from {
		d.link++
	}
	return d.link
}
