#!/usr/bin/env bash
# Fuzzes each target for FUZZ_SECONDS (60), or those that are named. Stops at the first finding, which it prints; the
# input that found it lies in tests/fuzz/artifacts, what was learnt in target/fuzz/corpus.
# cargo-fuzz comes from the registry into target/tools. RUSTC_BOOTSTRAP: the sanitizer is a compiler option that is not
# stable.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools
PATH=$tools/bin:$PATH
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked --root "$tools" cargo-fuzz@0.13.2
export RUSTC_BOOTSTRAP=1
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' tests/fuzz/Cargo.toml | grep -v entree-fuzz)
seconds=${FUZZ_SECONDS:-60}
for target in "${targets[@]}"; do
  corpus=target/fuzz/corpus/$target
  mkdir -p "$corpus"
  cargo fuzz build --fuzz-dir tests/fuzz --target-dir target/fuzz "$target" >"target/fuzz/$target.log" 2>&1 ||
    { tail -n 40 "target/fuzz/$target.log"; exit 1; }
  cargo fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz "$target" "$corpus" -- \
    -max_total_time="$seconds" -max_len=8192 -timeout=10 >"target/fuzz/$target.log" 2>&1 ||
    { tail -n 40 "target/fuzz/$target.log"; echo "fuzz $target: a finding"; exit 1; }
  echo "fuzz $target: nothing found in ${seconds} s ($(sed -n 's/^Done \([0-9]*\) runs.*/\1 runs/p' "target/fuzz/$target.log"))"
done
