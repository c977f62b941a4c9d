# `make run` and `make test` are all most people need; `make check` is what CI runs first.

# Found also where rustup put it and the shell does not look.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# Handed to what is run, e.g. make run ARGS="--shards 4", make bench ARGS="--quick".
ARGS ?=

# How many seeds of each row `make faults` runs, from which on, and how many seconds of faults each.
SEEDS ?= 10
SEED ?= 1
SECONDS ?= 30

.DEFAULT_GOAL := help
.PHONY: run bench test test-clients faults planted check fmt clippy doc deny proto-check compose-check ci clean help

help:
	@echo "make run           the whole system on this machine, with servers of its own"
	@echo "make bench         every figure beside its baseline; ARGS=--quick for the short form"
	@echo "make test          every test in Rust"
	@echo "make test-clients  the services as clients in other languages see them"
	@echo "make faults        faults of every kind under load, judged; SEEDS=n SEED=s SECONDS=t ROWS=1,22"
	@echo "make planted       bugs planted one at a time: does the suite see them?"
	@echo "make check         formatting, lints, tests, documentation"
	@echo "make proto-check   the contract: style, format, compatibility"
	@echo "make compose-check whether docker compose takes docker-compose.yml"
	@echo "make ci            everything above but run, bench, faults and planted"
	@echo "make clean         removes what was built; data in .counterfoil stays"

run:
	scripts/setup.sh
	cargo build --release -p cli -p write-service -p projector -p read-service
	target/release/counterfoil up $(ARGS)

bench:
	scripts/setup.sh
	cargo build --release -p cli -p write-service -p projector -p read-service -p bench
	target/release/counterfoil bench $(ARGS)

test:
	scripts/setup.sh
	cargo test --workspace

test-clients:
	scripts/setup.sh clients
	cargo build -p cli -p write-service -p projector -p read-service
	scripts/test-clients.sh

# One seed again: make faults ROWS=22 SEED=7 SEEDS=1 SECONDS=30. Row 20 needs COUNTERFOIL_OLD_BINARIES as well, see scripts/old-services.sh.
faults:
	scripts/setup.sh
	cargo build --profile faults -p cli -p write-service -p projector -p read-service -p system-tests
	target/faults/faults --seed $(SEED) --seeds $(SEEDS) --seconds $(SECONDS) $(if $(ROWS),--rows $(ROWS)) $(if $(JOURNAL),--journal $(JOURNAL)) $(if $(JOBS),--jobs $(JOBS)) --report target/faults.md

planted:
	scripts/setup.sh
	system-tests/planted/run.sh

check: fmt clippy test doc deny

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# Advisories come over the network and the tool takes minutes to build: not required, but said.
deny:
	@if command -v cargo-deny >/dev/null; then cargo deny check; \
	else echo "deny: cargo-deny is not installed, dependencies were NOT checked"; fi

proto-check:
	scripts/setup.sh proto
	scripts/proto-check.sh

# Reads the file only; no engine is needed. The password has no default, so the check brings one.
compose-check:
	@if docker compose version >/dev/null 2>&1; then compose="docker compose"; \
	elif command -v docker-compose >/dev/null; then compose=docker-compose; \
	else echo "compose-check: there is no docker compose, docker-compose.yml was NOT checked"; exit; fi; \
	echo "compose-check: $$compose config"; \
	POSTGRES_PASSWORD=unused $$compose --file docker-compose.yml config --quiet

ci:
	.ci/run

clean:
	cargo clean
