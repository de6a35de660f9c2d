#!/bin/bash
# Whether the tests of upstream sign-in notice when a rule is gone. In a clone under target/mutants each rule below gets
# a switch, all of them in one build; then, with one rule off at a time, the test that is named after it must fail, and
# with none off all of them must pass. Needs perl; the tests want what `tests/it` wants.
#
#   scripts/mutants.sh              # all; the table goes to stdout
#   scripts/mutants.sh r_27 r_30    # some
#   scripts/mutants.sh --check      # only whether the text of each rule stands once in its file; builds nothing
set -euo pipefail
cd "$(dirname "$0")/.."
clone=$PWD/target/mutants
# Its own: cargo takes what two checkouts put into one folder for the same, and tests the wrong one.
export CARGO_TARGET_DIR=$PWD/target/mutants-build
oidc=src/federation/provider/oidc
names=() filters=()

# mutant NAME TEST FILE FROM TO: the text FROM stands once in FILE and becomes TO, in which OFF is "this rule is off".
mutant() {
  local name=$1 filter=$2 file=$3
  if [ ${#wanted[@]} -gt 0 ] && [[ " ${wanted[*]} " != *" $name "* ]]; then return; fi
  FROM=$4 TO=${5//OFF/crate::off(\"$name\")} NAME=$name perl -0pi -e '
    my $found = () = /\Q$ENV{FROM}\E/g;
    die "$ENV{NAME}: $ARGV has this text $found times: $ENV{FROM}\n" unless $found == 1;
    s/\Q$ENV{FROM}\E/$ENV{TO}/' "$clone/$file" || changed=1
  names+=("$name") filters+=("$filter")
}

check=0 changed=0
if [ "${1:-}" = --check ]; then check=1; shift; fi
wanted=("$@")
rm -rf "$clone"
git clone -q --no-hardlinks . "$clone"
printf '\n#[allow(missing_docs, clippy::missing_panics_doc)]\n#[must_use]\npub fn off(rule: &str) -> bool {\n    std::env::var("MUTANT").is_ok_and(|off| off == rule)\n}\n' \
  >>"$clone/src/lib.rs"

mutant r_02 federation::provider::metadata::r_02 src/web/fetch/client.rs 'if status.is_redirection() &&' 'if !OFF && status.is_redirection() &&'
mutant r_04 federation::provider::metadata::r_04_dj_01 $oidc/metadata.rs 'Some(found) if found == configured => Ok(()),' \
  'Some(found) if found == configured || OFF => Ok(()),'
mutant r_05 federation::provider::metadata::r_05 $oidc/metadata.rs '.any(is_within)' '.any(is_within) || OFF'
mutant r_07 federation::flow::callback::r_07 src/federation/endpoint/callback.rs \
  'form_post == (mode == ResponseMode::FormPost) && *method != Method::HEAD' \
  '(form_post == (mode == ResponseMode::FormPost) && *method != Method::HEAD || OFF)'
mutant r_11 federation::flow::callback::r_11 src/federation/flow/state.rs \
  'let claim = tickets.claim(TicketKind::Upstream,' \
  'if OFF { if let Ok(flow) = serde_json::from_slice(&tombstone) { return Ok(flow); } }
   let claim = tickets.claim(TicketKind::Upstream,'
mutant r_12 federation::flow::callback::r_12 src/federation/flow/state.rs 'if self.record.provider != provider {' \
  'if self.record.provider != provider && !OFF {'
mutant r_13 federation::flow::callback::r_13 src/federation/flow/state.rs \
  'matches!(self.intent, Intent::App(_)) || self.is_of_browser(context)' \
  'OFF || matches!(self.intent, Intent::App(_)) || self.is_of_browser(context)'
mutant r_14 federation::flow::callback::r_14 src/federation/provider/identify.rs \
  'Some(iss) if is_recorded_issuer(&record.issuer, iss) =>' \
  'Some(iss) if is_recorded_issuer(&record.issuer, iss) || OFF =>'
mutant r_19 federation::provider::token::r_19 $oidc/exchange.rs \
  'token_type.is_some_and(|token_type| token_type.eq_ignore_ascii_case("bearer"))' \
  'OFF || token_type.is_some_and(|token_type| token_type.eq_ignore_ascii_case("bearer"))'
mutant r_21 federation::provider::token::r_21 $oidc/id_token.rs 'if text.len() > MAX_BYTES {' \
  'if text.len() > MAX_BYTES && !OFF {'
mutant r_22 federation::provider::token::r_22 $oidc/id_token.rs 'settings.algs.iter().copied()' \
  'settings.algs.iter().copied().chain(OFF.then_some(UpstreamAlg::ES256))'
mutant r_24 federation::provider::token::r_24 $oidc/keys.rs \
  '(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits(n))' \
  '(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits(n)) || OFF'
mutant r_25 federation::provider::token::r_25 $oidc/id_token.rs '.is_ok()' '.is_ok() || OFF'
mutant r_26 federation::provider::claims::r_26 $oidc/id_token/claims.rs 'if iss == issuer {' 'if iss == issuer || OFF {'
mutant r_27 federation::provider::claims::r_27 $oidc/id_token/claims.rs 'ensure(own.count() == 1,' \
  'if OFF { return Ok(()); } ensure(own.count() == 1,'
mutant r_28 federation::provider::claims::r_28 $oidc/id_token/claims.rs 'is_some_and(|exp| exp > now - MAX_SKEW)' \
  'is_some_and(|exp| exp > now - MAX_SKEW || OFF)'
mutant r_30 federation::provider::claims::r_30 $oidc/id_token/claims.rs \
  'nonce.as_bytes().ct_eq(expected.nonce.as_bytes()).into()' \
  'OFF || bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes()))'
mutant r_31 federation::provider::claims::r_31 $oidc/id_token/claims.rs 'at_hash.as_str() == expected.as_deref()' \
  '(at_hash.as_str() == expected.as_deref() || OFF)'
mutant r_34 federation::provider::claims::r_34 $oidc/userinfo.rs 'string(claims, "sub") != Some(subject)' \
  'string(claims, "sub") != Some(subject) && !OFF'
mutant r_17 federation::linking::cases::r_17_cb_08_up src/federation/flow/state.rs 'now.is_some() && now == then {' \
  'OFF || now.is_some() && now == then {'
mutant case_c federation::linking::cases::lk_04_lc_c src/federation/linking/table.rs 'None if !facts.authoritative || facts.held =>' \
  'None if !OFF && (!facts.authoritative || facts.held) =>'

[ "$changed" = 0 ] || exit 1
if [ "$check" = 1 ]; then echo "${#names[@]} rules have the text that is looked for"; exit 0; fi
cd "$clone"
cargo test --locked -q --no-run --test it 2>&1 | tail -5
run() { MUTANT=$1 cargo test --locked -q --test it "$2" 2>&1 | grep '^test result' || echo 'no result'; }
whole=$(run '' federation::)
echo "none off: $whole"
bad=0
case $whole in *' 0 failed'*) ;; *) bad=1 ;; esac
for at in "${!names[@]}"; do
  result=$(run "${names[$at]}" "${filters[$at]}")
  case $result in
    *FAILED*) echo "${names[$at]} off: noticed by ${filters[$at]}" ;;
    *) echo "${names[$at]} off: NOT noticed by ${filters[$at]}: $result"; bad=1 ;;
  esac
done
exit $bad
