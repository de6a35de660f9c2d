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
  echo "$1 did not start; what it said:" >&2
  cat "$logs/$1" >&2
  return 1
}

trusting=() tls=${DATA:-data}/tls
if [ -e "$tls/cert.pem" ] && [ -e "$tls/key.pem" ]; then
  export ENTREE__SERVER__TLS__CERT_FILE=$tls/cert.pem ENTREE__SERVER__TLS__KEY_FILE=$tls/key.pem
  if [ -e "$tls/ca.pem" ]; then trusting=(env "SSL_CERT_FILE=$tls/ca.pem"); fi
fi

start entree "$bin/entree" dev --port "$port" ${DATA:+--data "$DATA"}
issuer=$(said entree 'public listener: ')
web="http://127.0.0.1:$web_port"
# A minute instead of five: nobody wants to wait longer to be asked again.
start lessons-api "${trusting[@]}" "$bin/lessons-api" --listen "127.0.0.1:$api_port" --issuer "$issuer" --web-origin "$web" \
  --audience http://127.0.0.1:8082 --fresh-seconds 60
api=$(said lessons-api 'lessons-api: ')
start lessons-web "${trusting[@]}" "$bin/lessons-web" --listen "127.0.0.1:$web_port" --issuer "$issuer" --lessons-api-url "$api"
web=$(said lessons-web 'lessons-web: ')

set_data=
if [ -n "${DATA:-}" ]; then set_data="ENTREE__SERVER__DATA_DIR=$DATA "; fi
authority=
if [ "${#trusting[@]}" != 0 ]; then
  authority="     (Your browser does not know the authority of $tls/cert.pem unless mkcert told it: let it go on.)
"
fi
providers="  To sign in with a provider too, add five lines to entree.toml (docs/providers.md) and start again."
if [ -e entree.toml ]; then
  providers="  entree.toml is read, and again whenever you save it. Looking at its providers: $bin/entree doctor --dev"
fi

cat <<TEXT

  A walk
  1. Open  $web  and press "Sign in".
  2. You are at Entree. Enter any address, say degas@dance.example.
$authority  3. Every mail lands in the mailbox,  $issuer/dev/mailbox
     Open it in the same browser and follow the link; or type the code into the waiting window, as with the mail on a phone.
  4. Your lessons: fetched with Entree's token by lessons-web, verified by lessons-api ($api) without asking Entree.
  5. Press "The register": it is for coaches. Make yourself one, and then press the button there:
       $set_data$bin/entree users roles set degas@dance.example coach
  6. Sign-ins count as recent for a minute there. After that Entree asks who you are once more: type the second code.
  7. Take Entree away, load the lessons again, and they are there: the API knows the keys. Then let it come back:
       kill -STOP ${children[0]}
       kill -CONT ${children[0]}
  8. "Sign out here" forgets you at the lessons; the way back is one redirect. "Sign out everywhere" ends Entree's session
     too. Your account ($issuer/account) does so for all your devices.

$providers
  For developers: $issuer/docs and $issuer/.well-known/openid-configuration
  Ctrl-C stops everything.

TEXT
wait -n "${children[@]}" || true
echo 'One of the three has ended; stopping the others.' >&2
exit 1
