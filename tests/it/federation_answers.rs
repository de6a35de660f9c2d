//! What an upstream answers instead of a code, and what happens when something else is away: it, its configuration, our
//! ticket store, the user (`federation` §9, lines 37 to 40; §6).

use entree::{
    config::{Config, SignUp},
    secret::Text,
    user,
};
use poem::http::StatusCode;
use sea_orm::EntityTrait as _;
use serde_json::json;
use testkit::{
    services::Redis,
    upstream::{Lie, Place},
};

use crate::{
    bed::{Bed, there},
    federation::{Kept, Row, Stage, count, reasons, refuse},
};

on_both!(
    r_37_ue_01_up_denied,
    r_37_ue_01_up_provider_error,
    r_37_ue_01_up_misconfigured,
    r_38_up_provider_disabled_between_start_and_callback,
    r_40_up_user_disabled,
    up_sign_up_closed_says_so_to_whoever_is_new,
    ue_02_ue_03_an_error_of_the_provider_stays_between_us_and_it,
    ue_05_the_provider_is_gone_and_mail_goes_on,
    up_03_tickets_flushed_in_mid_flow_begin_again,
    dj_08_a_provider_that_is_away_holds_up_nothing,
    a_callback_takes_at_most_ten_seconds,
);

async fn r_37_ue_01_up_denied(bed: Bed) {
    let stage = Stage::new(&bed, json!({})).await;
    stage.up.tell(Lie::error("access_denied"));
    let page = stage.refused("access_denied", 200, "up_denied").await;
    assert!(page.has("form#sign-in") || page.has("a[href^='/login']"), "UE-01: the sign-in page: {}", page.summary());
    assert_eq!(stage.up.count(Place::Token), 0);
}

async fn r_37_ue_01_up_provider_error(bed: Bed) {
    let row = |error, status| Row::new(error, status, vec![Lie::error(error)]);
    refuse(
        &bed,
        "up_provider_error",
        vec![
            row("server_error", 200),
            row("temporarily_unavailable", 200),
            row("interaction_required", 502),
            row("something_else", 502),
            row("<script>alert(1)</script>", 502),
        ],
    )
    .await;
}

async fn r_37_ue_01_up_misconfigured(bed: Bed) {
    let row = |error| Row::new(error, 502, vec![Lie::error(error)]);
    let errors =
        ["invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "invalid_client"];
    refuse(&bed, "up_misconfigured", errors.map(row).into()).await;
}

async fn ue_02_ue_03_an_error_of_the_provider_stays_between_us_and_it(bed: Bed) {
    for error in ["access_denied", "server_error", "invalid_scope", "whatever"] {
        let stage = Stage::new(&bed, json!({})).await;
        stage.up.tell(Lie::error(error));
        let (mut browser, login, back) = stage.gone().await;
        let answer = browser.open(&back.path()).await;
        assert!(answer.location().is_none() && answer.refresh().is_none(), "UE-02: sent to the client");
        for words in ["words of the upstream", "&lt;b&gt;", "error_description"] {
            assert!(!answer.body.contains(words), "UE-03: {words}");
        }
        assert!(browser.open(&login.url[url::Position::BeforePath..]).await.has("form#sign-in"));
    }
}

async fn r_38_up_provider_disabled_between_start_and_callback(bed: Bed) {
    let stage = Stage::new(&bed, json!({})).await;
    let (mut browser, login, back) = stage.gone().await;
    stage.set(|provider| provider.enabled = false);
    let page = browser.open(&login.url[url::Position::BeforePath..]).await;
    assert!(stage.button(&page).is_none(), "its button is gone");
    stage.judge(&mut browser, &login, &back, ("switched off meanwhile", 403, "up_provider_disabled")).await;
    assert_eq!(stage.up.count(Place::Token), 0);

    let stage = Stage::new(&bed, json!({})).await;
    let (mut browser, login) = stage.at_login().await;
    stage.set(|provider| provider.enabled = false);
    let before = Kept::of(&bed).await;
    let answer = stage.press(&mut browser, &login).await;
    stage.check(&before, &answer, ("the button of an old page", 403, "up_provider_disabled")).await;
    assert_eq!(stage.up.total(), 0);
}

async fn r_40_up_user_disabled(bed: Bed) {
    let stage = Stage::new(&bed, json!({})).await;
    stage.signs_in("while it is well").await;
    let person = entity::user::Entity::find().one(bed.app.db.read()).await.unwrap().unwrap();
    let tx = bed.tx().await;
    user::set_state(&tx, person.id, user::State::Disabled).await.unwrap();
    tx.commit().await.unwrap();
    let (mut browser, _, back) = stage.gone().await;
    let before = Kept::of(&bed).await;
    let answer = browser.open(&back.path()).await;
    stage.check(&before, &answer, ("locked out", 403, "up_user_disabled")).await;
}

async fn up_sign_up_closed_says_so_to_whoever_is_new(bed: Bed) {
    let stage = Stage::new(&bed, json!({})).await;
    bed.configure(|config| config.magic_link.sign_up = SignUp::Closed);
    let (mut browser, _, back) = stage.gone().await;
    let page = browser.open(&back.path()).await;
    assert_eq!((page.status, reasons(&bed).await), (StatusCode::FORBIDDEN, vec!["up_sign_up_closed".to_owned()]));
    assert!(page.text().contains("no account here yet"), "{}", page.summary());
    assert_eq!(entity::user::Entity::find().all(bed.app.db.read()).await.unwrap(), []);
}

async fn ue_05_the_provider_is_gone_and_mail_goes_on(bed: Bed) {
    let stage = Stage::new(&bed, json!({})).await;
    stage.signs_in("before").await;
    stage.up.go_down();
    let (mut browser, login) = stage.at_login().await;
    assert!(stage.button(&login).is_some(), "UE-05: the button stays");
    let begin = std::time::Instant::now();
    let done = crate::oauth::sign_in_from(&mut browser, &login, "by-mail@example.test").await;
    assert!(browser.is_signed_in() && crate::federation::at_client(&done), "{}", done.summary());
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "mail waited for the provider");
}

