//! F3, B3, ER-5: whole sign-ins at TRACE, and all that applications send and get; then the search for everything secret in
//! everything that is kept or said: logs, spans, metrics, every column of every table, Redis, error answers. And every
//! stored value, fed back, opens nothing.
//!
//! Excepted, for the address alone: the rows of flow, outbox and user, which need it, and the waiting page of whoever
//! typed it.

use std::{collections::BTreeSet, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use reqwest::Method;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use sea_orm::{ConnectionTrait as _, DatabaseBackend, DatabaseConnection, Statement};
use serde_json::{Value, json};
use testkit::{
    browser::Browser,
    ci,
    entree::{Backend, Options, faketime},
    oidc::Client,
    otlp::Collector,
    page::Page,
};

use crate::outside::{CALLBACK, CLIENT, Stage, binary, fresh_network, token_of};

/// Tables that hold addresses because they must.
const ADDRESS_TABLES: [&str; 3] = ["magic_link_flows.", "mail_outbox.", "user_emails."];
const DATABASE_PASSWORD: &str = "canary-of-the-database-7f3a";
const REDIS_PASSWORD: &str = "canary-of-redis-91bc";
/// Programs that an operator registers: one shows its secret in a header, one in the form, one signs.
const BASIC: (&str, &str) = (
    "canary-basic",
    "canary-of-a-client-in-a-header-0a1b2c3d4e5f6071",
);
const POST: (&str, &str) = (
    "canary-post",
    "canary-of-a-client-in-a-form-8293a4b5c6d7e8f90",
);
const SIGNER: &str = "canary-signer";
const GOODBYE: &str = "http://127.0.0.1:7777/goodbye";
/// A service that has just started takes no assertion for a minute (RD-09): its clock is moved on by so much.
const LATER: i64 = 61;
/// The trace of a request that a proxy names.
const TRACE: &str = "7d2b6f0c9a3e4815b7c60d1e2f3a4b5c";
const WRONG_VERIFIER: &str = "wrong-wrong-wrong-wrong-wrong-wrong-wrong-wrong";

/// Something that nobody may keep, and every form in which it would still be it.
#[derive(Clone)]
pub(crate) struct Canary {
    pub(crate) what: &'static str,
    text: String,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        assert!(text.len() >= 6, "the {what} is too short to be looked for");
        let mut forms = vec![text.as_bytes().to_vec()];
        // A code in hexadecimal or base64 is short enough to be found by chance; longer ones are not.
        if text.len() >= 12 {
            let bytes = text.as_bytes();
            forms.extend([hex(bytes), hex(bytes).to_ascii_uppercase()]);
            forms.extend([
                STANDARD_NO_PAD.encode(bytes).into_bytes(),
                URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
            ]);
            if let Some(raw) = URL_SAFE_NO_PAD
                .decode(text)
                .ok()
                .filter(|raw| raw.len() >= 16)
            {
                forms.extend([
                    hex(&raw),
                    hex(&raw).to_ascii_uppercase(),
                    STANDARD_NO_PAD.encode(&raw).into_bytes(),
                    raw,
                ]);
            }
        }
        Self {
            what,
            text: text.to_owned(),
            forms,
        }
    }

    /// True if it stands in `place`; digits inside a longer number are chance.
    fn is_in(&self, place: &[u8]) -> bool {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
        self.forms.iter().any(|form| {
            let number = form.iter().all(u8::is_ascii_digit);
            let ends = |at: usize| {
                digit(at.checked_sub(1).and_then(|i| place.get(i)))
                    || digit(place.get(at + form.len()))
            };
            let first = form[0];
            place.len() >= form.len()
                && (0..=place.len() - form.len()).any(|at| {
                    place[at] == first && place[at..].starts_with(form) && !(number && ends(at))
                })
        })
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| format!("{byte:02x}").into_bytes())
        .collect()
}

/// Somewhere that something may be kept: what it is called, and what is there.
pub(crate) type Place = (String, Vec<u8>);

/// Where each canary was found.
pub(crate) fn leaks(
    canaries: &[Canary],
    places: &[Place],
    excepted: impl Fn(&Canary, &str) -> bool,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, place) in places {
        for canary in canaries.iter().filter(|canary| !excepted(canary, name)) {
            if canary.is_in(place) {
                found.insert(format!("the {} is in {name}", canary.what));
            }
        }
    }
    found
}

fn address_where_it_must_be(canary: &Canary, place: &str) -> bool {
    canary.what == "address" && ADDRESS_TABLES.iter().any(|table| place.starts_with(table))
}

/// Every value of every column of every table, as bytes.
pub(crate) async fn dump(db: &DatabaseConnection) -> Vec<Place> {
    let postgres = db.get_database_backend() == DatabaseBackend::Postgres;
    let columns = if postgres {
        "SELECT table_name::text AS t, column_name::text AS c, data_type::text AS k FROM information_schema.columns WHERE \
         table_schema = 'public'"
    } else {
        "SELECT m.name AS t, p.name AS c, p.type AS k FROM sqlite_master m, pragma_table_info(m.name) p WHERE m.type = \
         'table'"
    };
    let mut places = Vec::new();
    for column in all(db, columns).await {
        let get = |name: &str| column.try_get::<String>("", name).unwrap();
        let (table, name) = (get("t"), get("c"));
        let bytes = match (postgres, get("k") == "bytea") {
            (true, true) => format!("\"{name}\""),
            (true, false) => format!("convert_to(\"{name}\"::text, 'UTF8')"),
            (false, _) => format!("CAST(\"{name}\" AS BLOB)"),
        };
        for row in all(
            db,
            &format!("SELECT {bytes} AS v FROM \"{table}\" WHERE \"{name}\" IS NOT NULL"),
        )
        .await
        {
            places.push((
                format!("{table}.{name}"),
                row.try_get::<Vec<u8>>("", "v").unwrap(),
            ));
        }
    }
    assert!(
        places.len() > 50,
        "only {} values in the database",
        places.len()
    );
    places
}

