#!/usr/bin/env bash
# Runs the layers of tests that are named: `scripts/test.sh unit request`. docs/testing.md describes
# the layers.
#
# Says when a layer begins and every half minute how far it is. Reports each layer in one line:
#   NAME: N passed, N failed
#   NAME: skipped (reason)         it could run here if something were installed
#   NAME: not applicable (reason)  such a machine cannot run it
# A closing table repeats these lines. The exit status is 1 if a test failed, if a layer ran no test,
# or, where CI=true, if a layer was skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
logs=$target/test-logs
mkdir -p "$logs"
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
report=() failed=0 layer_began=0

# begin NAME TEXT: announces a layer.
begin() {
  layer_began=$SECONDS
  echo "▶ $1: $2 (log: $logs/$1*.log)"
}

# result NAME TEXT: prints the line of a layer and keeps it for the closing table.
result() {
  local line="$1: $2"
  echo "$line ($((SECONDS - layer_began)) s)"
  report+=("$line")
  case $2 in
    '0 passed, 0 failed') failed=1 ;;
    *' 0 failed') ;;
    skipped*) [ "${CI:-}" != true ] || failed=1 ;;
    'not applicable'*) ;;
    *) failed=1 ;;
  esac
}

# progress LOG: prints every half minute what the log's last line says, until it is killed.
progress() {
  local since=$SECONDS ended
  while sleep 30; do
    ended=$(grep -cE '^test .* \.\.\. |^ok  |^ok |^ *✔ ' "$1" 2>/dev/null)
    echo "    … $((SECONDS - since)) s, ${ended:-0} lines of results; last: $(tail -n 1 "$1" 2>/dev/null | tr -d '\r' | cut -c1-90)"
  done
}

# logged NAME COMMAND…: runs the command with its output in a log; shows the end of it if it fails.
logged() {
  local log=$logs/$1.log status ticker
  shift
  progress "$log" &
  ticker=$!
  "$@" >"$log" 2>&1
  status=$?
  { kill "$ticker" && wait "$ticker"; } 2>/dev/null
  [ "$status" = 0 ] || tail -n "${TAIL:-120}" "$log"
  return $status
}

# count NAME WORD: adds up the lines `test result: …` of a log.
count() {
  sed -n "s/^test result: .* \([0-9]*\) $2;.*/\1/p" "$logs/$1.log" | awk '{ n += $1 } END { print n + 0 }'
}

# cargo_tests NAME ARGUMENTS…: runs `cargo test` and reports the layer.
cargo_tests() {
  local name=$1 status=0 passed wrong
  shift
  # `--workspace` throughout: one set of features, so that nothing is built twice.
  logged "$name" cargo test --locked --workspace --no-fail-fast "$@" || status=1
  passed=$(count "$name" passed)
  wrong=$(count "$name" failed)
  # A build that fails or a signal leaves no line with a failure.
  if [ "$status" != 0 ] && [ "$wrong" = 0 ]; then wrong=1; fi
  result "$name" "$passed passed, $wrong failed"
}

# Builds all programs and tests at once, in the profile and with the features of `cargo test`, so that no library is
# built twice.
build_all() { cargo build --locked --profile test --workspace --all-targets; }

# ── Layers ──────────────────────────────────────────────────────────────────────────────────────

static() {
  begin static 'format, rules of the repository, lints, documentation, OpenAPI, example configuration'
  local passed=0 wrong=0
  step() {
    local what=$1
    shift
    if logged "static-$what" "$@"; then passed=$((passed + 1)); else wrong=$((wrong + 1)); echo "static: $what failed"; fi
  }
  step fmt cargo fmt --all --check
  step fmt-containers cargo fmt --manifest-path tests/containers/Cargo.toml --check
  step fmt-interop cargo fmt --manifest-path tests/interop/rust/Cargo.toml --check
  step rules cargo test --locked -p repository-rules
  step clippy cargo clippy --locked --workspace --all-targets -- -D warnings
  RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' step rustdoc cargo doc --locked --workspace --no-deps --document-private-items
  if logged static-build build_all; then
    step openapi "$target/debug/entree" openapi --check
    step example-configuration example_configuration
  else
    wrong=$((wrong + 2))
  fi
  if command -v cargo-deny >/dev/null; then step deny cargo deny --offline check bans licenses sources; fi
  if PATH=$PATH:target/tools/bin command -v cargo-machete >/dev/null; then
    step unused-dependencies env "PATH=$PATH:$PWD/target/tools/bin" cargo machete
  fi
  result static "$passed passed, $wrong failed"
}

