package langchain_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"go.uber.org/goleak"

	"agentd/llm"
	"agentd/llm/langchain"
)

// TestMain holds that no call leaves a goroutine behind, however it ended.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDialerKnowsBetter holds that a dialer's own *llm.Error reaches the caller, with its advice.
func TestDialerKnowsBetter(t *testing.T) {
	want := &llm.Error{Kind: llm.KindInvalid, Model: "local/x", Message: "the model is not fetched", Hint: "fetch it"}
	m, err := langchain.New(langchain.Config{Provider: "local", Model: "x", DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, want }})
	if err != nil {
		t.Fatal(err)
	}
	if got := listen(t.Context(), m, ask()).err; !errors.Is(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