async fn all(db: &DatabaseConnection, sql: &str) -> Vec<sea_orm::QueryResult> {
    db.query_all_raw(Statement::from_string(db.get_database_backend(), sql))
        .await
        .unwrap()
}

/// Every key and every value of Redis.
pub(crate) fn dump_redis(url: &str) -> Vec<Place> {
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    let mut places = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis).unwrap();
        let values: Vec<Vec<u8>> = match kind.as_str() {
            "string" => vec![
                redis::cmd("GET")
                    .arg(&key)
                    .query(&mut redis)
                    .unwrap_or_default(),
            ],
            "none" => Vec::new(),
            other => panic!("a {other}: teach this test to read it"),
        };
        places.push(("a key of Redis".to_owned(), key));
        places.extend(
            values
                .into_iter()
                .map(|value| ("a value of Redis".to_owned(), value)),
        );
    }
    places
}

/// The bytes of every file in the data directory: also what the database has deleted and not yet overwritten.
pub(crate) fn files(stage: &Stage) -> Vec<Place> {
    let mut places = Vec::new();
    for folder in stage.service.data() {
        for entry in std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_file())
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            places.push((format!("file {name}"), std::fs::read(entry.path()).unwrap()));
        }
    }
    places
}

/// What the walks leave behind: secrets, and answers that tell of an error.
#[derive(Default)]
struct Loot {
    canaries: Vec<Canary>,
    errors: Vec<Place>,
}

impl Loot {
    fn note(&mut self, what: &'static str, text: &str) {
        if !self.canaries.iter().any(|canary| canary.text == text) {
            self.canaries.push(Canary::new(what, text));
        }
    }

    /// Cookies and form tokens as they are now.
    fn look(&mut self, browser: &Browser, page: &Page) {
        for name in ["sid", "pre", "dev"] {
            if let Some(cookie) = browser.cookie(name) {
                self.note(name, &cookie.value);
            }
        }
        for form in page.forms("form") {
            for (_, value) in form.fields.iter().filter(|(name, _)| name == "form_token") {
                self.note("form token", value);
            }
        }
    }

    fn error(&mut self, what: &str, status: u16, body: &str) {
        assert!((400..500).contains(&status), "{what}: {status}");
        self.errors
            .push((format!("the answer to {what}"), body.as_bytes().to_vec()));
    }

    fn error_page(&mut self, what: &str, page: &Page) {
        let headers = page
            .headers
            .iter()
            .filter(|(name, _)| *name != "set-cookie");
        let headers: String = headers
            .map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned() + "\n")
            .collect();
        self.error(what, page.status.as_u16(), &(headers + &page.body));
    }
}

/// One sign-in by link with errors on the way; gives the browser.
async fn by_link(stage: &Stage, loot: &mut Loot, address: &str) -> Browser {
    let mut browser = Browser::new(fresh_network());
    let login = browser.open(&stage.service.at("/login")).await;
    loot.look(&browser, &login);
    let waiting = stage.ask(&mut browser, address).await;
    loot.look(&browser, &waiting);
    let mail = stage.mail(address, 1).await;
    let link = mail.link();
    loot.note("link", &token_of(&link));
    loot.note("code", &mail.code());
    // Somebody else, with the link and without the cookie: a GET that shows nothing, and a POST that is refused.
    let mut thief = Browser::new(fresh_network());
    let shown = thief.open(&link).await;
    assert!(!shown.has("form#link"), "{}", shown.summary());
    let url = url::Url::parse(&link).unwrap();
    let forged = thief
        .forged(&url, &[("form_token".to_owned(), "x".repeat(43))])
        .await;
    loot.error_page("a forged use of the link", &forged);
    let page = browser.open(&link).await;
    loot.look(&browser, &page);
    let bad = browser
        .submit(&page, "link", &[("form_token", &"x".repeat(43))])
        .await;
    loot.error_page("a link with a wrong form token", &bad);
    let long = browser.open(&format!("{link}{}", "x".repeat(200))).await;
    loot.errors.push((
        "the answer to a longer link".to_owned(),
        long.body.replace(&mail.link(), "").into_bytes(),
    ));
    let done = browser.submit(&page, "link", &[]).await;
    loot.look(&browser, &done);
    let account = browser.settle(done).await;
    assert!(account.has("form#sign-out"), "{}", account.summary());
    loot.look(&browser, &account);
    loot.error_page(
        "a method that is not taken",
        &browser.bare(Method::PUT, &link).await,
    );
    browser
}

