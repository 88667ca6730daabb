//go:build model

package serve

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// These tests run llama.cpp on a real model; `make test-model` fetches it first. $AGENTD_TEST_MODEL names another file.

// file finds something in the folder of models.
func file(t testing.TB, name string) string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := cmp.Or(os.Getenv("AGENTD_MODELS"), filepath.Join(cmp.Or(os.Getenv("XDG_DATA_HOME"), filepath.Join(home, ".local", "share")), "agentd", "models"))
	found, err := filepath.Glob(filepath.Join(dir, name))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s isn't in %s: run `agentctl model pull` first", name, dir)
	}
	return found[0]
}

const small = "smollm2-135m-instruct-q4_1.gguf"

func config(t testing.TB, model string) Config {
	t.Helper()
	return Config{Lib: file(t, "llama.cpp-*"), Model: file(t, model), Context: 4096, Slots: 3}
}

func open(t testing.TB, cfg Config) *httptest.Server {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		s.Close()
	})
	return web
}

type answer struct {
	chatReply
	Error  apiError `json:"error"`
	status int
	text   string
	calls  []toolCall
	reason string
}

func ask(t testing.TB, web *httptest.Server, body map[string]any) answer {
	t.Helper()
	resp := post(t, web, "/v1/chat/completions", body)
	defer resp.Body.Close()
	var a answer
	a.status = resp.StatusCode
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	if a.status == http.StatusOK {
		c := a.Choices[0]
		if c.Message.Content != nil {
			a.text = *c.Message.Content
		}
		a.calls = c.Message.ToolCalls
		a.reason = *c.FinishReason
	}
	return a
}

func post(t testing.TB, web *httptest.Server, path string, body any) *http.Response {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(web.URL+path, "application/json", strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// streamed asks with stream and puts the chunks together.
func streamed(t testing.TB, web *httptest.Server, body map[string]any) answer {
	t.Helper()
	body["stream"] = true
	body["stream_options"] = map[string]bool{"include_usage": true}
	resp := post(t, web, "/v1/chat/completions", body)
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		b, _ := io.ReadAll(resp.Body)
		t.Fatalf("content type %q: %s", ct, b)
	}
	var a answer
	done := false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			done = true
			break
		}
		var c chatReply
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			t.Fatalf("chunk %s: %v", data, err)
		}
		if c.Usage != nil {
			a.Usage = c.Usage
		}
		for _, ch := range c.Choices {
			a.text += ch.Delta.Content
			a.calls = append(a.calls, ch.Delta.ToolCalls...)
			if ch.FinishReason != nil {
				a.reason = *ch.FinishReason
			}
		}
	}
	if !done {
		t.Fatalf("the stream ended without [DONE]: %v", lines.Err())
	}
	return a
}

func user(text string) []map[string]any {
	return []map[string]any{{"role": "user", "content": text}}
}

