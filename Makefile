# Everything a developer does. `make test` needs only cargo, python3 and on Linux root. Scripts install the rest: scripts/mongod
# MongoDB, scripts/npm-packages Node and npm packages, scripts/python-packages Python packages, scripts/chromium a browser.

.PHONY: run test check faults bench bench-peers browser screenshots fuzz soak nightly mutants graphiql devices dist

run:
	cargo run --release -- dev

# Without a mongod many tests fail. The script says so once, before they start.
test:
	@scripts/mongod >/dev/null
	cargo test --workspace --locked
	scripts/npm-packages .
	npm test --workspaces --if-present

check:
	cargo fmt --all --check
	scripts/deny
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p tidegate-bench --all-features --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items
	cargo test --workspace --locked --lib
	cargo test --workspace --locked --doc
	scripts/npm-packages .
	npm run check

# Runs all faults of a replica set and its gateways FAULT_ROUNDS times (10).
faults:
	@scripts/mongod >/dev/null
	FAULT_ROUNDS=$${FAULT_ROUNDS:-10} cargo test --locked --test it -- faults:: --nocapture

# Measures the gateway against its floors, and writes tables and plots to the documents. ROWS="push pull" measures only those
# groups, and changes no document. BENCH=--strict fails when a row misses its bar; BENCH=--help lists the other options.
bench:
	cargo run --release --locked -p tidegate-bench -- $(ROWS) $(BENCH)

# Measures the gateway beside an Apollo Server, RxDB's server and a server with async-graphql, under the same load. It needs
# Node with npm.
bench-peers:
	cargo run --release --locked -p tidegate-bench -- peers $(BENCH)

# Runs the client in Chromium, and measures its storage with 100,000 documents beside Dexie and RxDB.
browser:
	cargo build --locked
	scripts/npm-packages .
	scripts/npm-packages bench/storages
	npm run pretest --workspace packages/client
	node --test packages/client/build/test/browser/browser.test.js
	node bench/storages/run.mjs

# Takes the pictures of the client examples.
screenshots:
	cargo build --locked
	scripts/npm-packages .
	npm run screenshots --workspace client-examples/scenarios

# Runs histories with fresh seeds for SOAK_MINUTES (60), then each fuzz target.
soak:
	cargo run --profile soak --locked -p tidegate-simulation -- search --minutes $${SOAK_MINUTES:-60}
	scripts/fuzz

# Runs what takes too long for `make test`, in about two hours on two cores. NIGHTLY_SEED repeats a night.
nightly:
	@scripts/mongod >/dev/null
	scripts/nightly

# Breaks each rule of the protocol alone, and prints which promise shows it: the table of docs/testing.md.
mutants:
	cargo run --profile soak --locked -p tidegate-simulation -- mutants

# Runs each fuzz target for FUZZ_SECONDS (60).
fuzz:
	scripts/fuzz

# Builds GraphiQL's page. Its files are committed, so a plain `cargo build` needs no npm.
graphiql:
	cd graphiql && npm ci && npm run build

# Builds the page of two devices, whose files are committed too. It holds a copy of packages/client.
devices:
	scripts/npm-packages .
	npm run bundle --workspace packages/devices

# Builds what is published of HEAD into dist/, with checksums.
dist:
	scripts/dist
