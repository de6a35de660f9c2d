//! OA-8: the rows that requests leave behind. Requests of strangers leave none, and the grants of one user with
//! one client do not grow without limit.

use std::{net::IpAddr, sync::Arc};

use testkit::entree::{Backend, Options};
use uuid::Uuid;

use crate::{
    crowd::{Background, Crowd, flood, network},
    figures::report,
    judge::{Bounds, Left, Measured, judge},
    people::{Person, Way, all_sign_in, names},
    size,
    stage::{BOTH, CALLBACK, CLIENT, Stage},
};

/// From how many networks strangers send requests that belong to nothing.
const NETWORKS: usize = 100;

/// The most grants of one user with one client, as OA-8 has it.
const MOST_GRANTS: i64 = 50;

/// A request with made-up values, which belongs to no flow, session, user, client or grant.
fn made_up(crowd: &Crowd, from: IpAddr, number: usize) -> reqwest::RequestBuilder {
    let id = Uuid::from_u128(u128::try_from(number).expect("a small number") + 1);
    let secret = format!("{id}{id}").replace('-', "");
    let callback = form_urlencoded::byte_serialize(CALLBACK.as_bytes()).collect::<String>();
    let token = |form: &[(&str, &str)]| crowd.post(from, "/oauth2/token").form(form);
    match number % 14 {
        0 => crowd.get(
            from,
            &format!("/api/v1/auth/oidc/none-{number}/callback?state={secret}&code=x"),
        ),
        1 => crowd.get(
            from,
            &format!("/api/v1/auth/oidc/none-{number}/start?client_id={CLIENT}"),
        ),
        2 => crowd
            .post(from, "/api/v1/auth/magic-link/consume")
            .json(&serde_json::json!({"flow_id": id, "code_verifier": secret, "code": "12345678"})),
        3 => crowd.get(from, &format!("/login/link/{secret}")),
        4 => crowd.get(from, &format!("/login/sent?flow={id}")),
        5 => crowd.get(from, &format!("/login/sent/events?flow={id}")),
        6 => crowd.get(
            from,
            &format!("/oauth2/authorize?client_id=none-{number}&redirect_uri={callback}"),
        ),
        7 => crowd.get(
            from,
            &format!("/oauth2/authorize?client_id={CLIENT}&redirect_uri=https://{id}.test/"),
        ),
        8 => token(&[
            ("grant_type", "authorization_code"),
            ("client_id", &format!("none-{number}")),
            ("code", &secret),
        ]),
        9 => token(&[
            ("grant_type", "refresh_token"),
            ("client_id", &format!("none-{number}")),
            ("refresh_token", &secret),
        ]),
        10 => crowd
            .post(from, "/oauth2/revoke")
            .basic_auth(format!("none-{number}"), Some(&secret))
            .form(&[("token", &secret)]),
        11 => crowd.get(from, "/oauth2/userinfo").bearer_auth(&secret),
        12 => crowd.get(
            from,
            &format!("/oauth2/logout?client_id=none-{number}&id_token_hint={secret}"),
        ),
        _ => crowd
            .post(from, "/login/code")
            .header("cookie", format!("pre={secret}"))
            .form(&[("flow", id.to_string().as_str()), ("code", "12345678")]),
    }
}

/// Strangers send requests that belong to nothing, and then innocents sign in beside them.
pub(crate) async fn requests_of_strangers(
    backend: Backend,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, change).await?;
    let people = Person::crowd(&stage, &Way::ALL, size(1, 5)).await;
    let crowd = Crowd::of(&stage);
    let attempt = |crowd: Arc<Crowd>, number: usize| async move {
        let from = network(number % NETWORKS);
        let request = made_up(&crowd, from, number);
        let _ = crowd.send(request).await;
    };
    let before = stage.all_rows().await;
    flood(size(2_800, 28_000), |number| {
        attempt(Arc::clone(&crowd), number)
    })
    .await;
    let left = stage.all_rows().await - before;
    let background = {
        let crowd = Arc::clone(&crowd);
        Background::start(move |number| attempt(Arc::clone(&crowd), number))
    };
    let innocents = all_sign_in(&stage, people).await;
    drop(background);
    // A sign-in writes rows: the count would have seen those of the attack.
    assert!(stage.all_rows().await > before + left);
    Some(Measured {
        attack: "OA-8, requests that belong to nothing".to_owned(),
        back_end: stage.back_end(),
        networks: NETWORKS,
        requests: crowd.sent(),
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: left,
            of: "rows",
        },
        faults: stage.faults(),
    })
}

/// A user signs in at a client again and again in one session, while others sign in.
pub(crate) async fn codes_of_one_session(
    backend: Backend,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, change).await?;
    let people = Person::crowd(&stage, &Way::ALL, size(1, 5)).await;
    let mut insider = Person::ready(
        &stage,
        Way::AtClient,
        "insider@example.test",
        crate::people::own_network(&stage),
    )
    .await;
    let count = size(120, 2_000);
    for _ in 0..count {
        insider.request_authorization_code(&stage).await;
    }
    let innocents = all_sign_in(&stage, people).await;
    let grants = "SELECT count(*) AS n FROM grant_families g JOIN user_emails e ON e.user_id = g.user_id \
                  WHERE e.canonical = 'insider@example.test' AND g.revoked_at IS NULL";
    Some(Measured {
        attack: "OA-8, codes of one session".to_owned(),
        back_end: stage.back_end(),
        networks: 1,
        requests: count,
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: stage.number(grants).await,
            of: "live grants",
        },
        faults: stage.faults(),
    })
}

/// What requests of strangers may leave: nothing.
pub(crate) fn strangers_bounds() -> Bounds {
    Bounds {
        networks: NETWORKS,
        requests: 2_800,
        ways: names(&Way::ALL),
        peak_mib: 256,
        left: 0,
    }
}

/// What one session may leave.
pub(crate) fn codes_bounds() -> Bounds {
    Bounds {
        networks: 1,
        requests: 120,
        ways: names(&Way::ALL),
        peak_mib: 256,
        left: MOST_GRANTS,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_8_oa_16_requests_of_strangers_leave_no_row() {
    for backend in BOTH {
        let Some(measured) = requests_of_strangers(backend, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &strangers_bounds()).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_8_oa_16_one_session_holds_few_grants() {
    for backend in BOTH {
        let Some(measured) = codes_of_one_session(backend, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &codes_bounds()).unwrap_or_else(|why| panic!("{why}"));
    }
}
