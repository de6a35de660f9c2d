#!/usr/bin/env bash
# Makes a certificate for https on this machine: cert.pem, key.pem and ca.pem (whom to trust) in data/tls, or in the
# directory given. With mkcert where there is one, else by ourselves. FORCE=1 replaces one that is there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${1:-$root/data/tls}
names=(localhost 127.0.0.1 ::1 idp.localhost)

if [ -e "$dir/cert.pem" ] && [ "${FORCE:-}" != 1 ]; then
  echo "There is one already: $dir/cert.pem. FORCE=1 makes a new one."
  exit 0
fi
umask 077
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
if command -v mkcert >/dev/null; then
  mkcert -cert-file "$dir/cert.pem" -key-file "$dir/key.pem" "${names[@]}"
  cp "$(mkcert -CAROOT)/rootCA.pem" "$dir/ca.pem"
  trust="  everywhere:  mkcert -install"
else
  cd "$root"
  cargo run --quiet --locked -p local-cert -- "$dir" "${names[@]}"
  trust="  Debian:      install -m 0644 $dir/ca.pem /usr/local/share/ca-certificates/entree-local.crt && update-ca-certificates
  Chromium:    certutil -d sql:\$HOME/.pki/nssdb -A -t C,, -n entree-local -i $dir/ca.pem   (package libnss3-tools)
  Firefox:     Settings, Privacy & Security, View Certificates, Authorities, Import
  The authority's own key was deleted: no further certificate can be made with it."
fi
cat <<TEXT

  Certificate  $dir/cert.pem
  Key          $dir/key.pem
  Authority    $dir/ca.pem
  Names        ${names[*]}

Trust it:
$trust
  curl:        curl --cacert $dir/ca.pem https://127.0.0.1:8080/login
  programs:    SSL_CERT_FILE, NODE_EXTRA_CA_CERTS, REQUESTS_CA_BUNDLE = $dir/ca.pem

\`make run\` serves https as long as these files are there; remove $dir for http.
TEXT