async fn by_code(stage: &Stage, loot: &mut Loot, address: &str) {
    let mut browser = Browser::new(fresh_network());
    let waiting = stage.ask(&mut browser, address).await;
    loot.look(&browser, &waiting);
    let mail = stage.mail(address, 1).await;
    loot.note("code", &mail.code());
    loot.note("link", &token_of(&mail.link()));
    let bad = browser
        .submit(
            &waiting,
            "code",
            &[("code", &mail.code()), ("form_token", "")],
        )
        .await;
    loot.error_page("a code without form token", &bad);
    let bad = browser
        .submit(
            &waiting,
            "code",
            &[("code", &mail.code()), ("flow", "nonsense")],
        )
        .await;
    loot.error_page("a code for no flow", &bad);
    // The code as an address, which is how people paste: it comes back in the field and nowhere else.
    let wrong = browser
        .submit(&waiting, "code", &[("code", &format!("{}0", mail.code()))])
        .await;
    assert_eq!(wrong.status.as_u16(), 422, "{}", wrong.summary());
    let quiet = wrong.body.replace(address, "");
    let tokens = wrong
        .forms("form")
        .into_iter()
        .flat_map(|form| form.fields)
        .filter(|(name, _)| name == "form_token");
    let quiet = tokens.fold(quiet, |body, (_, token)| body.replace(&token, ""));
    loot.error("a wrong code", wrong.status.as_u16(), &quiet);
    let done = browser
        .submit(&waiting, "code", &[("code", &mail.code())])
        .await;
    loot.look(&browser, &done);
    let account = browser.settle(done).await;
    assert!(account.has("form#sign-out"), "{}", account.summary());
    loot.look(&browser, &account);
}

/// A code exchange with errors on the way. Leaves one more code, unused; gives it with its verifier.
async fn by_client(stage: &Stage, loot: &mut Loot, browser: &mut Browser) {
    let client = Client::new(&stage.service.url, CLIENT, CALLBACK);
    let code = authorize(&client, browser).await;
    loot.note("authorization code", &code);
    loot.note("verifier", &client.verifier);
    let (status, body) = client.exchange(&code, WRONG_VERIFIER).await;
    loot.error(
        "an exchange with another verifier",
        status,
        &body.to_string(),
    );
    let (status, body) = client.exchange(&code, &"v".repeat(9000)).await;
    loot.error(
        "an exchange with an over-long verifier",
        status,
        &body.to_string(),
    );
    let (status, body) = client.exchange(&code, &client.verifier).await;
    assert_eq!(status, 200, "{}", body["error"]);
    loot.note("access token", body["access_token"].as_str().unwrap());
    loot.note("ID token", body["id_token"].as_str().unwrap());
    for token in ["access_token", "id_token"] {
        let signature = body[token].as_str().unwrap().rsplit('.').next().unwrap();
        loot.note("signature of a token", signature);
    }
    let (status, body) = client.exchange(&code, &client.verifier).await;
    loot.error("a second exchange", status, &body.to_string());
}

/// A code that nobody exchanged yet, and its verifier. It lives for a minute.
async fn unspent(stage: &Stage, loot: &mut Loot, browser: &mut Browser) -> (String, String) {
    let open = Client::new(&stage.service.url, CLIENT, CALLBACK);
    let code = authorize(&open, browser).await;
    loot.note("authorization code", &code);
    loot.note("verifier", &open.verifier);
    (code, open.verifier)
}

async fn authorize(client: &Client, browser: &mut Browser) -> String {
    let url = client.authorize_url("openid email profile").await;
    let page = browser.open(url.as_str()).await;
    client.code(&browser.settle(page).await)
}

/// The key of the client that signs, and its public half as a JWK set.
fn signing_key() -> (EcdsaKeyPair, String) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random)
        .unwrap();
    let (x, y) = key.public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    (
        key,
        json!({"keys": [{"kty": "EC", "crv": "P-256", "x": x, "y": y}]}).to_string(),
    )
}

