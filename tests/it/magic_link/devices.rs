//! Known devices and device secrets: what ends them, and what renews them (OA-17).

use std::time::Duration;

use entity::known_device;
use entree::{
    config::{Budget, Limits},
    jobs,
    login::device,
    secret::Hash,
};
use poem::http::StatusCode;
use sea_orm::{EntityTrait as _, PaginatorTrait as _};

use super::budgets::{begin, submit, with_app};
use crate::test_app::{Browser, TestApp};

on_both!(
    oa_17_signing_out_everywhere_ends_known_devices_for_good,
    oa_17_an_operator_ends_known_devices_and_device_secrets,
    oa_17_a_user_row_takes_its_devices_along,
    oa_17_each_sign_in_renews_a_device_at_most_once_a_day,
    oa_17_a_device_that_has_ended_is_never_renewed,
);

const DEVICE: &str = "__Host-Http-dev";

fn device_of(browser: &Browser<'_>) -> String {
    browser.cookies[DEVICE].clone()
}

/// Exhausts the budgets of every address: emails go to known devices alone.
fn exhaust(test_app: &TestApp) {
    let none = vec![Budget {
        count: 0,
        seconds: 900,
    }];
    test_app.configure(|config| {
        config.limits.address.clone_from(&none);
        config.limits.address_reserve = none;
    });
}

fn restore(test_app: &TestApp) {
    let limits = Limits::default();
    test_app.configure(|config| {
        config.limits.address = limits.address;
        config.limits.address_reserve = limits.address_reserve;
    });
}

/// Returns whether a device gets an email for an address whose budgets are exhausted, wherever its
/// cookie was taken to.
async fn is_known(test_app: &TestApp, device: &str, email: &str) -> bool {
    exhaust(test_app);
    let mut elsewhere = test_app.browser();
    elsewhere
        .cookies
        .insert(DEVICE.to_owned(), device.to_owned());
    let waiting = elsewhere.ask(email).await;
    // The newest email of the test is then the one that the test requests next.
    test_app.send_due_emails().await;
    restore(test_app);
    !waiting.has("#withheld")
}

async fn sign_out(browser: &mut Browser<'_>, form: &str) {
    let account = browser.open("/account").await;
    browser.submit(&account, form, &[]).await;
    assert!(!browser.is_signed_in(), "{form}");
}

async fn oa_17_signing_out_everywhere_ends_known_devices_for_good(test_app: TestApp) {
    let email = "everywhere@example.com";
    let (mut laptop, mut phone) = (test_app.browser(), test_app.browser());
    laptop.sign_in(email).await;
    phone.sign_in(email).await;
    let mut relative = laptop.clone();
    sign_out(&mut relative, "sign-out").await;
    relative.sign_in("relative@example.com").await;
    let stolen = device_of(&laptop);
    assert_eq!(device_of(&relative), stolen, "one browser of two users");
    assert!(!is_known(&test_app, &"x".repeat(43), email).await);
    assert!(
        is_known(&test_app, &stolen, email).await,
        "signing out of one session keeps its device"
    );

    sign_out(&mut phone, "sign-out-everywhere").await;
    assert!(!is_known(&test_app, &stolen, email).await);
    assert!(!is_known(&test_app, &device_of(&phone), email).await);
    assert!(
        is_known(&test_app, &stolen, "relative@example.com").await,
        "another user's access did not end"
    );

    // The next sign-in on the laptop, by two clicks at once, does not make the stolen secret good.
    laptop.ask(email).await;
    let link = test_app.mail(email).await.link();
    let page = laptop.open(&link).await;
    let mut second = laptop.clone();
    for click in [&mut laptop, &mut second] {
        click.submit(&page, "link", &[]).await;
        assert!(click.is_signed_in());
        assert_ne!(device_of(click), stolen);
        assert!(is_known(&test_app, &device_of(click), email).await);
    }
    assert!(!is_known(&test_app, &stolen, email).await);
}

