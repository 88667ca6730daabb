package llm_test

import (
	"context"
	"fmt"

	"agentd/llm"
)

// A model is wrapped in what a run needs; each wrapper is a model again.
func Example() {
	hosted := named("openai/gpt-5", step{err: &llm.Error{Kind: llm.KindAuth, Message: "no key"}})
	local := named("local", step{text: "Hello."})
	m, err := llm.Chain(llm.WithRetry(hosted, llm.Retry{}), local)
	if err != nil {
		fmt.Println(err)
		return
	}
	m = llm.WithMeter(m, nil, func(c llm.Measure) { fmt.Println("answered by", c.Model) })
	request := &llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "Say hello."}}}
	for d, err := range m.Stream(context.Background(), request) {
		switch {
		case err != nil:
			fmt.Println(err)
		case d.Kind == llm.DeltaNote, d.Kind == llm.DeltaText:
			fmt.Println(d.Kind, d.Text)
		}
	}
	// Output:
	// note auth: no key: going on with local
	// text Hello.
	// answered by local
}