# The example must be valid without the ENTREE__… variables of this machine.
example_configuration() {
  # shellcheck disable=SC2046
  env $(env | sed -n 's/^\(ENTREE_[A-Z_]*\)=.*/-u \1/p') "$target/debug/entree" --config deploy/entree.example.toml check-config
}

unit() {
  begin unit 'the tests beside the code'
  cargo_tests unit --lib --bins
}

kit() {
  begin kit "the test support's own servers"
  cargo_tests kit --test servers
}

request() {
  begin request 'HTTP requests and rules on both databases and both ticket stores'
  cargo_tests request --test it
}

# RACE_ROUNDS: rounds of each race.
races() {
  begin races "one-time secrets used many times at once, ${RACE_ROUNDS:-25} rounds"
  cargo_tests races --test races -- --test-threads 1
}

crash() {
  begin crash "SIGKILL at ${CRASHES:-5} moments on each back end"
  cargo_tests crash --test crash
}

failover() {
  begin failover 'PostgreSQL switched over, killed and restarted under load; about a minute and a half'
  cargo_tests failover --test failover -- --test-threads 6
}

# ABUSE=full: the long form, which `make abuse` runs.
abuse() {
  begin abuse "attacks by strangers while people sign in, ${ABUSE:-short} form"
  # Attackers and the service hold 4,096 connections each.
  ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"
  cargo_tests abuse --test abuse -- --test-threads 1 --nocapture
  grep -a '^| OA-\|\.\.\. | OA-' "$logs/abuse.log" | sed 's/^test .* \.\.\. //'
}

rotation() {
  begin rotation 'signing keys rotated and revoked under load; about two minutes'
  cargo_tests rotation --test rotation
}

bdd() {
  begin bdd 'the features, on each back end'
  local status=0 lines
  logged bdd cargo test --locked --workspace --test features || status=1
  lines=$(sed -n 's/^bdd \([a-z]*: \([0-9]* passed, [0-9]* failed\|skipped (.*)\)\)$/\1/p' "$logs/bdd.log" | awk '!seen[$0]++')
  if [ -z "$lines" ]; then result bdd '0 passed, 1 failed'; return; fi
  while IFS= read -r line; do result "bdd ${line%%:*}" "${line#*: }"; done <<<"$lines"
  if [ "$status" != 0 ]; then failed=1; fi
}

browser() {
  begin browser 'headless Chromium: whole walks, pages, accessibility'
  local node line
  node=$(node_20) || { result browser 'skipped (no Node 20 or later; scripts/setup.sh installs it)'; return; }
  if [ ! -d tests/browser/node_modules/playwright-core ]; then
    result browser 'skipped (no packages in tests/browser; scripts/setup.sh installs them)'
    return
  fi
  logged browser-build build_all || { result browser '0 passed, 1 failed'; return; }
  logged browser env BIN="$(realpath "$target")/debug" "$node" tests/browser/run.mjs
  line=$(sed -n 's/^browser: //p' "$logs/browser.log" | tail -n 1)
  result browser "${line:-0 passed, 1 failed}"
}

interop() {
  begin interop "other people's client and verifier libraries, over http and https"
  local line
  logged interop-build build_all || { result interop '0 passed, 1 failed'; return; }
  logged interop env BIN="$(realpath "$target")/debug" tests/interop/run.sh
  line=$(sed -n 's/^interop: //p' "$logs/interop.log" | tail -n 1)
  result interop "${line:-0 passed, 1 failed}"
}

# Keycloak, dex and Hydra report for themselves.
upstreams() {
  begin upstreams 'sign-in through real providers: oidc-provider, oauth2-mock-server, Keycloak, dex, Hydra'
  local node lines folder
  node=$(node_20) || { result upstreams 'skipped (no Node 20 or later; scripts/setup.sh installs it)'; return; }
  for folder in browser/node_modules/playwright-core upstreams/node_modules/oidc-provider; do
    if [ ! -d "tests/$folder" ]; then
      result upstreams "skipped (no packages in tests/${folder%%/*}; scripts/setup.sh interop installs them)"
      return
    fi
  done
  logged upstreams-build build_all || { result upstreams '0 passed, 1 failed'; return; }
  logged upstreams env BIN="$(realpath "$target")/debug" "$node" tests/upstreams/run.mjs
  lines=$(sed -n 's/^\(upstreams[a-z ]*: \([0-9]* passed, [0-9]* failed\|skipped (.*)\)\)$/\1/p' "$logs/upstreams.log")
  if [ -z "$lines" ]; then result upstreams '0 passed, 1 failed'; return; fi
  while IFS= read -r line; do result "${line%%:*}" "${line#*: }"; done <<<"$lines"
}

