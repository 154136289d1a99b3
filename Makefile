# The two commands of the README are `make demo` and `make test`.

CARGO ?= cargo

.PHONY: demo example-durable example-inngest example-ray example-restate example-step-functions test tools bench mutants check

## See it work: 200 charges against a $50 cap, at a vendor that loses answers.
demo:
	$(CARGO) run --release --locked --package keybrake -- demo $(ARGS)

## Durable Task on this machine: an orchestration in Python bills 50 customers under a $20 cap. What the
## engine, the ledger and the vendor say of it.
example-durable:
	tests/install.sh durable
	$(CARGO) build --locked --quiet --workspace --bins
	target/debug/durable

## Ray with the proxy and its sandbox: three ways to charge twice, and how each charges once.
example-ray:
	tests/install.sh ray
	$(CARGO) build --release --locked --package keybrake
	KEYBRAKE_BIN="$(CURDIR)/target/release/keybrake" PYTHONPATH="$(CURDIR)/integrations/python/src" \
		target/test-tools/ray/bin/python examples/ray/run_all.py

## Inngest's protocol on this machine: a run bills 100 customers in parallel under a $40 cap. What the
## engine, the ledger and the vendor say of it.
example-inngest:
	$(CARGO) build --locked --quiet --workspace --bins
	target/debug/inngest example

## Restate on this machine: a run bills 50 customers under a $20 cap. What the engine, the ledger and
## the vendor say of it.
example-restate:
	tests/install.sh restate
	$(CARGO) build --locked --quiet --workspace --bins
	target/debug/restate example

## Step Functions on this machine: deploy the example, run it, and see what each side says.
example-step-functions:
	tests/install.sh step-functions
	$(CARGO) build --locked --quiet --workspace --bins
	target/debug/step-functions example

## Install what the tests need under target/, and run them all.
test: tools
	$(CARGO) test --locked --workspace --no-fail-fast -- --include-ignored

tools:
	tests/install.sh

## What a call costs: nginx's proxy_pass and keybrake before the same upstream, in one run; then what
## it takes to price one.
bench: tools
	$(CARGO) build --release --locked --package keybrake
	tests/bench/run.sh target/release/keybrake
	$(CARGO) bench --locked --package keybrake-core --bench pricing -- --quiet
	$(CARGO) build --release --locked --package keybrake-restate --package keybrake-tests
	target/release/restate bench
	target/release/inngest bench
	$(CARGO) build --locked --profile function --package keybrake-lambda --bins
	$(CARGO) build --locked --workspace --bins
	target/debug/step-functions bench

## Change core's money paths in many small ways: a test must notice each. Prints those that none did.
mutants:
	cargo mutants --package keybrake-core

## What CI runs before the tests.
check:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --document-private-items
	cargo deny --log-level error check licenses bans sources
