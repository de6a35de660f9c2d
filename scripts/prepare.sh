#!/usr/bin/env bash
# Fetches and builds what the layers interop and upstreams need of others, in processor time that nothing else wants.
# `make ci` begins it early, beside the layers before those two; what is not there yet, they fetch themselves.
set -uo pipefail
cd "$(dirname "$0")/.."
node_is_new() { "$1" -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1; }
node=node
node_is_new node || node=$PWD/target/tools/node/bin/node
idle=(nice -n 19)
if chrt -i 0 true 2>/dev/null; then idle=(chrt -i 0); fi
"${idle[@]}" tests/interop/setup.sh
"${idle[@]}" "$node" tests/upstreams/fetch.mjs
