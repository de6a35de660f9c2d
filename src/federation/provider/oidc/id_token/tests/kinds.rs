//! The checks that only the ID tokens of Entra and of Google need.

use serde_json::{Value, json};

use super::{code, code_of_claims, settings, with_claim};
use crate::federation::{
    error::RefusalCode::{self, Hd, IssClaim, KeyUnknown, Tenant},
    provider::oidc::test_signer::TestSigner,
};

const TENANT_A: &str = "0f0e0d0c-0000-4000-8000-00000000000a";
const TENANT_B: &str = "0f0e0d0c-0000-4000-8000-00000000000b";

/// Returns the refusal of a token of Entra with this issuer and tenant, signed by a key that names
/// `key_issuer`, or no issuer. `extra_toml` is added to the settings.
fn refusal_of_entra(
    iss: &str,
    tid: Value,
    key_issuer: Option<&str>,
    extra_toml: &str,
) -> Option<RefusalCode> {
    let signer = TestSigner::new("k");
    let mut claims = with_claim("iss", json!(iss));
    if !tid.is_null() {
        claims["tid"] = tid;
    }
    let mut jwk = signer.jwk();
    if let Some(issuer) = key_issuer {
        jwk["issuer"] = json!(issuer);
    }
    let settings = settings(&format!("kind = \"entra\"\n{extra_toml}"));
    code(&signer.sign(&claims), &jwk, &settings)
}

fn entra_issuer(tenant: &str) -> String {
    format!("https://login.microsoftonline.com/{tenant}/v2.0")
}

#[test]
fn pr_01_up_tenant_entra_takes_only_the_tenant_that_the_issuer_names() {
    let (issuer_a, upper) = (entra_issuer(TENANT_A), TENANT_A.to_uppercase());
    let code = |iss: &str, tid| refusal_of_entra(iss, tid, None, "tenant = \"organizations\"");
    assert_eq!(code(&issuer_a, json!(TENANT_A)), None);
    assert_eq!(code(&issuer_a, json!(TENANT_B)), Some(IssClaim));
    assert_eq!(code(&issuer_a, Value::Null), Some(Tenant));
    for bad in [upper.as_str(), "x", "{tenantid}"] {
        assert_eq!(code(&entra_issuer(bad), json!(bad)), Some(Tenant), "{bad}");
    }
}

#[test]
fn pr_01_up_tenant_entra_takes_only_the_tenants_of_the_settings() {
    let (issuer_a, issuer_b) = (entra_issuer(TENANT_A), entra_issuer(TENANT_B));
    let listed = format!("tenant = \"common\"\ntenants = [\"{TENANT_A}\"]");
    assert_eq!(
        refusal_of_entra(&issuer_a, json!(TENANT_A), None, &listed),
        None
    );
    assert_eq!(
        refusal_of_entra(&issuer_b, json!(TENANT_B), None, &listed),
        Some(Tenant)
    );
    let one = format!("tenant = \"{TENANT_A}\"");
    assert_eq!(refusal_of_entra(&issuer_a, Value::Null, None, &one), None);
    assert_eq!(
        refusal_of_entra(&issuer_a, json!(TENANT_B), None, &one),
        Some(Tenant)
    );
    assert_eq!(
        refusal_of_entra(&issuer_b, json!(TENANT_B), None, &one),
        Some(Tenant)
    );
    assert_eq!(
        refusal_of_entra(&issuer_b, Value::Null, None, &one),
        Some(IssClaim)
    );
}

#[test]
fn pr_01_up_key_unknown_a_key_of_entra_signs_only_for_the_issuer_that_it_names() {
    let issuer_a = entra_issuer(TENANT_A);
    let code = |key_issuer: &str| {
        let extra_toml = "tenant = \"organizations\"";
        refusal_of_entra(&issuer_a, json!(TENANT_A), Some(key_issuer), extra_toml)
    };
    assert_eq!(code(&entra_issuer("{tenantid}")), None);
    assert_eq!(code(&issuer_a), None);
    assert_eq!(code(&entra_issuer(TENANT_B)), Some(KeyUnknown));
}

#[test]
fn pr_01_up_hd_google_takes_the_claim_and_not_the_hint() {
    let settings = settings("kind = \"google\"\nhosted_domains = [\"x.example\"]");
    let code = |hd: Value| {
        let mut claims = with_claim("hd", hd);
        claims["iss"] = json!("https://accounts.google.com");
        code_of_claims(&claims, &settings)
    };
    assert_eq!(code(json!("x.example")), None);
    for bad in [
        Value::Null,
        json!("X.example"),
        json!("y.example"),
        json!(["x.example"]),
    ] {
        assert_eq!(code(bad.clone()), Some(Hd), "{bad}");
    }
}
