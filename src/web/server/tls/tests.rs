//! Real handshakes against the running server.

use std::{net::SocketAddr, path::PathBuf};

use local_cert::Authority;
use poem::{EndpointExt as _, IntoEndpoint as _, Request, Route, handler};
use reqwest::{Certificate as Root, Client, Version, tls};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use super::*;
use crate::{
    secret::public_id,
    web::{
        layers::Layers,
        server::{ServerOptions, serve},
    },
};

const SHORT: Duration = Duration::from_millis(300);
/// No test waits longer for anything.
const LONG: Duration = Duration::from_secs(20);

#[handler]
fn scheme(request: &Request) -> String {
    request.scheme().to_string()
}

/// A server with a certificate for 127.0.0.1.
struct TestServer {
    folder: PathBuf,
    authority: Authority,
    address: SocketAddr,
    certificate: Arc<Certificate>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn start(change: impl FnOnce(&mut ServerOptions)) -> TestServer {
    let folder = std::env::temp_dir().join(format!("entree-tls-{}", public_id()));
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new().unwrap();
    write_certificate(&folder, &authority);
    let files = Tls {
        cert_file: Some(folder.join("cert.pem")),
        key_file: Some(folder.join("key.pem")),
    };
    let certificate = Certificate::open(&files).unwrap().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut options = ServerOptions::default();
    change(&mut options);
    let layers = Layers::new(Some(format!("https://{address}").into()));
    let routes = Route::new()
        .at("/scheme", scheme)
        .with(layers)
        .into_endpoint();
    let tls = acceptor(&certificate).unwrap();
    let task = tokio::spawn(serve(
        listener,
        Some(tls),
        routes,
        options,
        std::future::pending(),
    ));
    TestServer {
        folder,
        authority,
        address,
        certificate,
        task,
    }
}

/// Writes a new certificate and key in place of the old ones.
fn write_certificate(folder: &std::path::Path, authority: &Authority) {
    let pair = authority.issue(&["127.0.0.1"]).unwrap();
    for (name, text) in [("key.pem", pair.key), ("cert.pem", pair.cert)] {
        std::fs::write(folder.join("next"), text).unwrap();
        std::fs::rename(folder.join("next"), folder.join(name)).unwrap();
    }
}

impl TestServer {
    fn client(
        &self,
        change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Client {
        client(&self.authority, change)
    }

    async fn get(&self, client: &Client) -> reqwest::Result<(Version, String)> {
        let response = client
            .get(format!("https://{}/scheme", self.address))
            .send()
            .await?;
        Ok((response.version(), response.text().await?))
    }

    /// Returns the certificate that a new connection gets.
    async fn served_certificate(&self) -> Vec<u8> {
        let client = self.client(|builder| builder.tls_info(true));
        let response = client
            .get(format!("https://{}/scheme", self.address))
            .send()
            .await
            .unwrap();
        response
            .extensions()
            .get::<tls::TlsInfo>()
            .unwrap()
            .peer_certificate()
            .unwrap()
            .to_vec()
    }
}

fn client(
    authority: &Authority,
    change: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Client {
    let _ = ring::default_provider().install_default();
    let root = Root::from_pem(authority.pem().as_bytes()).unwrap();
    let builder = Client::builder()
        .no_proxy()
        .timeout(LONG)
        .tls_certs_only([root]);
    change(builder).build().unwrap()
}

#[tokio::test]
async fn http_1_and_2_are_served_over_tls_1_2_and_1_3() {
    let server = start(|_| {}).await;
    for version in [tls::Version::TLS_1_2, tls::Version::TLS_1_3] {
        let only = |builder: reqwest::ClientBuilder| {
            builder.tls_version_min(version).tls_version_max(version)
        };
        let response = server.get(&server.client(only)).await.unwrap();
        assert_eq!(
            response,
            (Version::HTTP_2, "https".to_owned()),
            "{version:?}"
        );
        let response = server
            .get(&server.client(|builder| only(builder).http1_only()))
            .await
            .unwrap();
        assert_eq!(
            response,
            (Version::HTTP_11, "https".to_owned()),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn who_trusts_another_authority_or_asks_for_another_name_gets_nothing() {
    let server = start(|_| {}).await;
    let stranger = client(&Authority::new().unwrap(), |builder| builder);
    assert!(server.get(&stranger).await.unwrap_err().is_connect());
    let ours = server.client(|builder| builder.resolve("elsewhere.example", server.address));
    let url = format!("https://elsewhere.example:{}/scheme", server.address.port());
    assert!(ours.get(url).send().await.unwrap_err().is_connect());
    assert!(server.get(&server.client(|builder| builder)).await.is_ok());
}

/// A ClientHello (RFC 5246 §7.4.1.2) that offers at most this version, as old clients send it.
fn hello(version: [u8; 2]) -> Vec<u8> {
    // ECDHE with RSA and ECDSA over AES-CBC: what such clients have.
    let suites = [0xc0, 0x13, 0xc0, 0x14, 0xc0, 0x09, 0xc0, 0x0a];
    // Groups: P-256; point formats: uncompressed; signatures: ECDSA with SHA-256, RSA with SHA-256.
    let extensions = [
        0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 6, 0, 4, 4, 3, 4, 1,
    ];
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, u8::try_from(suites.len()).unwrap()]);
    body.extend(suites);
    body.extend([1, 0, 0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let length = u8::try_from(body.len()).unwrap();
    [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], &body[..]].concat()
}

#[tokio::test]
async fn fa_2_tls_1_0_and_1_1_are_refused() {
    let server = start(|_| {}).await;
    for version in [[3, 1], [3, 2]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&hello(version)).await.unwrap();
        let mut response = Vec::new();
        timeout(LONG, stream.read_to_end(&mut response))
            .await
            .unwrap()
            .unwrap();
        // RFC 8446 §6: an alert, fatal, protocol_version.
        assert_eq!(response[0], 21, "{response:?}");
        assert_eq!(response[5..], [2, 70], "{response:?}");
    }
}

#[tokio::test]
async fn px_02_a_half_open_handshake_is_cut() {
    let server = start(|options| options.handshake_timeout = SHORT).await;
    let whole = hello([3, 3]);
    for half in [&[][..], &whole[..3], &whole[..40]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let began = Instant::now();
        stream.write_all(half).await.unwrap();
        let mut response = Vec::new();
        let _reset = timeout(LONG, stream.read_to_end(&mut response))
            .await
            .expect("the server closes");
        assert!(
            response.is_empty() && began.elapsed() >= SHORT,
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn a_handshake_takes_a_slot_and_gives_it_back() {
    let server =
        start(|options| (options.max_connections, options.handshake_timeout) = (1, SHORT * 2))
            .await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let began = Instant::now();
    assert!(server.get(&server.client(|builder| builder)).await.is_ok());
    assert!(
        began.elapsed() >= SHORT,
        "it waited for the silent one: {:?}",
        began.elapsed()
    );
    drop(silent);
}

#[tokio::test]
async fn plain_http_gets_no_answer() {
    let server = start(|_| {}).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /scheme HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        .await
        .unwrap();
    let mut response = Vec::new();
    let _reset = timeout(LONG, stream.read_to_end(&mut response))
        .await
        .expect("the server closes");
    assert!(!response.starts_with(b"HTTP"), "{response:?}");
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_while_old_ones_live_on() {
    let server = start(|_| {}).await;
    let renewal = watch(Arc::clone(&server.certificate));
    let before = server.served_certificate().await;
    let old = server.client(|builder| builder.http1_only().tls_info(true));
    let ask = || async {
        let response = old
            .get(format!("https://{}/scheme", server.address))
            .send()
            .await
            .unwrap();
        let served = response
            .extensions()
            .get::<tls::TlsInfo>()
            .unwrap()
            .peer_certificate()
            .unwrap()
            .to_vec();
        response.text().await.unwrap();
        served
    };
    assert_eq!(ask().await, before);
    write_certificate(&server.folder, &server.authority);
    let after = timeout(LONG, async {
        loop {
            let served = server.served_certificate().await;
            if served != before {
                return served;
            }
            sleep(SHORT / 10).await;
        }
    });
    let after = after.await.expect("the renewed one is noticed by itself");
    assert_eq!(ask().await, before, "the old connection goes on as it was");
    assert_eq!(server.served_certificate().await, after);
    drop(renewal);
}

#[tokio::test]
async fn files_that_cannot_serve_are_refused_and_the_old_certificate_stays() {
    let server = start(|_| {}).await;
    let before = server.served_certificate().await;
    assert_eq!(server.certificate.reload(), ReloadOutcome::Unchanged);
    let refused = |expected: &str| match server.certificate.reload() {
        ReloadOutcome::Rejected(problem) => assert_eq!(problem.key, expected),
        other => panic!("{other:?}"),
    };
    let other = server.authority.issue(&["127.0.0.1"]).unwrap();
    std::fs::write(server.folder.join("cert.pem"), &other.cert).unwrap();
    refused("server.tls.key_file");
    assert_eq!(
        server.certificate.reload(),
        ReloadOutcome::Unchanged,
        "reported once"
    );
    std::fs::write(server.folder.join("cert.pem"), "nothing").unwrap();
    refused("server.tls.cert_file");
    std::fs::remove_file(server.folder.join("key.pem")).unwrap();
    refused("server.tls.key_file");
    assert_eq!(server.served_certificate().await, before);

    std::fs::write(server.folder.join("cert.pem"), &other.cert).unwrap();
    std::fs::write(server.folder.join("key.pem"), &other.key).unwrap();
    assert_eq!(server.certificate.reload(), ReloadOutcome::Renewed);
    assert_ne!(server.served_certificate().await, before);
}