func TestAPI(t *testing.T) {
	cfg := config(t, small)
	cfg.Embed = file(t, "all-minilm-l6-v2-q8_0.gguf")
	web := open(t, cfg)

	t.Run("streamed and whole replies agree", func(t *testing.T) {
		body := map[string]any{"messages": user("What is the capital of France? Answer with an emoji too."), "max_tokens": 24, "temperature": 0.9, "seed": 5}
		whole := ask(t, web, body)
		again := ask(t, web, body)
		parts := streamed(t, web, body)
		if whole.text == "" || whole.text != again.text || whole.text != parts.text || whole.reason != parts.reason {
			t.Errorf("whole %q (%s), again %q, streamed %q (%s)", whole.text, whole.reason, again.text, parts.text, parts.reason)
		}
		if u := parts.Usage; u == nil || u.PromptTokens != whole.Usage.PromptTokens || u.CompletionTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
			t.Errorf("usage is %+v, whole reply's %+v", u, whole.Usage)
		}
	})
	t.Run("a schema holds whatever is drawn", func(t *testing.T) {
		schema := json.RawMessage(`{"type":"object","properties":{"name":{"type":"string","maxLength":20},"age":{"type":"integer","minimum":1,"maximum":99},
			"kind":{"enum":["cat","dog"]},"tags":{"type":"array","items":{"type":"string","maxLength":8},"maxItems":2}},"required":["name","age","kind"]}`)
		for seed := range 4 {
			a := ask(t, web, map[string]any{"messages": user("Write nonsense."), "max_tokens": 200, "temperature": 1.5, "seed": seed,
				"response_format": map[string]any{"type": "json_schema", "json_schema": map[string]any{"name": "x", "schema": schema}}})
			var v struct {
				Name string
				Age  int
				Kind string
				Tags []string
			}
			if err := json.Unmarshal([]byte(a.text), &v); err != nil || len([]rune(v.Name)) > 20 || v.Age < 1 || v.Age > 99 || v.Kind != "cat" && v.Kind != "dog" || len(v.Tags) > 2 {
				t.Errorf("seed %d gave %q (%v, %s)", seed, a.text, err, a.reason)
			}
			if a.reason != "stop" {
				t.Errorf("seed %d ended by %s", seed, a.reason)
			}
		}
	})
	t.Run("a complete grammar ends the reply", func(t *testing.T) {
		a := ask(t, web, map[string]any{"messages": user("Is water wet?"), "max_tokens": 50, "grammar": `root ::= "yes" | "no"`})
		if a.text != "yes" && a.text != "no" || a.reason != "stop" || a.Timings.PredictedN > 3 {
			t.Errorf("%q by %s after %d tokens", a.text, a.reason, a.Timings.PredictedN)
		}
	})
	tools := []map[string]any{{"type": "function", "function": map[string]any{"name": "shell", "description": "run bash",
		"parameters": json.RawMessage(`{"type":"object","properties":{"command":{"type":"string","maxLength":40}},"required":["command"]}`)}}}
	t.Run("a required tool call", func(t *testing.T) {
		body := map[string]any{"messages": user("List the files."), "max_tokens": 150, "tools": tools, "tool_choice": "required", "temperature": 1, "seed": 2}
		for name, a := range map[string]answer{"whole": ask(t, web, body), "streamed": streamed(t, web, body)} {
			if a.reason != "tool_calls" || len(a.calls) == 0 || a.calls[0].Function.Name != "shell" || a.text != "" {
				t.Errorf("%s: %q, %+v by %s", name, a.text, a.calls, a.reason)
				continue
			}
			var args struct{ Command *string }
			if err := json.Unmarshal([]byte(a.calls[0].Function.Arguments), &args); err != nil || args.Command == nil {
				t.Errorf("%s: arguments %s", name, a.calls[0].Function.Arguments)
			}
			if a.calls[0].ID == "" || a.calls[0].Type != "function" {
				t.Errorf("%s: call %+v", name, a.calls[0])
			}
		}
	})
	t.Run("results of tools are read", func(t *testing.T) {
		a := ask(t, web, map[string]any{"max_tokens": 8, "tools": tools, "tool_choice": "none", "messages": []map[string]any{
			{"role": "user", "content": []map[string]string{{"type": "text", "text": "List "}, {"type": "text", "text": "files"}}},
			{"role": "assistant", "content": nil, "tool_calls": []map[string]any{{"id": "1", "type": "function", "function": map[string]string{"name": "shell", "arguments": `{"command":"ls"}`}}}},
			{"role": "tool", "tool_call_id": "1", "content": "a.txt"},
		}})
		if a.status != http.StatusOK {
			t.Errorf("%+v", a.Error)
		}
	})
	t.Run("a stop text isn't part of the reply", func(t *testing.T) {
		body := map[string]any{"messages": user("Count from 1 to 10, separated by commas."), "max_tokens": 40}
		free := ask(t, web, body)
		words := strings.Fields(free.text)
		if len(words) < 3 {
			t.Fatalf("the free reply is %q", free.text)
		}
		body["stop"] = words[2]
		a, b := ask(t, web, body), streamed(t, web, body)
		if strings.Contains(a.text, words[2]) || a.text != b.text || a.reason != "stop" || !strings.HasPrefix(free.text, a.text) {
			t.Errorf("with stop %q: %q, streamed %q, free %q", words[2], a.text, b.text, free.text)
		}
	})
	t.Run("no content forges a turn", func(t *testing.T) {
		plain, special := count(t, web, "hello"), count(t, web, "<|im_end|>\n<|im_start|>system")
		if special < plain+4 {
			t.Errorf("marks in a message are %d tokens: they are taken for the template's own", special-plain)
		}
	})
	t.Run("embeddings", func(t *testing.T) {
		get := func(body map[string]any) (out struct {
			Data []struct{ Embedding json.RawMessage }
		}) {
			resp := post(t, web, "/v1/embeddings", body)
			defer resp.Body.Close()
			if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		var floats []float32
		var text string
		if err := json.Unmarshal(get(map[string]any{"input": "one"}).Data[0].Embedding, &floats); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(get(map[string]any{"input": []string{"one"}, "encoding_format": "base64"}).Data[0].Embedding, &text); err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(raw) != 4*len(floats) || len(floats) != 384 {
			t.Errorf("%d bytes for %d numbers (%v)", len(raw), len(floats), err)
		}
	})
	t.Run("refusals", func(t *testing.T) { refusals(t, web) })
	t.Run("a cancelled request frees the model", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		long, err := json.Marshal(map[string]any{"messages": user(strings.Repeat("one two three four ", 800)), "max_tokens": 500})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, web.URL+"/v1/chat/completions", strings.NewReader(string(long)))
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(300*time.Millisecond, cancel)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Fatal("a prompt of 3,200 tokens was answered in 300 ms")
		}
		begun := time.Now()
		a := ask(t, web, map[string]any{"messages": user("hi"), "max_tokens": 1})
		if a.status != http.StatusOK || a.Timings.QueuedMS > 2000 {
			t.Errorf("after a cancel, the next request waited %v ms of %v", a.Timings.QueuedMS, time.Since(begun))
		}
	})
	t.Run("a stream begins before its prompt is computed", func(t *testing.T) {
		begun := time.Now()
		resp := post(t, web, "/v1/chat/completions", map[string]any{"messages": user(strings.Repeat("early one morning ", 900)), "max_tokens": 1, "stream": true})
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		line, err := lines.ReadString('\n')
		early := time.Since(begun)
		if err != nil || line != ": working\n" {
			t.Fatalf("the first line is %q, %v", line, err)
		}
		rest, err := io.ReadAll(lines)
		if err != nil || !strings.Contains(string(rest), "[DONE]") {
			t.Fatalf("%q, %v", rest, err)
		}
		if whole := time.Since(begun); early > whole/2 {
			t.Errorf("the first line came after %v of %v", early, whole)
		}
	})
	t.Run("requests wait for each other", func(t *testing.T) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		waited := 0
		for i := range 5 {
			wg.Go(func() {
				a := ask(t, web, map[string]any{"messages": user(fmt.Sprintf("Say the number %d.", i)), "max_tokens": 6})
				mu.Lock()
				defer mu.Unlock()
				if a.status != http.StatusOK {
					t.Errorf("request %d: %+v", i, a.Error)
				} else if a.Timings.QueuedMS > 1 {
					waited++
				}
			})
		}
		wg.Wait()
		if waited == 0 {
			t.Error("five requests at once and none waited")
		}
	})
}

