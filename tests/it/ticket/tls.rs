//! Redis behind TLS: a private authority, a client certificate, the server's name, a user of its own.

use std::{path::Path, time::Duration};

use entree::{
    config::Startup,
    secret::MasterKeys,
    ticket::{Space, StoreTls, Tickets},
};
use testkit::{ci, services::Redis};

/// Connects with these files of the folder; gives whether the store responds.
async fn responds(url: &str, folder: &Path, trusts: bool, shows: bool) -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = Startup::default();
    let file = |name: &str, is_set: bool| is_set.then(|| folder.join(name));
    config.tickets.ca_file = file("ca.pem", trusts);
    config.tickets.client_cert_file = file("cert.pem", shows);
    config.tickets.client_key_file = file("key.pem", shows);
    config.tickets.prefix = "t:".to_owned();
    let tls = StoreTls::read(&config).unwrap();
    let keys = MasterKeys::new([7; 32], []);
    let tickets = Tickets::connect_with(url, Space::of(&config.tickets), tls, &keys).unwrap();
    // The first connection may take longer than a command may.
    let connected = || async { tickets.ping().await.ok() };
    testkit::until("Redis", Duration::from_secs(3), connected)
        .await
        .is_ok()
}

#[tokio::test]
async fn ob_4_redis_with_a_private_authority_a_client_certificate_and_a_name() {
    let (server, folder) = match Redis::start_tls().await {
        Ok(started) => started,
        Err(missing) => {
            assert!(!ci(), "{missing}");
            eprintln!("skipped: {missing}");
            return;
        }
    };
    let url = server.url();
    assert!(responds(url, &folder, true, true).await, "both are right");
    assert!(
        !responds(url, &folder, false, true).await,
        "an authority that is not trusted"
    );
    assert!(
        !responds(url, &folder, true, false).await,
        "no client certificate"
    );
    let other_name = url.replace("127.0.0.1", "127.0.0.2");
    assert!(
        !responds(&other_name, &folder, true, true).await,
        "the certificate is for another name"
    );
    let wrong_user = url.replace(":secret@", ":other@");
    assert_ne!(wrong_user, url);
    assert!(
        !responds(&wrong_user, &folder, true, true).await,
        "another password"
    );
}
