# Everything here runs without CGO; the race detector alone needs a C compiler.
export CGO_ENABLED = 0

GO        ?= go
LINT      := .tools/golangci-lint
LINT_AT   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
# The commit, with a + where anything but what bench writes has changed since.
COMMIT     = $(shell git describe --always 2>/dev/null)$(shell git diff --quiet HEAD -- . ':!bench' 2>/dev/null || echo +)
MAX_BYTES := 31457280 # 30 MiB: the program must stay small enough to copy about

.PHONY: build demo test check fmt vet lint race purego levels cross size bench bench-beside bench-peers clean

build: ## the program, as ./hone
	$(GO) build -ldflags '-X main.commit=$(COMMIT)' -o hone ./cmd/hone

demo: build ## download a small model, fine-tune it, measure it, ask it
	./hone demo

test: ## what a stranger runs first
	$(GO) test $(TESTFLAGS) ./...

check: fmt vet cross size test purego levels race lint ## all that must be clean before a change goes in

fmt:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'not formatted:'; gofmt -l $$(git ls-files '*.go'); exit 1; }

vet:
	$(GO) vet ./...

lint: $(LINT)
	$(LINT) run ./...

$(LINT):
	GOBIN=$(CURDIR)/.tools $(GO) install $(LINT_AT)

race: ## short tests under the race detector; needs a C compiler
	@if command -v $${CC:-cc} >/dev/null; then CGO_ENABLED=1 $(GO) test -race -short ./...; else echo 'race: no C compiler here, left out'; fi

purego: ## the generic kernels alone
	$(GO) vet -tags purego ./engine/...
	$(GO) test -short -tags purego ./engine/...

# make test takes the best level, so the best of all is not here. Generic Go takes minutes for the real model. go test
# does not see that HONE_CPU, read at start, has changed: without -count=1 it repeats another level's results.
levels: build ## the reference vectors at the CPU levels below the best
	@for level in generic avx2 avx512; do \
		HONE_CPU=$$level ./hone version >/dev/null 2>&1 || { echo "levels: no $$level on this machine"; continue; }; \
		case $$level in generic) how=-short;; *) how='-skip TestPrecisionsStayClose';; esac; \
		echo "levels: $$level"; \
		HONE_CPU=$$level $(GO) test -count=1 $$how ./engine ./engine/nn ./engine/optim || exit 1; \
	done

cross: ## another processor, another system
	GOARCH=arm64 $(GO) vet ./...
	GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/hone

size: build
	@bytes=$$(wc -c < hone); echo "hone is $$bytes bytes"; test $$bytes -lt $(MAX_BYTES)

bench: build ## limits and tokens per second here, into bench/RESULTS.md
	test -n "$$HONE_MODEL" || ./hone pull smollm2-135m-instruct
	./hone bench --model "$${HONE_MODEL:-smollm2-135m-instruct}" --json --only all > bench/results.json.part || { rm -f bench/results.json.part; exit 1; }
	mv bench/results.json.part bench/results.json
	$(GO) run ./bench

bench-beside: build ## time to the first token of a chat, alone and beside training
	test -n "$$HONE_MODEL" || ./hone pull smollm2-135m-instruct
	$(GO) run ./bench/beside -model "$${HONE_MODEL:-smollm2-135m-instruct}"

bench-peers: build ## the same work on PyTorch and llama.cpp, into bench/RESULTS.md; ONLY=part,part measures some; bench/README.md says what it wants
	test -f bench/results.json || $(MAKE) bench
	bench/peers/run.sh; status=$$?; $(GO) run ./bench && exit $$status

clean:
	rm -rf hone .tools demo-run
