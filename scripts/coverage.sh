#!/usr/bin/env bash
# Which lines the layers unit and request reach, by module; the whole report in target/coverage. Fails where a module of
# the domain or the protocol is under 85 %.
# cargo-llvm-cov comes from the registry into target/tools; LLVM's own tools, of the version that the compiler was built
# with, from apt where rustup has none.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools
PATH=$tools/bin:$PATH
command -v cargo-llvm-cov >/dev/null || cargo install --quiet --locked --root "$tools" cargo-llvm-cov@0.9.1
version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
if ! compgen -G "$(rustc --print sysroot)/lib/rustlib/*/bin/llvm-profdata" >/dev/null; then
  if [ ! -x "/usr/bin/llvm-profdata-$version" ]; then
    as_root=
    if [ "$(id -u)" != 0 ]; then as_root='sudo -n'; fi
    $as_root apt-get install -y -qq --no-install-recommends "llvm-$version" >/dev/null
  fi
  export LLVM_COV=/usr/bin/llvm-cov-$version LLVM_PROFDATA=/usr/bin/llvm-profdata-$version
fi
mkdir -p target/coverage
log=target/coverage/tests.log
cargo llvm-cov --locked --workspace --lib --test it --json --summary-only --output-path target/coverage/summary.json \
  >"$log" 2>&1 || { tail -n 40 "$log"; exit 1; }
cargo llvm-cov report --lcov --output-path target/coverage/lcov.info >>"$log" 2>&1
python3 - target/coverage/summary.json <<'PYTHON'
import json, sys
from collections import Counter

held = {"client", "federation", "key", "login", "magic_link", "oauth", "session", "ticket", "user"}
all_lines, reached = Counter(), Counter()
for file in json.load(open(sys.argv[1]))["data"][0]["files"]:
    parts = file["filename"].rpartition("/src/")[2].split("/")
    if "/examples/" in file["filename"] or "/tests/" in file["filename"] or "tests.rs" in parts[-1]:
        continue
    module = parts[0].removesuffix(".rs")
    all_lines[module] += file["summary"]["lines"]["count"]
    reached[module] += file["summary"]["lines"]["covered"]
low = 0
for module, lines in sorted(all_lines.items()):
    share = 100 * reached[module] / max(lines, 1)
    short = module in held and share < 85
    low += short
    print(f"{module:<14} {lines:>6} lines {share:6.1f} %{'  under 85 %' if short else ''}")
print(f"{'all':<14} {sum(all_lines.values()):>6} lines {100 * sum(reached.values()) / sum(all_lines.values()):6.1f} %")
sys.exit(1 if low else 0)
PYTHON
