#!/usr/bin/env bash
# Fetches and builds the libraries and programs of the layer interop, but for those in Rust. What is there already is
# kept. One that cannot be had is reported by its row. NO_INSTALL=1: fetches no packages.
set -uo pipefail
cd "$(dirname "$0")/../.."
tools=${INTEROP_TOOLS:-target/interop}
mkdir -p "$tools"
tools=$(realpath "$tools")
may_install() { [ "${NO_INSTALL:-0}" != 1 ]; }
source scripts/retry.sh

# Another one may be at it: `make ci` begins early (scripts/prepare.sh).
exec {lock_file}>"$tools/.lock"
flock "$lock_file"

node=node
if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' >/dev/null 2>&1; then
  node=$PWD/target/tools/node/bin/node
  PATH=$(dirname "$node"):$PATH
fi

# fresh LOCK COPY: whether what was installed is what LOCK says.
fresh() { cmp -s "$1" "$2"; }

lock=tests/interop/node/package-lock.json
if ! fresh "$lock" tests/interop/node/node_modules/.entree-lock && may_install; then
  if (cd tests/interop/node && retry npm ci --ignore-scripts --no-audit --no-fund --silent) >"$tools/npm.log" 2>&1; then
    cp "$lock" tests/interop/node/node_modules/.entree-lock
  else
    tail -n 5 "$tools/npm.log"
  fi
fi

# An application of its own: its compiler demands the packages in the application's folder.
lock=tests/interop/next/package-lock.json
if ! fresh "$lock" "$tools/next/.entree-lock" && may_install; then
  rm -rf "$tools/next"
  mkdir -p "$tools/next"
  cp tests/interop/next/package*.json "$tools/next/"
  if (cd "$tools/next" && retry npm ci --ignore-scripts --no-audit --no-fund --silent) >"$tools/npm.log" 2>&1; then
    cp "$lock" "$tools/next/.entree-lock"
  else
    tail -n 5 "$tools/npm.log"
  fi
fi

lock=tests/interop/python/requirements.txt
if ! fresh "$lock" "$tools/venv/.entree-lock" && may_install; then
  rm -rf "$tools/venv"
  if python3 -m venv "$tools/venv" >"$tools/pip.log" 2>&1 &&
    retry "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$lock" >>"$tools/pip.log" 2>&1; then
    cp "$lock" "$tools/venv/.entree-lock"
  else
    tail -n 5 "$tools/pip.log"
  fi
fi

"$node" tests/interop/document.mjs docs/verify-tokens.md docs/native-apps.md "$tools/document" || exit 1
# The file out of the document finds its library where the other programs have it.
ln -sfn "$PWD/tests/interop/node/node_modules" "$tools/document/node_modules"

if command -v javac >/dev/null && command -v mvn >/dev/null; then
  lock=tests/interop/java/pom.xml
  if ! fresh "$lock" "$tools/java/.entree-lock" && may_install; then
    rm -rf "$tools/java"
    retry mvn -q -B -f "$lock" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$tools/java/lib" >"$tools/mvn.log" 2>&1 &&
      cp "$lock" "$tools/java/.entree-lock" || tail -n 5 "$tools/mvn.log"
  fi
  lock=tests/interop/java/spring/pom.xml
  if ! fresh "$lock" "$tools/spring/.entree-lock" && may_install; then
    rm -rf "$tools/spring"
    retry mvn -q -B -f "$lock" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime \
      -DoutputDirectory="$tools/spring/lib" >"$tools/mvn.log" 2>&1 && cp "$lock" "$tools/spring/.entree-lock" || tail -n 5 "$tools/mvn.log"
  fi
  mkdir -p "$tools/java/classes"
  javac -d "$tools/java/classes" -cp "$tools/java/lib/*" "$tools/document/Verifier.java" "$tools/document/Proofs.java" \
    tests/interop/java/Main.java tests/interop/java/Client.java \
    >"$tools/javac.log" 2>&1 || {
    rm -f "$tools/java/classes/Main.class"
    tail -n 5 "$tools/javac.log"
  }
fi

PATH=$PATH:/usr/local/go/bin
if command -v go >/dev/null; then
  mkdir -p "$tools/go"
  beside=$PWD/tests/interop/go/document
  printf '{"Replace":{"%s":"%s","%s":"%s"}}' "$beside/verify.go" "$tools/document/verify.go" \
    "$beside/proof.go" "$tools/document/proof.go" >"$tools/overlay.json"
  flags=-mod=readonly
  if may_install; then (cd tests/interop/go && retry go mod download) >"$tools/go.log" 2>&1; else export GOPROXY=off; fi
  (cd tests/interop/go && go build "$flags" -overlay "$tools/overlay.json" -o "$tools/go/" ./client ./features ./verifier ./document) \
    >"$tools/go.log" 2>&1 || {
    rm -f "$tools/go/client"
    tail -n 5 "$tools/go.log"
  }
  # Programs, each with the versions that its own makers chose. Without cgo: no C compiler takes part.
  # go_program FOLDER PACKAGE: builds the package of the module in tests/interop/go/FOLDER.
  go_program() {
    local try=retry
    may_install || try=
    (cd "tests/interop/go/$1" && CGO_ENABLED=0 $try go build -mod=readonly -ldflags='-s -w' -o "$tools/go/$1" "$2") >"$tools/go.log" 2>&1 || {
      rm -f "$tools/go/$1"
      tail -n 5 "$tools/go.log"
    }
  }
  go_program oauth2-proxy github.com/oauth2-proxy/oauth2-proxy/v7
  go_program kubernetes .
  # The newest dex that is a module under its own version. Its pages lie in the module.
  go_program dex .
  [ ! -x "$tools/go/dex" ] || { rm -rf "$tools/go/dex-web" && cp -r --no-preserve=mode "$(cd tests/interop/go/dex && go list -m -f '{{.Dir}}' github.com/dexidp/dex)/web" "$tools/go/dex-web"; }
fi
