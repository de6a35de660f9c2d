#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::{
    audit::{Event, Kind},
    client,
    oauth::{
        grant_store::{self, Grant},
        issue::{NewGrant, new_grant},
        test_app::TestApp,
    },
    secret::{Hash, public_id},
    session::{AuthMethod, NewSession},
    user::{self, Address, ResolvedUser, UpstreamAccount, VerifiedBy, identity::LinkResult},
};

/// What happens between the user's authorization and the request for tokens.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    SessionIdles,
    SessionEnded,
    UserDisabled,
    /// The user signs in again in the same session, by email instead of at the provider.
    OtherMethod,
    /// The same, and then the user disconnects the provider account, which revokes its grants.
    IdentityDisconnected,
    ConsentWithdrawn,
    ConsentNarrowed,
    GrantRevoked,
}

/// The expected results for a code, a code with `offline_access`, a refresh, and a refresh with
/// `offline_access`.
const TABLE: [(Change, [&str; 4]); 9] = [
    (Change::Nothing, ["ok", "ok", "ok", "ok"]),
    (Change::SessionIdles, ["ended", "ended", "ended", "ok"]),
    (Change::SessionEnded, ["ended", "ended", "ended", "ok"]),
    (Change::UserDisabled, ["ended", "ended", "ended", "ended"]),
    (Change::OtherMethod, ["ok", "ok", "ok", "ok"]),
    (
        Change::IdentityDisconnected,
        ["disconnected", "disconnected", "ended", "ended"],
    ),
    (
        Change::ConsentWithdrawn,
        ["withdrawn", "withdrawn", "withdrawn", "withdrawn"],
    ),
    (
        Change::ConsentNarrowed,
        ["withdrawn", "withdrawn", "withdrawn", "withdrawn"],
    ),
    // A code has no stored grant that could be revoked.
    (Change::GrantRevoked, ["ok", "ok", "ended", "ended"]),
];

#[tokio::test]
async fn rf_9_tk_14_lk_07_codes_and_grants_end_as_the_table_says() {
    let app = TestApp::new().await;
    for (change, expected) in TABLE {
        let mut results = Vec::new();
        for is_code in [true, false] {
            for scope in ["openid", "openid offline_access"] {
                let authorized = authorize(&app, scope).await;
                apply(&app, &authorized, change).await;
                results.push(check(&app, &authorized, is_code).await);
            }
        }
        assert_eq!(results, expected, "{change:?}");
    }
}

#[tokio::test]
async fn rf_9_a_first_party_client_needs_no_consent_while_it_is_first_party() {
    let app = TestApp::new().await;
    let authorized = authorize(&app, "openid").await;
    apply(&app, &authorized, Change::ConsentWithdrawn).await;
    for (first_party, expected) in [(true, "ok"), (false, "withdrawn")] {
        app.configure("third", |client| client.first_party = first_party);
        for is_code in [true, false] {
            assert_eq!(check(&app, &authorized, is_code).await, expected);
        }
    }
}

/// A user who has signed in at a provider and authorized a third-party client.
struct Authorized {
    user: User,
    sign_in: SignIn,
    scope: &'static str,
    grant: Grant,
}

async fn authorize(app: &TestApp, scope: &'static str) -> Authorized {
    let config = app.app.config.get();
    let tx = app.app.db.begin().await.unwrap();
    let address = format!("{}@example.com", public_id());
    let address = Address::parse(&address, false).unwrap();
    let resolved = user::resolve(&tx, &address, VerifiedBy::Email, true)
        .await
        .unwrap();
    let ResolvedUser::Created(user) = resolved else {
        panic!("the user exists already")
    };
    let account = UpstreamAccount {
        provider: "up".to_owned(),
        issuer: "https://up.example".to_owned(),
        subject: user.id.to_string(),
        email: None,
        name: None,
    };
    let linked = identity::link(&tx, user.id, &account).await.unwrap();
    let LinkResult::Linked(identity) = linked else {
        panic!("the account is linked already")
    };
    let method = AuthMethod::Upstream {
        identity_id: identity.id,
        amr: "",
    };
    let start = NewSession {
        user: &user,
        method,
        device: "Test",
        remembered: false,
        browser: Some(Hash::of(b"browser")),
    };
    let (session, _) = session::start(&tx, start, &config.session).await.unwrap();
    let sign_in = SignIn::from(&session);
    consent_store::allow(&tx, &user, "third", scope)
        .await
        .unwrap();
    let new = NewGrant {
        id: public_id(),
        user: &user,
        sign_in: &sign_in,
        client: client::find(&config, "third").unwrap(),
        scope,
        resources: None,
        claims: "",
        jkt: None,
    };
    let (grant, _) = new_grant(&app.app, &config, new, tx.now);
    grant_store::insert(&tx, grant.clone(), Event::new(Kind::TokenIssued))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    Authorized {
        user,
        sign_in,
        scope,
        grant,
    }
}

async fn apply(app: &TestApp, authorized: &Authorized, change: Change) {
    let (user, session_id) = (&authorized.user, authorized.sign_in.session_id);
    let identity_id = authorized.sign_in.identity_id.unwrap();
    let tx = app.app.db.begin().await.unwrap();
    match change {
        Change::Nothing => {}
        Change::SessionIdles => app.advance(app.app.config.get().session.idle_seconds + 1),
        Change::SessionEnded => {
            assert!(session::end(&tx, user.id, session_id).await.unwrap());
        }
        Change::UserDisabled => {
            user::set_state(&tx, user.id, UserState::Disabled)
                .await
                .unwrap();
        }
        Change::OtherMethod => {
            session::step_up(&tx, session_id, AuthMethod::Email)
                .await
                .unwrap();
        }
        Change::IdentityDisconnected => {
            session::step_up(&tx, session_id, AuthMethod::Email)
                .await
                .unwrap();
            identity::unlink_all(&tx, user.id).await.unwrap();
            let revoked = grant_store::revoke_for_identity(&tx, user.id, identity_id, &[]);
            assert_eq!(revoked.await.unwrap(), 1);
        }
        Change::ConsentWithdrawn => {
            assert!(
                consent_store::withdraw(&tx, user.id, "third")
                    .await
                    .unwrap()
            );
        }
        Change::ConsentNarrowed => {
            consent_store::withdraw(&tx, user.id, "third")
                .await
                .unwrap();
            consent_store::allow(&tx, user, "third", "email")
                .await
                .unwrap();
        }
        Change::GrantRevoked => {
            assert!(grant_store::revoke(&tx, authorized.grant.id).await.unwrap());
        }
    }
    tx.commit().await.unwrap();
}

async fn check(app: &TestApp, authorized: &Authorized, is_code: bool) -> &'static str {
    let id = authorized.grant.id;
    let grant = grant_store::find(app.app.db.read(), id)
        .await
        .unwrap()
        .unwrap();
    let config = app.app.config.get();
    let check = GrantCheck {
        source: if is_code {
            GrantSource::Code(&authorized.sign_in)
        } else {
            GrantSource::Stored(&grant)
        },
        client: client::find(&config, "third").unwrap(),
        scope: authorized.scope,
        claims: "",
    };
    let tx = app.app.db.begin().await.unwrap();
    match ensure_grant_is_authorized(&tx, &config.session, &check).await {
        Ok(holder) => {
            assert_eq!(holder.user.id, authorized.user.id);
            "ok"
        }
        Err(GrantError::SignInEnded) => "ended",
        Err(GrantError::IdentityDisconnected) => "disconnected",
        Err(GrantError::ConsentWithdrawn) => "withdrawn",
        Err(GrantError::Infra(error)) => panic!("{error}"),
    }
}