# Prints the path of a Node that is new enough.
node_20() {
  local node
  for node in node target/tools/node/bin/node; do
    if "$node" -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1; then
      echo "$node"
      return 0
    fi
  done
  return 1
}

# The test support's own tests on containers, whatever else is installed.
containers() {
  begin containers 'the test support on PostgreSQL, Redis and Mailpit in containers'
  # Local to this layer.
  local -x TEST_POSTGRES_URL='' TEST_REDIS_URL='' MAILPIT_URL='' MAILPIT_SMTP=''
  local keeper='' keeper_stdin='' skip=()
  if ! engine; then result containers 'not applicable (no container engine)'; return; fi
  containers_up postgres redis mailpit || { result containers '0 passed, 1 failed'; return; }
  # These tests kill a server, so they need one of their own.
  local_postgres || skip+=(--skip a_durable_server)
  local_redis || skip+=(--skip a_redis_of_our_own)
  cargo_tests containers --test servers -- "${skip[@]}"
  containers_down
}

# ── Containers in place of servers that this machine lacks (TEST_CONTAINERS=1: for all of them) ─

engine() { command -v docker >/dev/null && timeout 2 docker info >/dev/null 2>&1; }

# found NAME: whether the test support finds this server by itself (tests/testkit/src/services,
# tests/testkit/src/mailpit.rs).
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

# containers_up NAME…: starts them and exports the variables that the test support reads. The caller
# owns the variables `keeper` (the process that removes the containers when its stdin closes, so also
# when this script is killed) and `keeper_stdin`.
containers_up() {
  local dir out line ended=0
  logged containers-build cargo build --locked --manifest-path tests/containers/Cargo.toml --target-dir "$target/containers" ||
    return 1
  dir=$(mktemp -d)
  mkfifo "$dir/in" "$dir/out"
  "$target/containers/debug/containers" "$@" <"$dir/in" >"$dir/out" 2>"$logs/containers-servers.log" &
  keeper=$!
  exec {keeper_stdin}>"$dir/in" {out}<"$dir/out"
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
  exec {keeper_stdin}>&-
  # Also by signal: a process that a test left behind may still hold that stdin open.
  kill "$keeper" 2>/dev/null
  wait "$keeper"
  keeper=
}

# Starts containers for the servers that are missing. What is neither found nor started is reported
# by the layers.
keeper='' keeper_stdin=''
start_missing_servers() {
  local missing=() name
  for name in postgres redis mailpit; do
    if [ "${TEST_CONTAINERS:-}" = 1 ] || ! found "$name"; then missing+=("$name"); fi
  done
  if [ "${#missing[@]}" = 0 ] || ! engine; then return 0; fi
  containers_up "${missing[@]}" && echo "containers stand in for: ${missing[*]}"
}

# ── Report ──────────────────────────────────────────────────────────────────────────────────────

# Prints the names and first lines of what failed: often only the end of a log is kept. Reads the
# output of `cargo test`, of the features, and the lines `FAILED  NAME` of the other layers.
failures() {
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

began=$SECONDS
stamp=$(mktemp)
trap 'containers_down; rm -f "$stamp"' EXIT
if [ "${TEST_CONTAINERS:-}" = 1 ] && ! engine; then
  echo 'TEST_CONTAINERS=1, but no container engine responds' >&2
  exit 1
fi
case " $* " in *' kit '* | *' request '* | *' races '* | *' abuse '* | *' rotation '* | *' crash '* | *' failover '* | *' bdd '*)
  start_missing_servers || [ "${TEST_CONTAINERS:-}" != 1 ] || exit 1
  ;;
esac
for layer in "$@"; do
  case $layer in
    static | unit | kit | containers | request | races | abuse | rotation | crash | failover | bdd | browser | interop | upstreams) "$layer" ;;
    *) echo "no layer is called $layer" >&2; exit 2 ;;
  esac
done
echo
echo "── $((SECONDS - began)) s ──"
printf '%s\n' "${report[@]}"
if [ "$failed" != 0 ]; then failures; fi
exit "$failed"
