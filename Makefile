# `make run` and `make test` need nothing prepared by hand. docs/testing.md says what the layers are.
.PHONY: help run cert test check ci abuse endurance bench load peers fuzz coverage openapi pictures format
.ONESHELL:
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

help:
	@echo 'make run      build and start entree and the lessons demo; prints the addresses to open'
	@echo 'make cert     a local certificate for https in data/tls; make run uses it'
	@echo 'make test     find or install what the tests need, then all layers of a pull request (unit to browser)'
	@echo 'make check    the quick static part: format, lints, documentation, OpenAPI drift, example configuration'
	@echo 'make bench    signing through our path beside the raw signature of the library below it'
	@echo 'make load     load on a release build: rate, latency, CPU, memory and first start, embedded and PostgreSQL + Redis'
	@echo 'make peers    CPU and rate beside oidc-provider, Keycloak and Dex on this machine'
	@echo 'make fuzz     what reads the words of strangers, a minute a target; FUZZ_SECONDS=600 for longer'
	@echo 'make coverage which lines the unit and request tests reach, module by module'
	@echo 'make ci       check, test, client libraries and upstream providers, as the build server runs them'
	@echo 'make endurance 1,000 rounds of each race and 1,000 kills on each back end; some hours'
	@echo 'make abuse    attacks by strangers in their full form; writes the figures into docs/reliability.md'
	@echo 'make openapi  write openapi/public.yaml anew'
	@echo 'make pictures the pictures of the README, from the browser tests'
	@echo 'make format   format the code'

run:
	@cargo build --locked -p entree -p lessons-api -p lessons-web
	exec scripts/demo.sh

cert:
	@scripts/make-cert.sh

test:
	@scripts/setup.sh
	scripts/test.sh unit kit request races abuse rotation crash failover bdd browser

check:
	@scripts/test.sh static

ci:
	@scripts/setup.sh interop
	scripts/prepare.sh >target/prepare.log 2>&1 &
	failed=0
	scripts/test.sh static containers || failed=1
	RACE_ROUNDS=100 CRASHES=25 $(MAKE) test || failed=1
	scripts/test.sh interop upstreams || failed=1
	exit "$$failed"

endurance:
	@scripts/setup.sh
	RACE_ROUNDS=1000 CRASHES=1000 scripts/test.sh races crash

abuse:
	@scripts/setup.sh
	cargo build --locked --release -p entree
	export ENTREE_BIN="$$(realpath "$${CARGO_TARGET_DIR:-target}/release/entree")" ENTREE_BUILD=release
	ABUSE=full WRITE=1 scripts/test.sh abuse

bench:
	@cargo bench --locked -p entree --bench sign

load:
	@cargo build --locked --release -p entree
	cargo build --locked --release -p testkit --bin load
	ulimit -n 65536 2>/dev/null || ulimit -n "$$(ulimit -Hn)"
	target="$${CARGO_TARGET_DIR:-target}/release"
	"$$target/load" "$$target/entree" $(LOAD)

peers:
	@scripts/setup.sh peers
	cargo build --locked --release -p entree
	cargo build --locked --release -p testkit --bin peers
	target="$${CARGO_TARGET_DIR:-target}/release"
	PATH="$$PWD/target/tools/node/bin:$$PATH" "$$target/peers" "$$target/entree" $(PEERS)

fuzz:
	@scripts/fuzz.sh

coverage:
	@scripts/setup.sh
	scripts/coverage.sh

openapi:
	@cargo build --locked -p entree
	mkdir -p openapi
	"$${CARGO_TARGET_DIR:-target}/debug/entree" openapi > openapi/public.yaml.new
	mv openapi/public.yaml.new openapi/public.yaml

pictures:
	@scripts/test.sh browser
	shots="$${CARGO_TARGET_DIR:-target}/screenshots"
	cp "$$shots/login-client-light-desktop.png" docs/images/sign-in.png
	cp "$$shots/login-client-dark-desktop.png" docs/images/sign-in-dark.png

format:
	@cargo fmt --all
