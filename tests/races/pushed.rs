//! A pushed request that is answered a hundred times at once over two copies: in one session, and
//! in a hundred browsers.

use std::{sync::Arc, time::Instant};

use testkit::{
    browser::Browser,
    entree::{Backend, Options},
    oidc::Client,
};
use url::Url;

use crate::{
    Copies, EXCHANGES, TRIES,
    judge::one_code,
    pause, race, report_and_check_overlap, rounds,
    service::{CALLBACK, CLIENT, Stage, fresh_network},
    tokens::people,
    with_ample_resources,
};

/// Allows as many visits, pushes and codes as the rounds need.
fn with_visits(options: Options) -> Options {
    let many = "[{ count = 1000000000, seconds = 3600 }]";
    with_ample_resources(options).set("limits.authorize", many)
}

/// Visits the authorization endpoint without following where it leads.
struct Visitors {
    copies: Arc<Copies>,
    http: reqwest::Client,
}

impl Visitors {
    fn new(stage: &Stage) -> Arc<Self> {
        let stay = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().redirect(stay);
        Arc::new(Self {
            copies: Copies::of(stage),
            http: http.build().unwrap(),
        })
    }

    /// Pushes a request at one copy; gives the query of its visits.
    async fn push(&self, number: usize, client: &Client) -> String {
        let challenge = client.challenge();
        let form = [
            ("response_type", "code"),
            ("client_id", CLIENT),
            ("redirect_uri", CALLBACK),
            ("scope", "openid"),
            ("state", &client.state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let request = self.copies.post(number, "/oauth2/par").form(&form);
        let (status, body) = Copies::answer(request).await;
        assert_eq!(status, 201, "{body}");
        let uri = body["request_uri"].as_str().expect("a request URI");
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("client_id", CLIENT), ("request_uri", uri)])
            .finish()
    }

    /// One visit at one of the copies; gives the status, and the code if it leads to the client.
    async fn visit(&self, number: usize, query: &str, cookies: &str) -> (u16, Option<String>) {
        let urls = &self.copies.urls;
        let url = format!("{}/oauth2/authorize?{query}", urls[number % urls.len()]);
        for _ in 0..TRIES {
            let request = self.http.get(&url).header("host", &self.copies.host);
            let from = fresh_network().to_string();
            let request = request.header("x-forwarded-for", from);
            let answer = request.header("cookie", cookies).send().await.unwrap();
            let status = answer.status().as_u16();
            if let Some(pause) = pause(status, answer.headers()) {
                tokio::time::sleep(pause).await;
                continue;
            }
            let to = answer.headers().get("location");
            let to = to.and_then(|to| Url::parse(to.to_str().ok()?).ok());
            let code = to.filter(|to| to.as_str().starts_with(CALLBACK));
            let code = code.and_then(|to| {
                let mut pairs = to.query_pairs();
                pairs
                    .find(|(name, _)| name == "code")
                    .map(|(_, code)| code.into_owned())
            });
            return (status, code);
        }
        (503, None)
    }
}

/// The cookies of each person's browser.
async fn cookies(stage: &Stage, name: &str, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for person in people(stage, name, count).await {
        let browser: Browser = person.browser.into_inner();
        all.push(browser.cookie_header());
    }
    all
}

/// PU-6: at two instances. In one session all visits get one code, which is exchanged once; of a
/// hundred browsers one gets a code, and 99 get the page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pu_6_a_hundred_answers_to_one_push_over_two_instances_are_one_code() {
    let Some(stage) = Stage::start(Backend::Two, with_visits).await else {
        return;
    };
    let visitors = Visitors::new(&stage);
    let mut browsers = Vec::new();
    while browsers.len() < EXCHANGES {
        let name = format!("pushed-{}", browsers.len());
        browsers.extend(cookies(&stage, &name, 10).await);
    }
    let browsers = Arc::new(browsers);
    let (began, mut started_before_first_response) = (Instant::now(), 0);
    let (mut in_session, mut in_browsers) = (Vec::new(), Vec::new());
    let rounds = rounds().div_ceil(5);
    for number in 0..rounds {
        for is_one_session in [true, false] {
            let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
            let query = Arc::new(visitors.push(number, &client).await);
            let raced = race(EXCHANGES, |at| {
                let (visitors, query) = (Arc::clone(&visitors), Arc::clone(&query));
                let browsers = Arc::clone(&browsers);
                async move {
                    let person = if is_one_session { number } else { at };
                    let cookies = &browsers[person % browsers.len()];
                    visitors.visit(at, &query, cookies).await
                }
            })
            .await;
            started_before_first_response += raced.started_before_first_response;
            let code = raced.results.iter().find_map(|(_, code)| code.clone());
            let code = code.unwrap_or_default();
            let (status, body) = client.exchange(&code, &client.verifier).await;
            assert_eq!(status, 200, "{}\n{}", body["error"], stage.page_error());
            // Once the code is redeemed, no browser gets anything more.
            let late = visitors
                .visit(number + 1, &query, &browsers[number % browsers.len()])
                .await;
            assert_eq!(late, (400, None));
            let journal = if is_one_session {
                &mut in_session
            } else {
                &mut in_browsers
            };
            journal.push(raced.results);
        }
    }
    one_code(&in_session, EXCHANGES, EXCHANGES).unwrap_or_else(|why| panic!("{why}"));
    one_code(&in_browsers, 1, EXCHANGES).unwrap_or_else(|why| panic!("{why}"));
    report_and_check_overlap(
        "push",
        rounds * 2,
        EXCHANGES,
        started_before_first_response,
        began,
    );
    assert_eq!(stage.faults(), Vec::<String>::new());
}
