#!/usr/bin/env bash
# Runs layers of the tests and reports each in one line: `NAME: N passed, N failed`, `NAME: skipped (reason)` (it could
# have run here, had something been installed) or `NAME: not applicable (reason)` (it cannot run on such a machine).
# A layer with a failure, or in which nothing ran, fails the whole; one that was skipped does so where CI=true.
set -uo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
logs=$target/test-logs
mkdir -p "$logs"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
report=() failed=0

# say NAME TEXT: prints the line of a layer now and keeps it for the closing table.
say() {
  local line="$1: $2"
  echo "$line"
  report+=("$line")
  case $2 in
    *' 0 failed') case $2 in '0 passed,'*) failed=1 ;; esac ;;
    skipped*) [ "${CI:-}" != true ] || failed=1 ;;
    'not applicable'*) ;;
    *) failed=1 ;;
  esac
}

# logged NAME COMMAND…: runs it with its output in a file; the output is shown if it fails.
logged() {
  local log=$logs/$1.log
  shift
  "$@" >"$log" 2>&1 && return 0
  local status=$?
  tail -n "${TAIL:-120}" "$log"
  return $status
}

# tests NAME ARGUMENTS…: `cargo test`, counted from the lines `test result: …`.
tests() {
  local name=$1 ok=0 passed wrong
  shift
  # `--workspace` throughout: one set of features, so nothing is built twice.
  logged "$name" cargo test --locked --workspace --no-fail-fast "$@" || ok=1
  passed=$(sum "$name" passed)
  wrong=$(sum "$name" failed)
  # Not built, or ended by a signal: no line tells of a failure, yet it is one.
  if [ "$ok" != 0 ] && [ "$wrong" = 0 ]; then wrong=1; fi
  say "$name" "$passed passed, $wrong failed"
}
sum() { sed -n "s/^test result: .* \([0-9]*\) $2;.*/\1/p" "$logs/$1.log" | awk '{ n += $1 } END { print n + 0 }'; }

static() {
  local passed=0 wrong=0
  step() {
    local what=$1
    shift
    if logged "static-$what" "$@"; then passed=$((passed + 1)); else wrong=$((wrong + 1)); echo "static: $what failed"; fi
  }
  step fmt cargo fmt --all --check
  step clippy cargo clippy --locked --workspace --all-targets -- -D warnings
  RUSTDOCFLAGS='-D warnings' step rustdoc cargo doc --locked --workspace --no-deps --document-private-items
  if logged static-build cargo build --locked -p entree; then
    step openapi "$target/debug/entree" openapi --check
    step example-configuration example_configuration
  else
    wrong=$((wrong + 2))
  fi
  if command -v cargo-deny >/dev/null; then step deny cargo deny --offline check bans licenses sources; fi
  say static "$passed passed, $wrong failed"
}

# A machine has its own ENTREE__…; the example must hold without them.
example_configuration() {
  # shellcheck disable=SC2046
  env $(env | sed -n 's/^\(ENTREE_[A-Z_]*\)=.*/-u \1/p') "$target/debug/entree" --config deploy/entree.example.toml check-config
}

unit() { tests unit --lib --bins; }

kit() { tests kit --test servers; }

request() {
  if [ -e tests/it/main.rs ] || [ -e tests/it.rs ]; then tests request --test it; else echo 'request: there are none yet'; fi
}

# RACE_ROUNDS: how many rounds of each race.
crash() { tests crash --test crash; }

races() { tests races --test races -- --test-threads 1; }

bdd() {
  local ok=0 lines
  logged bdd cargo test --locked --workspace --test features || ok=1
  lines=$(sed -n 's/^bdd \([a-z]*: \([0-9]* passed, [0-9]* failed\|skipped (.*)\)\)$/\1/p' "$logs/bdd.log" | awk '!seen[$0]++')
  if [ -z "$lines" ]; then say bdd '0 passed, 1 failed'; return; fi
  while IFS= read -r line; do say "bdd ${line%%:*}" "${line#*: }"; done <<<"$lines"
  if [ "$ok" != 0 ]; then failed=1; fi
}

browser() {
  local node=node line
  if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1; then
    node=target/tools/node/bin/node
  fi
  if ! "$node" -v >/dev/null 2>&1; then say browser 'skipped (no Node 20 or later; tests/setup.sh installs it)'; return; fi
  if [ ! -d tests/browser/node_modules/playwright-core ]; then
    say browser 'skipped (no packages in tests/browser; tests/setup.sh installs them)'
    return
  fi
  logged browser-build cargo build --locked --workspace --bins || { say browser '0 passed, 1 failed'; return; }
  logged browser env BIN="$(realpath "$target")/debug" "$node" tests/browser/run.mjs
  line=$(sed -n 's/^browser: //p' "$logs/browser.log" | tail -n 1)
  say browser "${line:-0 passed, 1 failed}"
}

interop() {
  local line
  logged interop-build cargo build --locked --workspace --bins || { say interop '0 passed, 1 failed'; return; }
  logged interop env BIN="$(realpath "$target")/debug" tests/interop/run.sh
  line=$(sed -n 's/^interop: //p' "$logs/interop.log" | tail -n 1)
  say interop "${line:-0 passed, 1 failed}"
}

begin=$SECONDS
for layer in "$@"; do
  case $layer in
    static | unit | kit | request | races | crash | bdd | browser | interop) "$layer" ;;
    *) echo "no layer called $layer" >&2; exit 2 ;;
  esac
done
echo
echo "── $((SECONDS - begin)) s ──"
printf '%s\n' "${report[@]}"
exit "$failed"
