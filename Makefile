# Every target works on a fresh machine: what a target needs beyond Go and make, it installs or names.
GOAL      ?= find the five largest files below here and write a table of them to report.md
WORKSPACE ?=
CACHE     ?= $(or $(AGENTD_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/agentd)
SEEDS     ?= 3
FLOOR     ?= 15

STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
BENCHSTAT   = golang.org/x/perf/cmd/benchstat@latest

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
STATIC   = CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)'
SOURCES := $(shell find . -name '*.go' -not -name '*_test.go' -not -path './.git/*') $(shell find . -path './*/prompts/*' -o -name '*.s' -o -name '*.yaml' -o -name '*.json' -o -name 'go.mod') 

NPM  = $(CACHE)/npm-mcp-1
DOJO = $(CACHE)/agentdojo-0.1.35

.PHONY: test-mcp test-taint run build test check check-cross setup test-crash test-sandbox test-browser test-model test-memory test-arm64 test-goals test-ablation fuzz bench bench-browser compare-playwright screenshots clean

## run: install what is missing, build, start the daemon and run GOAL (in WORKSPACE, or a fresh folder)
run: bin/.built
	@GOAL='$(subst ','\'',$(GOAL))' WORKSPACE='$(WORKSPACE)' scripts/run.sh

## build: agentd, agentctl and agentmodel into bin/
build: bin/.built

bin/.built: $(SOURCES)
	@mkdir -p bin
	$(STATIC) -o bin/agentd ./cmd/agentd
	$(STATIC) -o bin/agentctl ./cmd/agentctl
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/agentmodel ./cmd/agentmodel
	@touch $@

## test: everything that needs no network, GPU or model download, with the race detector (the suites below have targets of their own)
test: bin/.built
	@scripts/need.sh gcc:gcc git:git python3:python3
	go test -race $$(go list ./... | grep -v -e /crashtest$$ -e /abuse$$)

## check: gofmt, vet (also for arm64 and macOS), staticcheck, import rules
check: $(CACHE)/bin/staticcheck check-cross
	@bad=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$bad" ]; then echo "gofmt -w $$bad"; exit 1; fi
	go vet ./...
	$(CACHE)/bin/staticcheck ./...
	go test -count=1 -run 'TestImports|TestPackageComments' .

## check-cross: vet for the systems that this one is not (a second with a warm cache, a few minutes without)
check-cross:
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go vet ./...
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go vet ./...

$(CACHE)/bin/staticcheck:
	GOFLAGS= GOBIN=$(CACHE)/bin go install $(STATICCHECK)

$(CACHE)/bin/benchstat:
	GOFLAGS= GOBIN=$(CACHE)/bin go install $(BENCHSTAT)

clean:
	rm -rf bin

## test-crash: kill -9 at every event boundary, at random moments, and of a scheduled goal that parks and is retried
test-crash: bin/.built
	go test -count=1 -timeout 40m ./cmd/agentd/crashtest

## test-sandbox: the abuse suite and the works suite, as root and as an ordinary user
test-sandbox:
	CGO_ENABLED=0 go test -count=1 -timeout 15m ./sandbox/...

## test-browser: the browser tool against a real Chromium, hard pages, the death of its daemon and a person's take-over included; PDF as text
test-browser:
	@scripts/need.sh chromium:chromium pdftotext:poppler-utils
	go test -tags browser -count=1 -timeout 15m ./tools/browser/... ./tools/web
	go test -tags browser -count=1 -timeout 15m -run 'Browser|TakenOver' ./cmd/agentd/crashtest

## test-memory: crash safety of the memory store, at length
test-memory:
	MEMORY_KILLS=500 go test -count=1 -timeout 30m -run 'Crash|Kill' ./memory/...

## test-mcp: real MCP servers and the conformance suite, fetched with npm into the cache
test-mcp: $(NPM)/.done
	NPM_DIR=$(NPM) CGO_ENABLED=0 go test -tags npm -count=1 -timeout 15m -v -run 'Filesystem|Everything|Conformance' ./tools/mcp/npmtest ./cmd/agentctl/mcp

$(NPM)/.done:
	@scripts/need.sh npm:npm
	mkdir -p $(NPM)
	cd $(NPM) && npm install --prefix . --no-audit --no-fund --loglevel error @modelcontextprotocol/server-everything@2026.8.31 @modelcontextprotocol/server-filesystem@2026.8.31 @modelcontextprotocol/conformance@0.1.16 node@22
	@touch $@

## test-taint: AgentDojo (suites banking and slack) through the MCP client, a scripted model that obeys injected text and one that doesn't; EVERY=4 runs a quarter
test-taint: bin/.built $(DOJO)/.done
	@set -e; for suite in banking slack; do for how in "-obey" "" "-obey -nobody"; do \
		go run ./evals/dojo -python $(DOJO)/bin/python -suite $$suite -every $(or $(EVERY),1) $$how || exit 1; \
	done; done

$(DOJO)/.done:
	@scripts/need.sh python3:python3-venv
	python3 -m venv $(DOJO)
	$(DOJO)/bin/pip install -q agentdojo==0.1.35
	@touch $@

## test-arm64: the vector kernels for arm64, in an emulator
test-arm64:
	scripts/test-arm64.sh

## test-goals: the ten goals of evals/ through a scripted model, and the criteria of goals/ on sample workspaces and broken copies of them
test-goals: bin/.built
	go run ./evals -scripted -seeds 1 -floor 10
	scripts/goals.sh bin/agentctl

## test-ablation: the same goals without and with memory, and the difference (scripted; MODEL=local for the embedded model, SEEDS of each)
test-ablation: bin/.built
	go run ./evals -memory off,read -seeds $(SEEDS) $(if $(MODEL),-model $(MODEL),-scripted)

## test-model: the embedded model's bars, and the ten goals on it (SEEDS of each; fails below FLOOR)
test-model: bin/.built
	SEEDS=$(SEEDS) FLOOR=$(FLOOR) scripts/test-model.sh

## screenshots: the pictures in docs/screens, drawn from the interface itself
screenshots:
	mkdir -p docs/screens
	TUI_SHOTS=$(CURDIR)/docs/screens go test -count=1 -run TestScreenshots ./cmd/agentctl/tui

## fuzz: every fuzz target for 20 s, and the terminal UI with random keys and sizes for 60 s
fuzz:
	TUI_FUZZ=60s go test -count=1 -run '^TestRandomKeys$$' ./cmd/agentctl/tui
	@for pkg in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$f$$" -fuzztime 20s $$pkg || exit 1; \
		done; \
	done

## bench-browser: what the browser is measured by: the outline of a large page, 200 cycles of actions, four browsers at once
bench-browser:
	@scripts/need.sh chromium:chromium
	BROWSER_BARS=1 go test -tags browser -count=1 -timeout 15m -v -run TestBars ./tools/browser

## compare-playwright: the outlines of ten pages beside the snapshots of Playwright's MCP server, which npm fetches into CACHE
compare-playwright:
	@scripts/need.sh chromium:chromium node:nodejs npm:npm
	mkdir -p $(CACHE)/playwright && cd $(CACHE)/playwright && npm install --no-audit --no-fund --silent @playwright/mcp @modelcontextprotocol/sdk
	PLAYWRIGHT_MCP=$(CACHE)/playwright go test -tags browser -count=1 -timeout 15m -v -run TestTenPages ./tools/browser

## bench: Go benchmarks, in the form that benchstat reads
bench: bin/.built
	@for i in 1 2 3; do go run ./evals -bench 50; done
	go test -run '^$$' -bench . -benchmem -count 3 ./...