async fn oa_17_an_operator_ends_known_devices_and_device_secrets(test_app: TestApp) {
    test_app.configure(with_app);
    let email = "by-operator@example.com";
    for command in ["sign-out", "disable"] {
        let mut laptop = test_app.browser();
        laptop.sign_in(email).await;
        let phone = test_app.browser();
        let begun = begin(&phone, email, None).await;
        let code = test_app.mail(email).await.code();
        let (status, tokens) = submit(&phone, &begun, &code, None).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let secret = tokens["device_secret"].as_str().unwrap().to_owned();
        exhaust(&test_app);
        let begun = begin(&phone, email, Some(&secret)).await;
        assert!(begun["withheld_for"].is_null(), "{begun}");
        test_app.send_due_emails().await;
        assert!(is_known(&test_app, &device_of(&laptop), email).await);

        test_app.entree(&format!("users {command} --yes {email}"));
        if command == "disable" {
            test_app.entree(&format!("users enable {email}"));
        }
        assert!(!is_known(&test_app, &device_of(&laptop), email).await);
        exhaust(&test_app);
        let begun = begin(&phone, email, Some(&secret)).await;
        assert!(begun["withheld_for"].as_u64().is_some(), "{begun}");
        restore(&test_app);

        let begun = begin(&phone, email, Some(&secret)).await;
        let code = test_app.mail(email).await.code();
        let (status, tokens) = submit(&phone, &begun, &code, Some(&secret)).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        let renewed = tokens["device_secret"].as_str().unwrap();
        assert_ne!(renewed, secret, "the next sign-in gives a new one");
    }
}

async fn devices(test_app: &TestApp) -> Vec<known_device::Model> {
    let all = known_device::Entity::find().all(test_app.app.db.read());
    all.await.unwrap()
}

async fn oa_17_a_user_row_takes_its_devices_along(test_app: TestApp) {
    test_app.browser().sign_in("gone@example.com").await;
    test_app.browser().sign_in("stays@example.com").await;
    let all = devices(&test_app).await;
    let tx = test_app.tx().await;
    entity::user::Entity::delete_by_id(all[0].user_id.unwrap())
        .exec(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(devices(&test_app).await, all[1..]);
}

/// A sign-in that began before the user signed out everywhere, and is completed after it.
async fn oa_17_a_device_that_has_ended_is_never_renewed(test_app: TestApp) {
    let mut laptop = test_app.browser();
    laptop.sign_in("late@example.com").await;
    let known = devices(&test_app).await.remove(0);
    let user = known.user_id.unwrap();
    let hash = |column: &[u8]| Hash::from_column(column).unwrap();
    let (device, key) = (hash(&known.device_hash), hash(&known.address_key));
    let tx = test_app.tx().await;
    device::end_all(&tx, user).await.unwrap();
    device::remember(&tx, &device, &key, user).await.unwrap();
    let found = device::is_known(tx.conn(), Some(&device), &key, tx.now).await;
    assert!(!found.unwrap());
    tx.commit().await.unwrap();
}

async fn oa_17_each_sign_in_renews_a_device_at_most_once_a_day(test_app: TestApp) {
    const DAY: u64 = 86_400;
    let email = "renewed@example.com";
    let mut laptop = test_app.browser();
    let mut expiries = Vec::new();
    for pause in [0, DAY / 2, DAY / 2, 170 * DAY, 170 * DAY] {
        test_app.pass(pause);
        laptop.cookies.retain(|name, _| name == DEVICE);
        laptop.sign_in(email).await;
        let all = devices(&test_app).await;
        assert_eq!(all.len(), 1);
        let left = all[0].expires_at.since(test_app.app.clock().now());
        expiries.push(left.as_secs().div_ceil(DAY / 2));
    }
    assert_eq!(expiries, [360, 359, 360, 360, 360], "in half days");
    assert!(is_known(&test_app, &device_of(&laptop), email).await);

    // A device that was not used ends, and its row goes when no browser has its cookie.
    let left_after = async |days| {
        test_app.pass(days * DAY);
        let swept = jobs::sweep(&test_app.app, Duration::from_secs(60));
        swept.await.unwrap();
        let all = known_device::Entity::find();
        all.count(test_app.app.db.read()).await.unwrap()
    };
    assert_eq!(device::RETENTION.as_secs(), 180 * DAY);
    assert_eq!(left_after(181).await, 1);
    assert!(!is_known(&test_app, &device_of(&laptop), email).await);
    assert_eq!(left_after(180).await, 0);
}