async fn up_03_tickets_flushed_in_mid_flow_begin_again(bed: Bed) {
    let stage = Stage::new(&bed, json!({})).await;
    let (mut browser, _, back) = stage.gone().await;
    let before = Kept::of(&bed).await;
    let answer = if bed.app.db.is_postgres() {
        let (mut redis, keys) = bed.redis().await;
        assert!(!keys.is_empty());
        let () = redis::cmd("DEL").arg(&keys).query_async(&mut redis).await.unwrap();
        browser.open(&back.path()).await
    } else {
        // The same database in a new process: its tickets are gone.
        let again = bed.copy().await;
        let mut there = again.browser();
        there.cookies.clone_from(&browser.cookies);
        there.open(&back.path()).await
    };
    stage.check(&before, &answer, ("flushed", 400, "up_state_unknown")).await;
    assert!(answer.has("a[href^='/login']"), "a way to begin again: {}", answer.summary());
    assert_eq!(stage.up.count(Place::Token), 0);
}

async fn dj_08_a_provider_that_is_away_holds_up_nothing(bed: Bed) {
    let stage = Stage::new(&bed, json!({})).await;
    stage.up.wire.set(testkit::wire::Mode::Blackhole);
    let begin = std::time::Instant::now();
    let started = entree::federation::provider::Providers::new(&bed.app);
    let login = stage.at_login().await.1;
    assert!(stage.button(&login).is_some());
    assert!(begin.elapsed() < std::time::Duration::from_secs(2), "{:?}", begin.elapsed());
    drop(started);
    assert_eq!(stage.up.total(), 0);
}

async fn a_callback_takes_at_most_ten_seconds(bed: Bed) {
    // Each call by itself would be in time: 4 s for the keys, the token, userinfo.
    let stage = Stage::new(&bed, json!({"userinfo": "always"})).await;
    let (mut browser, _, back) = stage.gone().await;
    stage.up.slow_down(std::time::Duration::from_secs(4));
    let begin = std::time::Instant::now();
    let answer = browser.open(&back.path()).await;
    assert!(begin.elapsed() < std::time::Duration::from_millis(11_500), "{:?}", begin.elapsed());
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.summary());
    assert_eq!(count(&bed, "users").await, 0);
}

/// with the ticket store away nobody is sent anywhere, and nobody comes in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r_39_up_store_down() {
    let Some(redis) = there(Redis::start().await) else { return };
    let own = |config: &mut Config| config.tickets.url = Text::new(redis.url().to_owned());
    let Some(bed) = Bed::servers_with(own).await else { return };
    let stage = Stage::new(&bed, json!({})).await;
    let (mut under_way, _, back) = stage.gone().await;
    let mut browser = bed.browser();
    let login = browser.open("/login").await;
    let asked = stage.up.total();
    redis.kill();
    let before = Kept::of(&bed).await;
    let answer = stage.press(&mut browser, &login).await;
    stage.check(&before, &answer, ("at the start", 503, "up_store_down")).await;
    assert_eq!((answer.refresh(), stage.up.total()), (None, asked), "nothing was sent");
    let before = Kept::of(&bed).await;
    let answer = under_way.open(&back.path()).await;
    stage.check(&before, &answer, ("at the callback", 503, "up_store_down")).await;
    assert_eq!(stage.up.count(Place::Token), 0);
    assert!(answer.header("retry-after").is_some());
}
