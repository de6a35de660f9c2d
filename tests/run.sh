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
  step fmt-containers cargo fmt --manifest-path tests/containers/Cargo.toml --check
  step fmt-interop cargo fmt --manifest-path tests/interop/rust/Cargo.toml --check
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

# Containers stand in for servers that this machine lacks (TEST_CONTAINERS=1: for all of them). The program that keeps
# them removes them once its stdin closes, so also when this script is killed.

engine() { command -v docker >/dev/null && timeout 2 docker info >/dev/null 2>&1; }

# found NAME: the test kit would find it by itself (tests/testkit/src/services, tests/testkit/src/mailpit.rs).
found() {
  case $1 in
    postgres) [ -n "${TEST_POSTGRES_URL:-}" ] || local_postgres ;;
    redis) [ -n "${TEST_REDIS_URL:-}" ] || local_redis ;;
    mailpit)
      local version
      version=$(sed -n 's/^pub const VERSION: &str = "\(.*\)";$/\1/p' tests/testkit/src/mailpit.rs)
      [ -n "${MAILPIT_URL:-}" ] || command -v mailpit >/dev/null || command -v go >/dev/null || [ -x /usr/local/go/bin/go ] ||
        [ -e "${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/entree-testkit/$version/mailpit" ]
      ;;
  esac
}
local_postgres() {
  [ -e "${PGBIN:-/nonexistent}/initdb" ] || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null
}
local_redis() { command -v redis-server >/dev/null || command -v valkey-server >/dev/null; }

# containers_up NAME…: starts them and exports what the test kit is to know. The caller has the variables `keeper`
# (process), `hold` (its stdin).
containers_up() {
  local dir out line ended=0
  logged containers-build cargo build --locked --manifest-path tests/containers/Cargo.toml --target-dir "$target/containers" ||
    return 1
  dir=$(mktemp -d)
  mkfifo "$dir/in" "$dir/out"
  "$target/containers/debug/containers" "$@" <"$dir/in" >"$dir/out" 2>"$logs/containers-servers.log" &
  keeper=$!
  exec {hold}>"$dir/in" {out}<"$dir/out"
  rm -r "$dir"
  while IFS= read -r line <&"$out"; do
    case $line in
      TEST_*=* | MAILPIT_*=*) export "${line?}" ;;
      '') ended=1 && break ;;
    esac
  done
  exec {out}<&-
  [ "$ended" = 1 ] && return 0
  cat "$logs/containers-servers.log"
  containers_down
  return 1
}

containers_down() {
  [ -n "$keeper" ] || return 0
  exec {hold}>&-
  # Also by signal: a process that a test left behind may still hold that stdin open.
  kill "$keeper" 2>/dev/null
  wait "$keeper"
  keeper=
}

# Before the first layer that needs servers. What is neither found nor started is reported by the layers themselves.
keeper='' hold=''
stand_in() {
  local missing=() name
  for name in postgres redis mailpit; do
    if [ "${TEST_CONTAINERS:-}" = 1 ] || ! found "$name"; then missing+=("$name"); fi
  done
  if [ "${#missing[@]}" = 0 ] || ! engine; then return 0; fi
  containers_up "${missing[@]}" && echo "containers stand in for: ${missing[*]}"
}

# The test kit's own tests on containers, whatever else is there.
containers() {
  # Of this layer alone: gone when it returns.
  local -x TEST_POSTGRES_URL='' TEST_REDIS_URL='' MAILPIT_URL='' MAILPIT_SMTP=''
  local keeper='' hold='' skip=()
  if ! engine; then say containers 'not applicable (no container engine)'; return; fi
  containers_up postgres redis mailpit || { say containers '0 passed, 1 failed'; return; }
  # Those kill a server, so they need one of their own.
  local_postgres || skip+=(--skip a_durable_server)
  local_redis || skip+=(--skip a_redis_of_our_own)
  tests containers --test servers -- "${skip[@]}"
  containers_down
}

request() {
  if [ -e tests/it/main.rs ] || [ -e tests/it.rs ]; then tests request --test it; else echo 'request: there are none yet'; fi
}

# RACE_ROUNDS: how many rounds of each race.
crash() { tests crash --test crash; }

races() { tests races --test races -- --test-threads 1; }

# Keys change under load; needs libfaketime.
rotation() { tests rotation --test rotation; }

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

# Real providers upstream of the service; Keycloak's part reports for itself.
upstreams() {
  local node=node lines
  if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1; then
    node=target/tools/node/bin/node
  fi
  if ! "$node" -v >/dev/null 2>&1; then say upstreams 'skipped (no Node 20 or later; tests/setup.sh installs it)'; return; fi
  for folder in browser/node_modules/playwright-core upstreams/node_modules/oidc-provider; do
    if [ ! -d "tests/$folder" ]; then
      say upstreams "skipped (no packages in tests/${folder%%/*}; tests/setup.sh interop installs them)"
      return
    fi
  done
  logged upstreams-build cargo build --locked --workspace --bins || { say upstreams '0 passed, 1 failed'; return; }
  logged upstreams env BIN="$(realpath "$target")/debug" "$node" tests/upstreams/run.mjs
  lines=$(sed -n 's/^\(upstreams[a-z ]*: \([0-9]* passed, [0-9]* failed\|skipped (.*)\)\)$/\1/p' "$logs/upstreams.log")
  if [ -z "$lines" ]; then say upstreams '0 passed, 1 failed'; return; fi
  while IFS= read -r line; do say "${line%%:*}" "${line#*: }"; done <<<"$lines"
}

# What failed, by name and with its first lines, below the closing table: the end of a log is often all that is kept.
# Reads `cargo test`, the features and the lines `FAILED  NAME` of the others, each as it prints them.
details() {
  local log
  for log in "$logs"/*.log; do
    [ "$log" -nt "$stamp" ] || continue
    awk -v name="$(basename "$log" .log)" '
      /^ *Scenario: / { scenario = $0 }
      /^error(\[|:)/ || /panicked at/ || /^test .*FAILED$/ || /^FAILED  / { left = 4 }
      /^ *✘ / { print name ":" scenario; left = 14 }
      left > 0 { print name ": " substr($0, 1, 300); left-- }' "$log"
  done | head -n 80
}

begin=$SECONDS
stamp=$(mktemp)
trap 'containers_down; rm -f "$stamp"' EXIT
if [ "${TEST_CONTAINERS:-}" = 1 ] && ! engine; then
  echo 'TEST_CONTAINERS=1, and no container engine answers' >&2
  exit 1
fi
case " $* " in *' kit '* | *' request '* | *' races '* | *' rotation '* | *' crash '* | *' bdd '*)
  stand_in || [ "${TEST_CONTAINERS:-}" != 1 ] || exit 1
  ;;
esac
for layer in "$@"; do
  case $layer in
    static | unit | kit | containers | request | races | rotation | crash | bdd | browser | interop | upstreams) "$layer" ;;
    *) echo "no layer called $layer" >&2; exit 2 ;;
  esac
done
echo
echo "── $((SECONDS - begin)) s ──"
printf '%s\n' "${report[@]}"
if [ "$failed" != 0 ]; then details; fi
exit "$failed"
