# Everything a developer does. `make test` needs nothing but cargo, python3 and on Linux root; what else a test needs, it brings:
# MongoDB by scripts/mongod, Node and npm packages by scripts/npm-packages, Python packages by scripts/python-packages, a
# browser by scripts/chromium.

.PHONY: run test check faults bench bench-peers fuzz soak nightly mutants graphiql

run:
	cargo run --release -- dev

# Without a mongod many tests fail; it is told once, before they begin.
test:
	@scripts/mongod >/dev/null
	cargo test --workspace --locked

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items
	cargo test --workspace --locked --lib
	cargo test --workspace --locked --doc

# All that may befall a replica set and its gateways, FAULT_ROUNDS times, 10 if not said.
faults:
	@scripts/mongod >/dev/null
	FAULT_ROUNDS=$${FAULT_ROUNDS:-10} cargo test --locked --test it -- faults:: --nocapture

# The gateway against its floors, and its tables and plots in the documents anew. ROWS="push pull" measures only those
# groups, and changes no document; BENCH=--strict fails where a row misses its bar, BENCH=--help tells the rest.
bench:
	cargo bench --locked --bench bench -- $(ROWS) $(BENCH)

# The gateway beside an Apollo Server and RxDB's server, under the same load; needs Node with npm.
bench-peers:
	cargo bench --locked --bench bench -- peers $(BENCH)

# Histories with fresh seeds for SOAK_MINUTES, 60 if not said, and then each fuzz target.
soak:
	cargo run --profile soak --locked -p tidegate-simulation -- search --minutes $${SOAK_MINUTES:-60}
	scripts/fuzz

# What takes too long for `make test`, at most 90 minutes on two cores; NIGHTLY_SEED repeats a night.
nightly:
	@scripts/mongod >/dev/null
	scripts/nightly

# Breaks each rule of the protocol alone, and prints what shows it: the table of docs/testing.md.
mutants:
	cargo run --profile soak --locked -p tidegate-simulation -- mutants

# FUZZ_SECONDS for each target, a minute if not said.
fuzz:
	scripts/fuzz

# Builds GraphiQL's page anew; its files are committed, so that a plain `cargo build` needs no npm.
graphiql:
	cd graphiql && npm ci && npm run build
