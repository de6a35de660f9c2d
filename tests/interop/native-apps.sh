#!/usr/bin/env bash
# The script of docs/native-apps.md as an app would run it, and what the document says of its end.
set -euo pipefail
EMAIL="native-$$@example.test"
say() { echo "$1 $2"; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The person: reads the mail and types the code, with a blank in it as people do.
types() {
  local code
  for _ in $(seq 400); do
    code=$(curl -sS "$ISSUER/dev/mailbox.json?to=$EMAIL" | jq -r '.[0].text // ""' |
      sed -nE 's/^[[:space:]]*([0-9]{4})[^0-9]{0,2}([0-9]{4})[[:space:]]*$/\1 \2/p')
    if [ -n "$code" ]; then echo "$code"; return; fi
    sleep 0.05
  done
}

say version "$(curl --version | sed -n '1s/^curl \([^ ]*\).*/\1/p')"
source "$DOCUMENT/native-app.sh" < <(types) >"$folder/native.out"
jq -en --arg email "$EMAIL" 'input | .email == $email and .sub != null' "$folder/native.out" >/dev/null
say did 'code from the email, userinfo, refresh with rotation, revocation: the script of the document, unchanged'

# answers STATUS FILTER CURL…: what the document promises of errors.
answers() {
  local status=$1 filter=$2 got
  shift 2
  got=$(curl -sS -o "$folder/error.json" -w '%{http_code}' "$@")
  [ "$got" = "$status" ] && jq -e "$filter" "$folder/error.json" >/dev/null || { echo "$got, wanted $status $filter: $(cat "$folder/error.json")" >&2; exit 1; }
}
answers 400 '.error == "invalid_grant"' "$ISSUER/oauth2/token" -d grant_type=refresh_token -d "client_id=$CLIENT_ID" \
  --data-urlencode "refresh_token=$REFRESH"
[ "$(curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $ACCESS" "$ISSUER/oauth2/userinfo")" = 401 ]
once="{\"flow_id\":\"$FLOW\",\"code_verifier\":\"$VERIFIER\",\"code\":\"$CODE\"}"
answers 400 '.code == "invalid_code"' "$ISSUER/api/v1/auth/magic-link/consume" --json "$once"
begin() { jq -n --arg client "$1" --arg email "$2" --arg challenge "$CHALLENGE" '{client_id: $client, email: $email, code_challenge: $challenge, code_challenge_method: "S256"}'; }
answers 400 '.code == "invalid_client"' "$ISSUER/api/v1/auth/magic-link/request" --json "$(begin unknown "$EMAIL")"
answers 400 '.code == "invalid_email"' "$ISSUER/api/v1/auth/magic-link/request" --json "$(begin "$CLIENT_ID" nonsense)"
say did 'invalid_grant, 401, invalid_code, invalid_client and invalid_email as it says'
say access_token "$ACCESS"
say id_token "$(jq -r .id_token <<<"$TOKENS")"
