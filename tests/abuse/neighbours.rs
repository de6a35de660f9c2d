//! OA-3: an attacker behind the user's own address, as in a school's Wi-Fi.

use std::net::Ipv4Addr;

use testkit::entree::{Backend, Options};

use crate::{
    crowd::{Crowd, flood},
    figures::report,
    judge::{Bounds, Left, Measured, judge},
    people::{Person, Way, all_sign_in, names},
    size,
    stage::{BOTH, CALLBACK, CLIENT, Stage},
};

const SHARED: Ipv4Addr = Ipv4Addr::new(10, 200, 0, 1);

/// Uses up the budgets of one address, for emails and for client requests, while its neighbours sign in.
pub(crate) async fn neighbour(
    backend: Backend,
    change: impl FnOnce(Options) -> Options,
) -> Option<Measured> {
    let stage = Stage::start(backend, change).await?;
    let mut people = Vec::new();
    for wave in 0..size(2, 5) {
        for way in Way::KNOWN {
            let address = format!("{}-{wave}@example.test", way.name().replace(' ', "-"));
            people.push(Person::ready(&stage, way, &address, SHARED).await);
        }
    }
    let crowd = Crowd::of(&stage);
    flood(100, async |number| {
        let to = format!("other-{number}@example.test");
        let _ = crowd.email_by_app(SHARED.into(), &to).await;
    })
    .await;
    let path = authorize_path();
    flood(size(1_200, 3_000), async |_| {
        let _ = crowd.send(crowd.get(SHARED.into(), &path)).await;
    })
    .await;
    let innocents = all_sign_in(&stage, people).await;
    Some(Measured {
        attack: "OA-3, the user's own network".to_owned(),
        back_end: stage.back_end(),
        networks: 1,
        requests: crowd.sent(),
        innocents,
        peak_mib: stage.peak_mib(),
        left: Left {
            count: stage.rows("magic_link_flows").await,
            of: "flows",
        },
        faults: stage.faults(),
    })
}

/// A client's request that waits for a sign-in.
pub(crate) fn authorize_path() -> String {
    let query = [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("state", "x"),
        (
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
        ("code_challenge_method", "S256"),
    ];
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(query)
        .finish();
    format!("/oauth2/authorize?{query}")
}

pub(crate) fn bounds() -> Bounds {
    Bounds {
        networks: 1,
        requests: 1_000,
        ways: names(&Way::KNOWN),
        peak_mib: 256,
        // Those of the innocents and the budget of their network.
        left: 100,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oa_3_a_neighbour_keeps_out_no_known_device() {
    for backend in BOTH {
        let Some(measured) = neighbour(backend, |options| options).await else {
            return;
        };
        report(&measured);
        judge(&measured, &bounds()).unwrap_or_else(|why| panic!("{why}"));
    }
}
