//! Introspection as clients and resource servers see it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use poem::http::header;
use serde_json::json;

use crate::{
    config::GrantType,
    oauth::{
        bed::{API, Bed, ISSUER, SECRET, exchange},
        scope::ADMIN,
    },
    user,
};

const PATH: &str = "/oauth2/introspect";

async fn ask(bed: &Bed, client: &str, token: &str) -> serde_json::Value {
    let answer = bed
        .post(PATH, Some((client, SECRET)), &[("token", token)])
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.header(header::CACHE_CONTROL)),
        (200, "no-store"),
        "{answer:?}"
    );
    answer.body
}

#[tokio::test]
async fn in_1_in_3_the_audience_and_the_client_itself_see_what_it_says() {
    let bed = Bed::new().await;
    let code = bed
        .code(
            "basic",
            "openid offline_access",
            Some(crate::oauth::bed::VERIFIER),
        )
        .await;
    let tokens = bed
        .post(
            "/oauth2/token",
            Some(("basic", SECRET)),
            &exchange("basic", &code),
        )
        .await;
    let access = tokens.text("access_token");
    for client in ["basic", "api"] {
        let told = ask(&bed, client, &access).await;
        assert_eq!(
            (&told["active"], &told["token_type"]),
            (&json!(true), &json!("Bearer"))
        );
        assert_eq!(
            (&told["iss"], &told["aud"], &told["client_id"]),
            (&json!(ISSUER), &json!(API), &json!("basic"))
        );
        assert_eq!(told["sub"], bed.user.public_id.to_string());
        for member in ["scope", "exp", "iat", "jti", "auth_time", "acr", "sid"] {
            assert!(!told[member].is_null(), "{member}");
        }
    }
    let refresh = tokens.text("refresh_token");
    assert_eq!(ask(&bed, "basic", &refresh).await["active"], true);
    assert_eq!(
        ask(&bed, "api", &refresh).await,
        json!({ "active": false }),
        "a refresh token is its client's alone"
    );
    let own = bed
        .post(
            "/oauth2/token",
            Some(("basic", SECRET)),
            &[("grant_type", "client_credentials")],
        )
        .await;
    assert_eq!(
        ask(&bed, "api", &own.text("access_token")).await["sub"],
        "basic"
    );
    for (basic, form) in [
        (None, vec![("client_id", "web"), ("token", "x")]),
        (Some(("api", "wrong")), vec![("token", "x")]),
    ] {
        assert_eq!(
            bed.post(PATH, basic, &form).await.error(),
            (401, "invalid_client"),
            "the caller has a secret"
        );
    }
}

#[tokio::test]
async fn in_2_whatever_does_not_count_is_inactive_and_nothing_more() {
    let inactive = json!({ "active": false });
    let bed = Bed::new().await;
    let tokens = bed.tokens("web", "openid").await;
    for (client, token) in [
        ("api", "x".to_owned()),
        ("api", tokens.text("id_token")),
        ("elsewhere", tokens.text("access_token")),
        ("basic", tokens.text("access_token")),
    ] {
        assert_eq!(ask(&bed, client, &token).await, inactive, "{client}");
    }
    for ends in [
        "UPDATE grant_families SET revoked_at = 1",
        "UPDATE sessions SET revoked_at = 1",
        "UPDATE users SET state = 'disabled'",
    ] {
        let bed = Bed::new().await;
        let bound = bed.tokens("web", "openid").await.text("access_token");
        let offline = bed
            .tokens("web", "openid offline_access")
            .await
            .text("access_token");
        assert_eq!(ask(&bed, "api", &bound).await["active"], true);
        bed.sql(ends).await;
        assert_eq!(ask(&bed, "api", &bound).await, inactive, "{ends}");
        assert_eq!(
            ask(&bed, "api", &offline).await["active"],
            ends.contains("sessions"),
            "{ends}"
        );
    }
    bed.advance(631);
    assert_eq!(
        ask(&bed, "api", &tokens.text("access_token")).await,
        inactive,
        "expired"
    );
}

