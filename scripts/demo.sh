#!/usr/bin/env bash
# Starts the built entree in development mode and the lessons demo, prints what to open, and stops all on Ctrl-C.
# PORT, WEB_PORT, API_PORT and DATA choose other places; port 0 is any free one (but entree's: the demo must know it).
# With another WEB_PORT than 8081 signing out everywhere ends at entree: no other address to come back to is registered.
# Where `make cert` has made a certificate, entree speaks https and the demo trusts its authority.
set -euo pipefail
cd "$(dirname "$0")/.."
bin="${CARGO_TARGET_DIR:-target}/debug"
port=${PORT:-8080} web_port=${WEB_PORT:-8081} api_port=${API_PORT:-8082}
logs=$(mktemp -d)
children=()
stop() {
  trap - EXIT INT TERM
  # One that was stopped to take it away ends once it goes on.
  for child in "${children[@]}"; do kill "$child" 2>/dev/null && kill -CONT "$child" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$logs"
  exit "${1:-0}"
}
trap 'stop $?' EXIT
trap 'stop 0' INT TERM

# start NAME COMMAND…: in the background, its output in a file of its own and on the terminal.
start() {
  local name=$1
  shift
  "$@" > >(tee "$logs/$name") 2>&1 &
  children+=($!)
}
# said NAME TEXT: waits for a line that begins with TEXT and gives what follows it.
said() {
  local line
  for _ in $(seq 600); do
    line=$(sed -n "s|^$2||p" "$logs/$1" 2>/dev/null | head -n 1)
    if [ -n "$line" ]; then echo "${line%/}"; return 0; fi
    if ! kill -0 "${children[-1]}" 2>/dev/null; then break; fi
    sleep 0.1
  done
  echo "$1 did not start: it says why above. PORT, WEB_PORT and API_PORT choose other ports, as in PORT=8090 make run." >&2
  return 1
}

trusting=() tls=${DATA:-data}/tls
if [ -e "$tls/cert.pem" ] && [ -e "$tls/key.pem" ]; then
  export ENTREE__SERVER__TLS__CERT_FILE=$tls/cert.pem ENTREE__SERVER__TLS__KEY_FILE=$tls/key.pem
  if [ -e "$tls/ca.pem" ]; then trusting=(env "SSL_CERT_FILE=$tls/ca.pem"); fi
fi

start entree "$bin/entree" dev --port "$port" ${DATA:+--data "$DATA"}
issuer=$(said entree 'entree dev: this machine only; sign in at ')
issuer=${issuer%%/login, *}
web="http://127.0.0.1:$web_port"
# What an entree.toml that was written for servers lacks.
file=${ENTREE_CONFIG:-entree.toml}
if ! [[ $issuer =~ ^https?://(127\.0\.0\.1|\[::1\]|localhost|[a-z0-9.-]+\.localhost)(:|/|$) ]]; then
  echo "$file sets server.public_url to $issuer, which is not this machine: leave that out of it for the demo, or move the file." >&2
  exit 1
fi
if grep -qs '^ *\[\[clients\]\]' "$file" && ! grep -qE '"http://127\.0\.0\.1(:[0-9]+)?/callback"' "$file"; then
  echo "No client in $file has the redirect URI http://127.0.0.1:8081/callback: add the block of deploy/entree.compose.toml, or move the file." >&2
  exit 1
fi
# One minute instead of five: long enough for the walk.
start lessons-api "${trusting[@]}" "$bin/lessons-api" --listen "127.0.0.1:$api_port" --issuer "$issuer" --web-origin "$web" \
  --audience http://127.0.0.1:8082 --fresh-seconds 60
api=$(said lessons-api 'lessons-api: ')
start lessons-web "${trusting[@]}" "$bin/lessons-web" --listen "127.0.0.1:$web_port" --issuer "$issuer" --lessons-api-url "$api"
web=$(said lessons-web 'lessons-web: ')

set_data=
if [ -n "${DATA:-}" ]; then set_data="ENTREE__SERVER__DATA_DIR=$DATA "; fi
authority=
if [ "${#trusting[@]}" != 0 ]; then
  authority="     (Your browser does not trust the authority of $tls/cert.pem, unless mkcert installed it: accept the certificate.)
"
fi
providers="  To sign in with a provider too, add five lines to entree.toml (docs/providers.md) and start over."
if [ -e entree.toml ]; then
  providers="  entree.toml is read, and read again whenever you save it. To check its providers: $bin/entree doctor --dev"
fi

cat <<TEXT

  A walk
  1. Open  $web  and select "Sign in".
  2. You are at Entree. Enter any address, for example degas@dance.example.
$authority  3. Every email lands in the mailbox,  $issuer/dev/mailbox
     Open it in the same browser and follow the link. Or enter the code on the waiting page, as with an email on a phone.
  4. Your lessons: lessons-web got them with Entree's token; lessons-api ($api) verified it without asking Entree.
  5. Select "Open the register": it is for coaches. Make yourself a coach, then select "Check again" there:
       $set_data$bin/entree users roles set degas@dance.example coach
  6. There a sign-in counts as recent for a minute. After that, Entree asks you to sign in again: enter the second code.
  7. Stop Entree and load the lessons again: they still open, because the API knows the keys. Then let Entree continue:
       kill -STOP ${children[0]}
       kill -CONT ${children[0]}
  8. "Sign out here" ends your session at the lessons; signing in again is one redirect. "Sign out everywhere" ends
     Entree's session too. On your account page ($issuer/account) you can do so for all devices.

$providers
  For developers: $issuer/docs and $issuer/.well-known/openid-configuration
  Ctrl-C stops everything.

TEXT
wait -n "${children[@]}" || true
echo 'One of the three has ended. Stopping the others.' >&2
exit 1
