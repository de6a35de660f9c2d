//! Revocation as clients see it.
#![allow(clippy::unwrap_used)]

use crate::oauth::bed::{Bed, SECRET};

const PATH: &str = "/oauth2/revoke";

#[tokio::test]
async fn rv_1_unknown_and_dead_tokens_are_as_good_as_revoked_and_hints_harm_nothing() {
    let bed = Bed::new().await;
    let token = bed
        .tokens("web", "openid offline_access")
        .await
        .text("refresh_token");
    let form = |token| {
        [
            ("client_id", "web"),
            ("token", token),
            ("token_type_hint", "access_token"),
        ]
    };
    for text in ["x", "a.b.c", &token, &token] {
        assert_eq!(
            bed.post(PATH, None, &form(text)).await.status,
            200,
            "{text}"
        );
    }
    assert_eq!(
        bed.refresh("web", &token).await.error(),
        (400, "invalid_grant")
    );
    assert_eq!(
        bed.post(PATH, None, &[("client_id", "web")]).await.error(),
        (400, "invalid_request")
    );
    assert_eq!(
        bed.post(PATH, None, &[("token", "x")]).await.error(),
        (400, "invalid_request"),
        "no client"
    );
    assert_eq!(
        bed.post(PATH, None, &form("x").map(|(name, _)| (name, "nobody")))
            .await
            .error(),
        (401, "invalid_client")
    );
}

#[tokio::test]
async fn rv_2_either_token_ends_the_whole_grant_at_once() {
    for kind in ["refresh_token", "access_token"] {
        let bed = Bed::new().await;
        let tokens = bed.tokens("web", "openid offline_access").await;
        let other = bed.tokens("web", "openid offline_access").await;
        let form = [("client_id", "web"), ("token", &tokens.text(kind))];
        assert_eq!(bed.post(PATH, None, &form).await.status, 200);
        assert_eq!(
            bed.userinfo(&tokens.text("access_token")).await.status,
            401,
            "{kind}"
        );
        assert_eq!(
            bed.refresh("web", &tokens.text("refresh_token"))
                .await
                .error(),
            (400, "invalid_grant"),
            "{kind}"
        );
        assert_eq!(
            bed.userinfo(&other.text("access_token")).await.status,
            200,
            "another grant of the same client"
        );
    }
}

#[tokio::test]
async fn rv_3_another_clients_token_is_refused_and_lives_on() {
    let bed = Bed::new().await;
    let tokens = bed.tokens("web", "openid offline_access").await;
    for kind in ["refresh_token", "access_token"] {
        let token = tokens.text(kind);
        let as_public = bed
            .post(PATH, None, &[("client_id", "other"), ("token", &token)])
            .await;
        let as_confidential = bed
            .post(PATH, Some(("basic", SECRET)), &[("token", &token)])
            .await;
        assert_eq!(
            (as_public.error(), as_confidential.error()),
            ((400, "invalid_grant"), (400, "invalid_grant"))
        );
    }
    assert_eq!(bed.userinfo(&tokens.text("access_token")).await.status, 200);
    assert_eq!(
        bed.refresh("web", &tokens.text("refresh_token"))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn rfc_7009_2_2_1_a_clients_own_token_cannot_be_revoked_and_is_told_so() {
    let bed = Bed::new().await;
    let basic = Some(("basic", SECRET));
    let token = bed
        .post(
            "/oauth2/token",
            basic,
            &[("grant_type", "client_credentials")],
        )
        .await
        .text("access_token");
    assert_eq!(
        bed.post(PATH, basic, &[("token", &token)]).await.error(),
        (400, "unsupported_token_type")
    );
}
