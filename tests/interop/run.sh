#!/usr/bin/env bash
# Runs client and verifier libraries of several languages against the built service. Prints a line a library and
# `interop: N passed, N failed`. Arguments: parts of the names of libraries to run.
# BIN=target/debug: where entree and the programs in Rust are. WRITE=1: writes docs/interop.md. NO_INSTALL=1: fetches no
# packages.
set -uo pipefail
cd "$(dirname "$0")/../.."
tools=${INTEROP_TOOLS:-target/interop}
mkdir -p "$tools"
tools=$(realpath "$tools")
may_install() { [ "${NO_INSTALL:-0}" != 1 ]; }
source scripts/retry.sh

node=node
if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1; then
  node=$PWD/target/tools/node/bin/node
  PATH=$(dirname "$node"):$PATH
fi
if ! "$node" -v >/dev/null 2>&1; then
  echo 'interop: skipped (no Node 20 or later; scripts/setup.sh installs it)'
  [ "${CI:-}" != true ]
  exit
fi

tests/interop/setup.sh

PATH=$PATH:/usr/local/go/bin
target=${CARGO_TARGET_DIR:-target}
if command -v cargo >/dev/null; then
  project=(--locked --manifest-path tests/interop/rust/Cargo.toml)
  if may_install; then retry cargo fetch "${project[@]}" >"$tools/cargo.log" 2>&1; fi
  # The same folder as the product's: what both use is compiled once.
  cargo build --offline "${project[@]}" --target-dir "$target" >"$tools/cargo.log" 2>&1 || {
    rm -f "$target/debug/interop-client"
    tail -n 5 "$tools/cargo.log"
  }
fi

exec "$node" tests/interop/run.mjs "$@"
