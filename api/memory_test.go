package api_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"agentd/api"
	"agentd/api/apitest"
	"agentd/journal"
)

// remembering is a client of a server with the memory given.
func remembering(t *testing.T, m api.Memory) *api.Client {
	t.Helper()
	return serve(t, func(_ *apitest.Engine, o *api.Options) { o.Memory = m }).client
}

func TestMemoryRoutes(t *testing.T) {
	ctx := t.Context()
	mem := &apitest.Memory{}
	c := remembering(t, mem)
	it, err := c.AddMemory(ctx, api.MemoryAdd{Text: "Reports go to Anna", Workspace: "/ws", Tags: []string{"a"}})
	if err != nil || it.ID != "m1" || it.Namespace != "repository:/ws" {
		t.Fatalf("%+v, %v", it, err)
	}
	mem.Propose("The build takes long", "run1")
	if got, err := c.Memory(ctx, "m1"); err != nil || got.Text != it.Text {
		t.Errorf("%+v, %v", got, err)
	}
	if found, err := c.SearchMemory(ctx, api.MemoryQuery{Text: "Anna"}); err != nil || len(found.Hits) != 1 || found.Hits[0].Item.ID != "m1" {
		t.Errorf("%+v, %v", found, err)
	}
	if list, err := c.ListMemory(ctx, api.MemoryFilter{State: "proposed"}); err != nil || len(list) != 1 || list[0].ID != "m2" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := c.ReviewMemory(ctx, api.MemoryReview{Accept: []string{"m2"}}); err != nil {
		t.Error(err)
	}
	var lines bytes.Buffer
	if n, err := c.ExportMemory(ctx, &lines, true); err != nil || n != int64(lines.Len()) || strings.Count(lines.String(), "\n") != 2 {
		t.Errorf("exported %d bytes %q, %v", n, lines.String(), err)
	}
	if n, err := c.ImportMemory(ctx, bytes.NewReader(lines.Bytes())); err != nil || n != 2 {
		t.Errorf("imported %d, %v", n, err)
	}
	if f, err := c.ForgetMemory(ctx, "m2"); err != nil || len(f.Runs) != 1 || f.Runs[0] != "run1" {
		t.Errorf("%+v, %v", f, err)
	}
	if s, err := c.MemoryStats(ctx); err != nil || s.Items != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := c.CompactMemory(ctx); err != nil {
		t.Error(err)
	}
	steps := 0
	if err := c.ReembedMemory(ctx, func(done, of int) { steps += done * of }); err != nil || steps != 1 {
		t.Errorf("%d steps, %v", steps, err)
	}

	// What is wrong comes back as itself.
	if _, err := c.Memory(ctx, "m99"); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a missing item: %v", err)
	}
	if err := c.ReviewMemory(ctx, api.MemoryReview{}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("an empty review: %v", err)
	}
	if _, err := c.AddMemory(ctx, api.MemoryAdd{Text: strings.Repeat("x", 300<<10)}); !errors.Is(err, api.ErrTooLarge) {
		t.Errorf("a large text: %v", err)
	}
	if n, err := c.ImportMemory(ctx, strings.NewReader("{\"text\":\"a\"}\nno\n")); !errors.Is(err, api.ErrInvalid) || n != 0 || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "1 items were added") {
		t.Errorf("a bad import: %d, %v", n, err)
	}
}

type list = apitest.Memory

// broken fails while it makes vectors.
type broken struct{ *list }

func (broken) ReembedMemory(_ context.Context, progress func(done, of int)) error {
	progress(1, 3)
	return api.Errorf(api.ErrProvider, "agentctl doctor", "the embedder failed")
}

func TestReembedEndsWithItsError(t *testing.T) {
	c := remembering(t, broken{&list{}})
	steps := 0
	if err := c.ReembedMemory(t.Context(), func(done, of int) { steps++ }); !errors.Is(err, api.ErrProvider) || steps != 1 {
		t.Errorf("%d steps, %v", steps, err)
	}
}

func TestServerWithoutMemory(t *testing.T) {
	c := remembering(t, nil)
	if _, err := c.ListMemory(t.Context(), api.MemoryFilter{}); !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), "no memory") {
		t.Errorf("got %v", err)
	}
}