/// RFC 7523 §3: what it shows instead of a secret.
fn assertion(stage: &Stage, key: &EcdsaKeyPair) -> String {
    let now = lessons_api::now() + LATER;
    let claims = json!({
        "iss": SIGNER, "sub": SIGNER, "aud": stage.service.url, "iat": now, "exp": now + 60,
        "jti": format!("canary-{now}"),
    });
    let part = |part: &str| URL_SAFE_NO_PAD.encode(part);
    let message = format!(
        "{}.{}",
        part(r#"{"alg":"ES256"}"#),
        part(&claims.to_string())
    );
    let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// Software's POST; status and JSON.
async fn post(
    stage: &Stage,
    path: &str,
    basic: Option<(&str, &str)>,
    form: &[(&str, &str)],
) -> (u16, Value) {
    let mut request = testkit::browser::client()
        .post(stage.service.at(path))
        .form(form);
    request = request.header("x-forwarded-for", fresh_network().to_string());
    if let Some((id, secret)) = basic {
        request = request.basic_auth(id, Some(secret));
    }
    let answer = request.send().await.unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

/// A posted request of an application, up to the code, for which a person consents; gives the attempt and the code.
async fn posted(stage: &Stage, loot: &mut Loot, browser: &mut Browser) -> (Client, String) {
    let client = Client::new(&stage.service.url, BASIC.0, CALLBACK);
    let url = client.authorize_url("openid email offline_access").await;
    let fields: Vec<_> = url.query_pairs().into_owned().collect();
    loot.note("state", &client.state);
    loot.note("nonce", &client.nonce);
    loot.note("verifier", &client.verifier);
    let answer = browser
        .forged(
            &stage.service.at("/oauth2/authorize").parse().unwrap(),
            &fields,
        )
        .await;
    let consent = browser.settle(answer).await;
    loot.look(browser, &consent);
    let page = browser
        .submit(&consent, "consent", &[("decision", "allow")])
        .await;
    let code = client.code(&page);
    loot.note("authorization code", &code);
    (client, code)
}

fn note_tokens(loot: &mut Loot, tokens: &Value) {
    for (name, what) in [("access_token", "access token"), ("id_token", "ID token")] {
        if let Some(token) = tokens[name].as_str() {
            loot.note(what, token);
            loot.note("signature of a token", token.rsplit('.').next().unwrap());
        }
    }
    if let Some(token) = tokens["refresh_token"].as_str() {
        loot.note("refresh token", token);
        // Family and generation stand before it, its MAC behind.
        loot.note("secret of a refresh token", &token[27..70]);
    }
}

/// What applications with a secret or a key do, with errors on the way, to the person's sign-out.
async fn by_software(stage: &Stage, loot: &mut Loot, browser: &mut Browser, key: &EcdsaKeyPair) {
    for (id, secret) in [BASIC, POST] {
        loot.note("client secret", secret);
        loot.note(
            "client secret in a header",
            &STANDARD.encode(format!("{id}:{secret}")),
        );
    }
    let (client, code) = posted(stage, loot, browser).await;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", client.verifier.as_str()),
    ];
    let (status, body) = post(stage, "/oauth2/token", Some((BASIC.0, POST.1)), &exchange).await;
    loot.error(
        "an exchange with another client's secret",
        status,
        &body.to_string(),
    );
    let (status, first) = post(stage, "/oauth2/token", Some(BASIC), &exchange).await;
    assert_eq!(status, 200, "{}", first["error"]);
    note_tokens(loot, &first);
    let text = |tokens: &Value, name: &str| tokens[name].as_str().unwrap_or_default().to_owned();
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &text(&first, "refresh_token")),
    ];
    let (status, second) = post(stage, "/oauth2/token", Some(BASIC), &refresh).await;
    assert_eq!(status, 200, "{}", second["error"]);
    note_tokens(loot, &second);
    let longer = text(&second, "refresh_token") + "A";
    for (what, basic, form) in [
        ("a refresh by another client", Some(POST), refresh),
        (
            "a longer refresh token",
            Some(BASIC),
            [refresh[0], ("refresh_token", longer.as_str())],
        ),
        (
            "a refresh token as a code",
            Some(BASIC),
            [
                ("grant_type", "authorization_code"),
                ("code", longer.as_str()),
            ],
        ),
        (
            "a secret as a grant",
            Some(BASIC),
            [("grant_type", BASIC.1), ("scope", BASIC.1)],
        ),
    ] {
        let (status, body) = post(stage, "/oauth2/token", basic, &form).await;
        loot.error(what, status, &body.to_string());
    }
    let (access, newest) = (
        text(&second, "access_token"),
        text(&second, "refresh_token"),
    );
    for token in [&access, &newest] {
        let (status, body) = post(
            stage,
            "/oauth2/introspect",
            Some(BASIC),
            &[("token", token)],
        )
        .await;
        assert_eq!((status, &body["active"]), (200, &json!(true)));
        let wrong = [
            ("token", token.as_str()),
            ("client_id", POST.0),
            ("client_secret", BASIC.1),
        ];
        let (status, body) = post(stage, "/oauth2/introspect", None, &wrong).await;
        loot.error(
            "a question with another client's secret",
            status,
            &body.to_string(),
        );
        let (status, body) = post(stage, "/oauth2/revoke", None, &wrong).await;
        loot.error(
            "a revocation with another client's secret",
            status,
            &body.to_string(),
        );
    }
    let asked = testkit::browser::client()
        .get(stage.service.at("/oauth2/userinfo"))
        .bearer_auth(format!("{access}x"));
    let answer = asked.send().await.unwrap();
    assert!(answer.headers().contains_key("date"), "UI-6");
    let told = format!("{:?}", answer.headers());
    loot.error(
        "an altered token at userinfo",
        answer.status().as_u16(),
        &(told + &answer.text().await.unwrap()),
    );
    let form = [
        ("token", newest.as_str()),
        ("client_id", POST.0),
        ("client_secret", POST.1),
    ];
    let (status, body) = post(stage, "/oauth2/revoke", None, &form).await;
    loot.error(
        "a revocation of another client's token",
        status,
        &body.to_string(),
    );
    assert_eq!(
        post(stage, "/oauth2/revoke", Some(BASIC), &[("token", &newest)])
            .await
            .0,
        200
    );

    let signed = assertion(stage, key);
    loot.note("client assertion", &signed);
    loot.note(
        "signature of a client assertion",
        signed.rsplit('.').next().unwrap(),
    );
    let form = |assertion: &str| {
        [
            ("grant_type", "client_credentials".to_owned()),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
            ),
            ("client_assertion", assertion.to_owned()),
        ]
    };
    let sent = async |assertion: &str| {
        let form = form(assertion);
        let form: Vec<_> = form
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        post(stage, "/oauth2/token", None, &form).await
    };
    let (status, body) = sent(&signed).await;
    assert_eq!(status, 200, "{body}");
    note_tokens(loot, &body);
    for (what, assertion) in [
        ("a second use of an assertion", signed.clone()),
        ("an altered assertion", signed + "A"),
    ] {
        let (status, body) = sent(&assertion).await;
        loot.error(what, status, &body.to_string());
    }
    sign_out(stage, loot, browser, &text(&first, "id_token")).await;
}