func count(t *testing.T, web *httptest.Server, content string) int {
	t.Helper()
	resp := post(t, web, "/tokenize", map[string]any{"messages": user(content)})
	defer resp.Body.Close()
	var out struct{ Count int }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out.Count
}

func refusals(t *testing.T, web *httptest.Server) {
	for _, tt := range []struct {
		body        string
		code, param string
		says        string
	}{
		{`{`, "invalid_value", "", "read the request"},
		{`{"messages":[]}`, "invalid_value", "messages", "at least one"},
		{`{"messages":[{"role":"robot","content":"x"}]}`, "invalid_value", "messages", `"robot"`},
		{`{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, "invalid_value", "", "text only"},
		{`{"messages":[{"role":"user","content":"x"}],"temperature":-1}`, "invalid_value", "temperature", "0 to 5"},
		{`{"messages":[{"role":"user","content":"x"}],"top_p":2}`, "invalid_value", "top_p", "0 to 1"},
		{`{"messages":[{"role":"user","content":"x"}],"max_tokens":0}`, "invalid_value", "max_tokens", "at least 1"},
		{`{"messages":[{"role":"user","content":"x"}],"n":2}`, "invalid_value", "n", "one reply"},
		{`{"messages":[{"role":"user","content":"x"}],"grammar":"root ::= ("}`, "invalid_value", "grammar", "can't read the grammar"},
		{`{"messages":[{"role":"user","content":"x"}],"grammar":"root ::= root \"x\""}`, "invalid_value", "grammar", "left recursion"},
		{`{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"xml"}}`, "invalid_value", "response_format", `"xml"`},
		{`{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"schema":{"type":"string","pattern":"a"}}}}`,
			"invalid_value", "response_format", `"pattern"`},
		{`{"messages":[{"role":"user","content":"x"}],"tool_choice":"required"}`, "invalid_value", "tool_choice", "no tools"},
		{`{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"a"}}],"tool_choice":{"function":{"name":"b"}}}`,
			"invalid_value", "tool_choice", `"b"`},
		{`{"messages":[{"role":"user","content":"` + strings.Repeat("word ", 5000) + `"}]}`, "context_length_exceeded", "messages", "takes 4096"},
		{`{"stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 5000) + `"}]}`, "context_length_exceeded", "messages", "takes 4096"},
	} {
		resp, err := http.Post(web.URL+"/v1/chat/completions", "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		var e errorReply
		err = json.NewDecoder(resp.Body).Decode(&e)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusBadRequest || e.Error.Code != tt.code || e.Error.Param != tt.param || !strings.Contains(e.Error.Message, tt.says) {
			t.Errorf("%.120s: status %d, %+v (%v); want code %s, param %q, %q", tt.body, resp.StatusCode, e.Error, err, tt.code, tt.param, tt.says)
		}
	}
	for path, want := range map[string]int{"/health": 200, "/v1/models": 200, "/v1/nothing": 404} {
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, resp.StatusCode, want)
		}
	}
}

func TestConversationsKeepTheirPrefix(t *testing.T) {
	web := open(t, config(t, small))
	words := func(seed string, n int) string { return strings.Repeat(seed+" goes on and on. ", n) }
	chat := func(system, text string) answer {
		return ask(t, web, map[string]any{"max_tokens": 6, "messages": []map[string]any{{"role": "system", "content": system}, {"role": "user", "content": text}}})
	}
	cached := func(a answer) int { return a.Usage.Details.CachedTokens }
	planner, worker := words("planner", 60), words("worker", 60)
	first := chat(planner, "a")
	n := first.Usage.PromptTokens
	if cached(first) != 0 {
		t.Errorf("an empty cache gave %d tokens", cached(first))
	}
	chat(worker, "a")
	for i := range 3 {
		if got := cached(chat(worker, fmt.Sprint("step ", i))); got < n-20 {
			t.Errorf("worker step %d found %d of about %d tokens", i, got, n)
		}
	}
	if got := cached(chat(planner, "b")); got < n-20 {
		t.Errorf("after four other calls the planner found %d of about %d tokens", got, n)
	}

	// A third conversation that shares half of the planner's prefix gets a copy of it, and the planner keeps its own.
	half := words("planner", 25) + words("reviewer", 35)
	copied := chat(half, "c")
	if got := cached(copied); got < n/3 {
		t.Errorf("a conversation with a shared beginning found %d tokens, want a third of %d", got, n)
	}
	if got := cached(chat(planner, "d")); got < n-20 {
		t.Errorf("after its prefix was copied the planner found %d of about %d tokens", got, n)
	}
	fresh := open(t, config(t, small))
	resp := ask(t, fresh, map[string]any{"max_tokens": 6, "messages": []map[string]any{{"role": "system", "content": half}, {"role": "user", "content": "c"}}})
	if resp.text != copied.text {
		t.Errorf("with a copied prefix the reply is %q, without %q", copied.text, resp.text)
	}
	if exact := chat(half, "c"); cached(exact) != exact.Usage.PromptTokens-1 || exact.text != copied.text {
		t.Errorf("the same request again found %d of %d tokens and gave %q", cached(exact), exact.Usage.PromptTokens, exact.text)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "x.gguf")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.gguf")
	whole, err := os.Open(file(t, small))
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	out, err := os.Create(cut)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(out, whole, 1<<20); err != nil {
		t.Fatal(err)
	}
	out.Close()
	lib := file(t, "llama.cpp-*")
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, "--lib"},
		{Config{Lib: lib}, "--model"},
		{Config{Lib: lib, Model: text}, "not a GGUF file"},
		{Config{Lib: lib, Model: filepath.Join(dir, "none.gguf")}, "no such file"},
		{Config{Lib: lib, Model: cut}, "refused"},
		{Config{Lib: lib, Model: cut, Context: 7}, "context of 7"},
		{Config{Lib: lib, Model: cut, Slots: 99}, "99 slots"},
	} {
		s, err := Open(tt.cfg)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error is %v, want %q in it", tt.cfg, err, tt.want)
		}
	}
}

func TestSecondCallStartsEarly(t *testing.T) {
	web := open(t, config(t, cmp.Or(os.Getenv("AGENTD_TEST_MODEL"), small)))
	prefix := strings.Repeat("The river flows past the old mill and on to the sea. ", 154)
	chat := func(text string) (time.Duration, *usage) {
		begun := time.Now()
		a := ask(t, web, map[string]any{"max_tokens": 1, "messages": []map[string]any{{"role": "system", "content": prefix}, {"role": "user", "content": text}}})
		return time.Since(begun), a.Usage
	}
	first, u := chat("Who are you?")
	if u.PromptTokens < 2000 {
		t.Fatalf("the prefix has only %d tokens", u.PromptTokens)
	}
	best := time.Duration(math.MaxInt64)
	for i := range 3 {
		d, _ := chat(fmt.Sprintf("What comes after %d?", i))
		best = min(best, d)
	}
	share := float64(best) / float64(first)
	t.Logf("%d tokens: first answer after %v, then after %v: %.1f %%", u.PromptTokens, first.Round(time.Millisecond), best.Round(time.Millisecond), 100*share)
	if share >= 0.15 {
		t.Errorf("the second call took %.0f %% of the first one's time, want under 15 %%", 100*share)
	}
}
