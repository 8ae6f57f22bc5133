# Sluice. `make demo` shows it, `make test` proves it, `make help` lists the rest.

CARGO ?= cargo
ENGINE ?= docker
GET_SERVERS := tests/get-servers.sh $(CURDIR)/.test/servers
# Tests of whole programs wait for ticks more than they work: on few cores, more of them at once than there are cores.
TEST_THREADS ?= $(shell n=$$(nproc 2>/dev/null || echo 4); echo $$((n < 4 ? 4 : n)))
# What filters are compiled for; the second one by tests only.
WASM := wasm32-unknown-unknown wasm32-wasip2

.DEFAULT_GOAL := help
# How many seconds a fault lasts, and how often what is done again and again is done.
TIME ?= 60

.PHONY: help demo test soak fuzz examples test-cluster servers target fmt lint bench release image image-check

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) | \
		while read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

demo: target $(if $(REAL),servers) ## Build and run the main job; REAL=1: on a real Prometheus and Pushgateway
	@$(if $(REAL),SLUICE_SERVERS="$$($(GET_SERVERS) | sed -n 's/^servers: //p')" )$(CARGO) run -p sluice -- \
		demo $(if $(REAL),--real)

test: target servers ## All tests: unit, property, end to end on real servers
	@echo '== build'
	$(CARGO) build --workspace --bins
	$(CARGO) test --workspace --no-run
	@echo '== test'
	CARGO=$(CARGO) RUST_TEST_THREADS=$(TEST_THREADS) tests/run.sh

soak: target servers ## Everything that can go wrong, for as long as asked: TIME=600, seconds a fault
	$(CARGO) build --workspace --bins
	SLUICE_SOAK=$(TIME) $(CARGO) test --workspace --test faults

# The compiler's own instruments do, so it is built with the toolchain that everything is built with.
fuzz: ## Anything at all for what reads from the network: TIME=900, seconds a target
	@command -v cargo-fuzz >/dev/null || { echo 'no cargo-fuzz: cargo install cargo-fuzz --locked'; exit 1; }
	$(CARGO) test --manifest-path fuzz/Cargo.toml
	for target in $$($(CARGO) fuzz list); do mkdir -p fuzz/corpus/$$target && \
		$(CARGO) fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(TIME) -max_len=4096 -dict=fuzz/dictionary -print_final_stats=1 || exit 1; done

# A language whose tools are not here, or can fetch nothing, is left out, and named.
examples: target ## Build and run filters in JavaScript, Python and C, as far as their tools are here; SAMPLES=1: all of them
	@languages=; \
	have() { echo "examples: $$1"; languages="$$languages $$1"; }; lack() { echo "examples: no $$1: $$2"; }; \
	if node -e 'process.exit(+(parseInt(process.versions.node) < 20))' >/dev/null 2>&1 && \
		npm view --silent @bytecodealliance/componentize-js name >/dev/null 2>&1; then have javascript; \
		else lack javascript 'Node.js 20 is missing, or npm reaches no registry'; fi; \
	if python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1 && \
		python3 -m pip download --quiet --no-deps --dest target/pip $$(cat examples/filters/python/requirements.txt) \
		>/dev/null 2>&1; then have python$(if $(SAMPLES), && have python_with_samples); else lack python 'Python 3.10 with venv is missing, or pip reaches no registry'; fi; \
	if echo '#include <stdlib.h>' | $${CC_wasm32_wasi:-clang} --target=wasm32-wasi -E - >/dev/null 2>&1; then have c; \
		else lack c 'clang or wasi-libc is missing'; fi; \
	[ -z "$$languages" ] || { $(CARGO) build --workspace --bins && \
		$(CARGO) test --workspace --test languages -- --include-ignored --exact $$languages; }

test-cluster: target servers ## End to end in a real Kubernetes: KUBEBUILDER_ASSETS or SLUICE_TEST_KUBECONFIG says where
	$(CARGO) build -p sluice
	SLUICE_TEST_CLUSTER=required $(CARGO) test -p sluice-tests --test cluster

servers: ## Fetch what the end-to-end tests need
	@$(GET_SERVERS)

target: ## Add the targets that filters are compiled for
	@command -v $(CARGO) >/dev/null || { echo 'no cargo: install Rust from https://rustup.rs'; exit 1; }
	@command -v cc >/dev/null || { echo 'no C compiler: apt-get install build-essential'; exit 1; }
	@for target in $(WASM); do \
		test -d "$$(rustc --print sysroot)/lib/rustlib/$$target/lib" || rustup target add $$target || exit 1; \
	done

fmt: ## Format
	$(CARGO) fmt --all

lint: target ## Clippy, warnings are errors
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench: target servers ## Benchmarks, each with its floor; a thousand resources at an API server, and with filters; catching up
	$(CARGO) bench -p sluice
	$(CARGO) build -p sluice
	$(CARGO) test -p sluice-tests --test controller --test filters --test restart -- --ignored --nocapture

release: target ## The binary to ship: target/release/sluice
	$(CARGO) build -p sluice --release

image: ## The container image, for this machine (ENGINE=podman: with another engine)
	$(ENGINE) build --file deploy/image/Containerfile --tag sluice:$$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1) .

image-check: ## Without an engine: the image's program is static and runs in an empty, read-only root as any user
	CARGO=$(CARGO) deploy/image/build.sh "$$(uname -m)"
	deploy/image/check.sh target/$$(uname -m)-unknown-linux-musl/debug/sluice