/// RP-Initiated Logout by POST, first with a hint that was altered.
async fn sign_out(stage: &Stage, loot: &mut Loot, browser: &mut Browser, hint: &str) {
    let state = "canary-of-a-state-at-sign-out-51c0";
    loot.note("state", state);
    let url = stage.service.at("/oauth2/logout").parse().unwrap();
    for (hint, leads) in [(format!("{hint}x"), false), (hint.to_owned(), true)] {
        let fields = [
            ("id_token_hint", hint.as_str()),
            ("post_logout_redirect_uri", GOODBYE),
            ("state", state),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let answer = browser.forged(&url, &fields).await;
        let page = browser.settle(answer).await;
        let to = page.location().or_else(|| page.refresh());
        assert_eq!(
            to.is_some_and(|to| to.as_str().starts_with(GOODBYE)),
            leads,
            "{}",
            page.summary()
        );
        if !leads {
            loot.error_page("a sign-out with an altered hint", &page);
        }
    }
}

/// A first-party app: flow, verifier and mail, not used yet.
struct AppFlow {
    flow: String,
    verifier: String,
    link: String,
    code: String,
}

async fn begin_app(stage: &Stage, loot: &mut Loot, address: &str) -> AppFlow {
    let verifier = format!("v{}", "abcdefghijklmnopqrstuvwxyz0123456789".repeat(2))
        + &token_of(address).replace('@', "-");
    let challenge = URL_SAFE_NO_PAD.encode(ring_digest(verifier.as_bytes()));
    let body = json!({"client_id": CLIENT, "email": address, "code_challenge": challenge, "code_challenge_method": "S256"});
    let (status, begun) = api(stage, "request", &body).await;
    assert_eq!(status, 202, "{begun}");
    let mail = stage.mail(address, 1).await;
    loot.note("verifier", &verifier);
    loot.note("code", &mail.code());
    loot.note("link", &token_of(&mail.link()));
    let flow = begun["flow_id"].as_str().unwrap().to_owned();
    AppFlow {
        flow,
        verifier,
        link: token_of(&mail.link()),
        code: mail.code(),
    }
}

fn ring_digest(bytes: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, bytes)
        .as_ref()
        .to_vec()
}

