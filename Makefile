# Everything a developer does. `make test` needs nothing but cargo, and on Linux root; what else a test needs, it brings.

.PHONY: run test check bench graphiql

run:
	cargo run --release -- dev

test:
	cargo test --workspace --locked

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items
	cargo test --workspace --locked --lib
	cargo test --workspace --locked --doc

bench:
	cargo bench --locked

# Builds GraphiQL's page anew; its files are committed, so that a plain `cargo build` needs no npm.
graphiql:
	cd graphiql && npm ci && npm run build