#[tokio::test]
async fn in_2_a_used_refresh_token_is_inactive() {
    let bed = Bed::new().await;
    let basic = Some(("basic", SECRET));
    let code = bed
        .code("basic", "offline_access", Some(crate::oauth::bed::VERIFIER))
        .await;
    let first = bed
        .post("/oauth2/token", basic, &exchange("basic", &code))
        .await
        .text("refresh_token");
    let second = bed
        .post(
            "/oauth2/token",
            basic,
            &[("grant_type", "refresh_token"), ("refresh_token", &first)],
        )
        .await;
    bed.advance(61);
    assert_eq!(ask(&bed, "basic", &first).await, json!({ "active": false }));
    assert_eq!(
        ask(&bed, "basic", &second.text("refresh_token")).await["active"],
        true
    );
}

#[tokio::test]
async fn in_3_a_token_reaches_as_far_as_its_client_and_person_may_now() {
    let bed = Bed::new().await;
    let roles = async |names: &[&str]| {
        let tx = bed.app.db.begin().await.unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        user::set_roles(&tx, bed.user.id, &names).await.unwrap();
        tx.commit().await.unwrap();
    };
    bed.configure("basic", |client| {
        client
            .scopes
            .extend(["lessons:write", ADMIN].map(str::to_owned))
    });
    roles(&["admin", "coach"]).await;
    let basic = Some(("basic", SECRET));
    let asked = "offline_access lessons:read lessons:write entree:admin";
    let code = bed
        .code("basic", asked, Some(crate::oauth::bed::VERIFIER))
        .await;
    let tokens = bed
        .post("/oauth2/token", basic, &exchange("basic", &code))
        .await;
    let own = bed
        .post(
            "/oauth2/token",
            basic,
            &[("grant_type", "client_credentials")],
        )
        .await
        .text("access_token");
    let (access, refresh) = (tokens.text("access_token"), tokens.text("refresh_token"));
    for token in [&access, &refresh] {
        assert_eq!(ask(&bed, "basic", token).await["scope"], asked);
    }
    assert_eq!(
        ask(&bed, "api", &access).await["roles"],
        json!(["admin", "coach"])
    );

    roles(&["coach"]).await;
    for token in [&access, &refresh] {
        assert_eq!(
            ask(&bed, "basic", token).await["scope"],
            "offline_access lessons:read lessons:write",
            "the role"
        );
    }
    assert_eq!(ask(&bed, "api", &access).await["roles"], json!(["coach"]));
    assert_eq!(
        ask(&bed, "api", &own).await["scope"],
        "lessons:read lessons:write entree:admin",
        "nobody's role"
    );

    bed.configure("basic", |client| {
        client
            .scopes
            .retain(|name| name != "lessons:write" && name != ADMIN)
    });
    for token in [&access, &refresh] {
        assert_eq!(
            ask(&bed, "basic", token).await["scope"],
            "offline_access lessons:read"
        );
    }
    assert_eq!(ask(&bed, "api", &own).await["scope"], "lessons:read");

    // Nothing is left, and both are still tokens of ours.
    bed.configure("basic", |client| client.scopes.clear());
    for token in [&access, &own] {
        let told = ask(&bed, "api", token).await;
        assert_eq!((&told["active"], told.get("scope")), (&json!(true), None));
    }
}

#[tokio::test]
async fn in_2_tk_8_what_a_client_got_by_codes_is_inactive_once_it_may_get_none() {
    let bed = Bed::new().await;
    let basic = Some(("basic", SECRET));
    let code = bed
        .code("basic", "offline_access", Some(crate::oauth::bed::VERIFIER))
        .await;
    let tokens = bed
        .post("/oauth2/token", basic, &exchange("basic", &code))
        .await;
    bed.configure("basic", |client| {
        client.grant_types = vec![GrantType::ClientCredentials]
    });
    for name in ["access_token", "refresh_token"] {
        assert_eq!(
            ask(&bed, "basic", &tokens.text(name)).await,
            json!({ "active": false }),
            "{name}"
        );
    }
}