async fn api(stage: &Stage, action: &str, body: &Value) -> (u16, Value) {
    let url = stage
        .service
        .at(&format!("/api/v1/auth/magic-link/{action}"));
    let request = testkit::browser::client()
        .post(url)
        .header("x-forwarded-for", fresh_network().to_string());
    let answer = request.json(body).send().await.unwrap();
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

async fn by_api(stage: &Stage, loot: &mut Loot, address: &str) {
    let app = begin_app(stage, loot, address).await;
    let consume = |verifier: &str, code: &str| json!({"flow_id": app.flow, "code_verifier": verifier, "code": code, "scope": "openid email"});
    for (what, body) in [
        (
            "an app's code with another verifier",
            consume(WRONG_VERIFIER, &app.code),
        ),
        (
            "an app's code that is longer",
            consume(&app.verifier, &format!("{}1", app.code)),
        ),
        (
            "an app's code with a field too many",
            json!({"flow_id": app.flow, "code_verifier": app.verifier, "code": app.code, "more": app.link}),
        ),
        (
            "an app's code of a wrong type",
            json!({"flow_id": app.flow, "code_verifier": [app.verifier], "code": app.code}),
        ),
        (
            "an app's long link",
            json!({"flow_id": app.flow, "code_verifier": app.verifier, "link_token": app.link.repeat(3)}),
        ),
    ] {
        let (status, answer) = api(stage, "consume", &body).await;
        loot.error(what, status, &answer.to_string());
    }
    let (status, tokens) = api(stage, "consume", &consume(&app.verifier, &app.code)).await;
    assert_eq!(status, 200, "{tokens}");
    loot.note("access token", tokens["access_token"].as_str().unwrap());
    loot.note("ID token", tokens["id_token"].as_str().unwrap());
    let (status, answer) = api(stage, "consume", &consume(&app.verifier, &app.code)).await;
    loot.error("an app's second use", status, &answer.to_string());
}

/// Clients that show a secret, and the one whose public keys these are.
fn programs(jwks: &str) -> String {
    let common = format!(
        "audience = \"https://lessons.example.test\"\nredirect_uris = [\"{CALLBACK}\"]\npost_logout_redirect_uris = \
         [\"{GOODBYE}\"]\nscopes = [\"openid\", \"email\", \"offline_access\"]\ngrant_types = [\"authorization_code\", \
         \"client_credentials\"]\n"
    );
    let one = |id: &str, method: &str, key: &str| {
        format!(
            "\n[[clients]]\nclient_id = \"{id}\"\nname = \"{id}\"\ntoken_endpoint_auth_method = \"{method}\"\n{key}\n{common}"
        )
    };
    let secret = |secret: &str| format!("client_secret = \"{secret}\"");
    one(BASIC.0, "client_secret_basic", &secret(BASIC.1))
        + &one(POST.0, "client_secret_post", &secret(POST.1))
        + &one(SIGNER, "private_key_jwt", &format!("jwks = '{jwks}'"))
}

/// The service at TRACE, which also sends its spans, on servers that it knows passwords of.
async fn loud(backend: Backend, collector: &Collector, jwks: &str) -> Option<Stage> {
    if let Err(missing) = faketime() {
        assert!(!ci(), "{missing}");
        eprintln!("skipped: {missing}");
        return None;
    }
    let loud = |options: Options| {
        let options = options
            .clock()
            .expect("libfaketime")
            .set("telemetry.level", "\"trace\"");
        options
            .set(
                "telemetry.otlp_endpoint",
                &format!("\"{}\"", collector.url()),
            )
            .tail(&programs(jwks))
    };
    let mut stage = Stage::start(backend, loud).await?;
    if backend == Backend::Servers {
        // The throw-away servers ask for no password and take any.
        let database = stage
            .setting("database.url")
            .unwrap()
            .replace("postgres@", &format!("postgres:{DATABASE_PASSWORD}@"));
        let redis = format!(
            "{}?user=default&pass={REDIS_PASSWORD}",
            stage.setting("tickets.url").unwrap()
        );
        assert!(database.contains(DATABASE_PASSWORD));
        let quote = |text: &str| format!("\"{text}\"");
        stage
            .service
            .restart(&[
                ("database.url", &quote(&database)),
                ("tickets.url", &quote(&redis)),
            ])
            .await;
    }
    Some(stage)
}

/// What was sent to the collector, once the last request is in it, and what `/metrics` says.
async fn measured(stage: &Stage, collector: &Collector) -> Vec<Place> {
    let id: Vec<u8> = (0..16)
        .map(|at| u8::from_str_radix(&TRACE[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let request = testkit::browser::client().get(stage.service.at("/login"));
    request
        .header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"))
        .send()
        .await
        .unwrap();
    let last = || async {
        collector
            .bytes("/v1/traces")
            .windows(16)
            .any(|window| window == id)
            .then_some(())
    };
    testkit::until("the spans", Duration::from_secs(60), last)
        .await
        .unwrap();
    let (spans, sent) = (
        collector.bytes("/v1/traces"),
        collector.bytes("/v1/metrics"),
    );
    assert!(
        collector.holds("/v1/traces", "POST /oauth2/token"),
        "no span of the token endpoint"
    );
    let url = format!("{}/metrics", stage.service.copies[0].management);
    let metrics = testkit::browser::client()
        .get(url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .to_vec();
    [
        ("the spans", spans),
        ("the metrics sent", sent),
        ("/metrics", metrics),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .to_vec()
}

async fn nothing_secret_is_kept_or_said(backend: Backend) {
    let (collector, (key, jwks)) = (Collector::start(), signing_key());
    let Some(stage) = loud(backend, &collector, &jwks).await else {
        return;
    };
    stage.service.shift_clock(LATER).await;
    let mut loot = Loot::default();
    let address = |who: &str| format!("canary.{who}@example.test");
    let mut browser = by_link(&stage, &mut loot, &address("link")).await;
    by_code(&stage, &mut loot, &address("code")).await;
    let mut other = by_link(&stage, &mut loot, &address("software")).await;
    by_software(&stage, &mut loot, &mut other, &key).await;
    by_client(&stage, &mut loot, &mut browser).await;
    by_api(&stage, &mut loot, &address("app")).await;
    for who in ["link", "code", "software", "app"] {
        loot.note("address", &address(who));
    }
    if backend == Backend::Servers {
        loot.note("password", DATABASE_PASSWORD);
        loot.note("password", REDIS_PASSWORD);
    }
    unspent(&stage, &mut loot, &mut browser).await;
    let kinds: BTreeSet<&str> = loot.canaries.iter().map(|canary| canary.what).collect();
    assert!(
        kinds.len() >= 20 && loot.errors.len() >= 30,
        "{kinds:?}, {} errors",
        loot.errors.len()
    );

    let log: Vec<Place> = stage
        .service
        .log()
        .into_iter()
        .map(|line| ("the log".to_owned(), line.into_bytes()))
        .collect();
    let traces = log
        .iter()
        .filter(|(_, line)| String::from_utf8_lossy(line).contains("\"TRACE\""))
        .count();
    assert!(
        traces > 20,
        "{traces} lines at TRACE among {}: it proves nothing",
        log.len()
    );
    assert_eq!(leaks(&loot.canaries, &log, |_, _| false), BTreeSet::new());
    assert_eq!(
        leaks(&loot.canaries, &loot.errors, |_, _| false),
        BTreeSet::new()
    );
    let measured = measured(&stage, &collector).await;
    assert_eq!(
        leaks(&loot.canaries, &measured, |_, _| false),
        BTreeSet::new()
    );

    let db = stage.database().await;
    let rows = dump(&db).await;
    assert_eq!(
        leaks(&loot.canaries, &rows, address_where_it_must_be),
        BTreeSet::new()
    );
    // The dump reads what is there: the addresses, where they must be.
    for table in ADDRESS_TABLES {
        let there = leaks(&loot.canaries, &rows, |canary, _| canary.what != "address");
        assert!(
            there.iter().any(|found| found.contains(table)),
            "no address in {table}: {there:?}"
        );
    }
    let files = files(&stage);
    assert_eq!(
        leaks(&loot.canaries, &files, |canary, _| canary.what == "address"),
        BTreeSet::new()
    );
    let mut stored = rows.clone();
    if backend == Backend::Servers {
        let redis = dump_redis(&stage.setting("tickets.url").unwrap());
        assert!(redis.len() > 10, "{} in Redis", redis.len());
        assert_eq!(leaks(&loot.canaries, &redis, |_, _| false), BTreeSet::new());
        stored.extend(redis);
    }
    println!(
        "{} canaries; {} lines of log ({traces} at TRACE), {} values of the database, {} places stored, {} error answers",
        loot.canaries.len(),
        log.len(),
        rows.len(),
        stored.len(),
        loot.errors.len()
    );
    planted(&stage, &loot, &db).await;
    feed_back(&stage, &mut loot, &stored, &browser).await;
}

/// The search itself: one leak at a time, in each place and form, must be found.
async fn planted(stage: &Stage, loot: &Loot, db: &DatabaseConnection) {
    for canary in &loot.canaries {
        for form in &canary.forms {
            let line = [
                b"{\"level\":\"TRACE\",\"message\":\"sent ",
                form.as_slice(),
                b"\"}",
            ]
            .concat();
            let found = leaks(&loot.canaries, &[("the log".to_owned(), line)], |_, _| {
                false
            });
            assert!(
                found.contains(&format!("the {} is in the log", canary.what)),
                "{} not found",
                canary.what
            );
        }
    }
    let link = loot
        .canaries
        .iter()
        .find(|canary| canary.what == "link")
        .unwrap();
    db.execute_unprepared(&format!(
        "UPDATE audit_events SET reason = 'used {}'",
        link.text
    ))
    .await
    .unwrap();
    let raw = String::from_utf8(hex(&URL_SAFE_NO_PAD.decode(&link.text).unwrap())).unwrap();
    let bytes = if db.get_database_backend() == DatabaseBackend::Postgres {
        format!("'\\x{raw}'")
    } else {
        format!("x'{raw}'")
    };
    db.execute_unprepared(&format!("UPDATE audit_events SET address_key = {bytes}"))
        .await
        .unwrap();
    let found = leaks(&loot.canaries, &dump(db).await, address_where_it_must_be);
    let expected = ["audit_events.address_key", "audit_events.reason"]
        .map(|place| format!("the link is in {place}"));
    assert_eq!(found, BTreeSet::from(expected));
    db.execute_unprepared("UPDATE audit_events SET reason = NULL, address_key = NULL")
        .await
        .unwrap();
    if stage
        .setting("tickets.url")
        .is_some_and(|url| url != "memory:")
    {
        let url = stage.setting("tickets.url").unwrap();
        let mut redis = redis::Client::open(url.as_str())
            .unwrap()
            .get_connection()
            .unwrap();
        let () = redis::cmd("SET")
            .arg("planted")
            .arg(&link.text)
            .query(&mut redis)
            .unwrap();
        assert_eq!(
            leaks(&loot.canaries, &dump_redis(&url), |_, _| false).len(),
            1
        );
        let () = redis::cmd("DEL").arg("planted").query(&mut redis).unwrap();
    }
}

/// How a stored value could be sent: as it reads, or as the text that its bytes are the value of.
fn readings(value: &[u8]) -> Vec<String> {
    let forms = match std::str::from_utf8(value) {
        Ok(text) => vec![text.to_owned()],
        Err(_) => vec![
            URL_SAFE_NO_PAD.encode(value),
            String::from_utf8_lossy(&hex(value)).into_owned(),
        ],
    };
    // Neither yes nor a page of JSON is a secret.
    forms
        .into_iter()
        .filter(|form| (6..=300).contains(&form.len()))
        .collect()
}

async fn opens_nothing(stage: &Stage, app: &AppFlow, waiting: &str, value: &str) {
    let link = json!({"flow_id": app.flow, "code_verifier": app.verifier, "link_token": value});
    assert_ne!(
        api(stage, "consume", &link).await.0,
        200,
        "a stored value is a link"
    );
    let code = json!({"flow_id": app.flow, "code_verifier": app.verifier, "code": value});
    assert_ne!(
        api(stage, "consume", &code).await.0,
        200,
        "a stored value is a code"
    );
    let verifier = json!({"flow_id": app.flow, "code_verifier": value, "code": app.code});
    assert_ne!(
        api(stage, "consume", &verifier).await.0,
        200,
        "a stored value is a verifier"
    );
    if value
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b";,\"\\".contains(&b))
    {
        let mut thief = Browser::new(fresh_network());
        thief.smuggle(&format!("sid={value}"));
        assert!(
            !thief
                .open(&stage.service.at("/account"))
                .await
                .has("form#sign-out"),
            "a stored value is a session"
        );
        thief.smuggle(&format!("pre={value}"));
        assert!(
            !thief.open(waiting).await.has("form#code"),
            "a stored value is a browser"
        );
    }
}

/// No stored value is an authorization code. A code lives for a minute, so only the values that
/// its issue adds to the stores are tried, and the right code after them.
async fn exchanges_nothing(stage: &Stage, loot: &mut Loot, signed_in: &Browser) {
    let before = stored_values(stage).await;
    let (code, verifier) = unspent(stage, loot, &mut signed_in.clone()).await;
    let added: Vec<String> = stored_values(stage)
        .await
        .difference(&before)
        .cloned()
        .collect();
    let exchange = async |code: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("redirect_uri", CALLBACK),
            ("code", code),
            ("code_verifier", &verifier),
        ];
        let answer = testkit::browser::client()
            .post(stage.service.at("/oauth2/token"))
            .form(&form)
            .send()
            .await;
        answer.unwrap().status().as_u16()
    };
    for value in &added {
        assert_ne!(
            exchange(value).await,
            200,
            "a stored value is an authorization code"
        );
    }
    assert_eq!(exchange(&code).await, 200, "the right code still works");
}

/// Every value of the database and, on servers, of Redis, in each form in which it could be sent.
async fn stored_values(stage: &Stage) -> BTreeSet<String> {
    let mut places = dump(&stage.database().await).await;
    if let Some(url) = stage.setting("tickets.url") {
        let redis = dump_redis(&url);
        assert!(!redis.is_empty(), "Redis holds something");
        places.extend(redis);
    }
    places
        .iter()
        .flat_map(|(_, value)| readings(value))
        .collect()
}

/// B3: every stored value as a link, a code, a cookie and an authorization code, by whoever holds the verifier.
async fn feed_back(stage: &Stage, loot: &mut Loot, stored: &[Place], signed_in: &Browser) {
    exchanges_nothing(stage, loot, signed_in).await;
    let app = begin_app(stage, loot, "canary.stored@example.test").await;
    let mut waiting = Browser::new(fresh_network());
    let page = stage.ask(&mut waiting, "canary.waiting@example.test").await;
    stage.mail("canary.waiting@example.test", 1).await;
    let db = stage.database().await;
    let values: BTreeSet<String> = stored
        .iter()
        .cloned()
        .chain(dump(&db).await)
        .flat_map(|(_, value)| readings(&value))
        .collect();
    let values: Vec<String> = values.into_iter().collect();
    for eight in values.chunks(8) {
        futures_util::future::join_all(
            eight
                .iter()
                .map(|value| opens_nothing(stage, &app, page.url.as_str(), value)),
        )
        .await;
    }
    println!("{} stored values fed back six ways", values.len());
    // The right ones still open: so it was the values.
    assert!(
        signed_in
            .clone()
            .open(&stage.service.at("/account"))
            .await
            .has("form#sign-out")
    );
    assert!(waiting.open(page.url.as_str()).await.has("form#code"));
    let link = json!({"flow_id": app.flow, "code_verifier": app.verifier, "link_token": app.link});
    let (status, answer) = api(stage, "consume", &link).await;
    assert_eq!(status, 200, "{answer}");
}

/// X12: no secret and no panic after whole sign-ins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_b3_er_5_nothing_secret_is_kept_or_said_on_the_embedded_default() {
    nothing_secret_is_kept_or_said(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f3_b3_er_5_nothing_secret_is_kept_or_said_on_postgresql_and_redis() {
    nothing_secret_is_kept_or_said(Backend::Servers).await;
}

/// B1: two mails have nothing in common, the link has 256 bits, and the code is no part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn b1_links_have_256_bits_of_their_own() {
    let stage = Stage::start(Backend::Embedded, |options| options)
        .await
        .expect("needs nothing");
    let mut seen = BTreeSet::new();
    let mut ones = [0_u32; 256];
    const MAILS: u32 = 24;
    for n in 0..MAILS {
        let address = format!("b1-{n}@example.test");
        stage
            .ask(&mut Browser::new(fresh_network()), &address)
            .await;
        let mail = stage.mail(&address, 1).await;
        let token = token_of(&mail.link());
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        assert_eq!(bytes.len(), 32);
        assert!(
            !token.contains(&mail.code()) && seen.insert(token),
            "a link came twice, or tells its code"
        );
        for (bit, count) in ones.iter_mut().enumerate() {
            *count += u32::from(bytes[bit / 8] >> (bit % 8) & 1);
        }
        let hashed = [
            ring_digest(mail.code().as_bytes()),
            ring_digest(address.as_bytes()),
        ];
        assert!(!hashed.contains(&bytes), "made from what is known");
    }
    // A bit that is the same in all mails is none: by chance once in 32 000 runs.
    assert!(
        ones.iter().all(|count| (1..MAILS).contains(count)),
        "{ones:?}"
    );
}

/// A start that fails says why, without the passwords.
#[test]
fn f3_a_start_that_fails_tells_no_password() {
    let folder = testkit::child::scratch("secrets");
    let database = format!("postgres://entree:{DATABASE_PASSWORD}@127.0.0.1:1/entree");
    let redis = format!("redis://entree:{REDIS_PASSWORD}@127.0.0.1:1/0");
    let smtp = "canary-of-smtp-55de";
    for (more, database) in [
        ("", database.as_str()),
        ("nonsense = 1\n", database.as_str()),
        ("", "postgres:nonsense canary"),
    ] {
        let text = format!(
            "[server]\npublic_url = \"https://id.example.test\"\ndata_dir = \"{}\"\n{more}[database]\nurl = \
             \"{database}\"\n[tickets]\nurl = \"{redis}\"\n[mail]\ntransport = \"smtp\"\nhost = \"127.0.0.1\"\nport = \
             1\nusername = \"entree\"\npassword = \"{smtp}\"\ntls = \"none\"\nfrom = \"a@example.test\"\n",
            folder.display()
        );
        std::fs::write(folder.join("entree.toml"), text).unwrap();
        for command in ["check-config", "migrate"] {
            let (_, said) = testkit::entree::run(&binary(), &folder, &[command]);
            assert!(said.len() > 20, "{command} says nothing");
            for secret in [DATABASE_PASSWORD, REDIS_PASSWORD, smtp] {
                assert!(!said.contains(secret), "{command} tells a password");
            }
        }
    }
    let _ = std::fs::remove_dir_all(folder);
}
