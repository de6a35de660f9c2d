//! Signs in with the openidconnect crate.

use anyhow::{Context as _, Result, bail, ensure};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, CsrfToken, HttpRequest, HttpResponse, IssuerUrl,
    Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, TokenResponse as _,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreErrorResponseType, CoreJwsSigningAlgorithm,
        CoreProviderMetadata, CoreUserInfoClaims,
    },
};
use url::Url;

fn task(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    println!("version {}", version("openidconnect")?);
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let fetch = |request: HttpRequest| send(http.clone(), request);
    let metadata =
        CoreProviderMetadata::discover_async(IssuerUrl::new(task("ISSUER"))?, &fetch).await?;
    println!("did discovery");

    let client =
        CoreClient::from_provider_metadata(metadata, ClientId::new(task("CLIENT_ID")), None)
            .set_redirect_uri(RedirectUrl::new(task("REDIRECT_URI"))?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            CsrfToken::new_random,
            Nonce::new_random,
        )
        .add_scope(Scope::new("email".to_owned()))
        .set_pkce_challenge(challenge)
        .url();
    let back = visit(&url)?;
    let part = |name: &str| {
        back.query_pairs()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    ensure!(
        part("state").as_deref() == Some(state.secret()),
        "another state"
    );
    let code = AuthorizationCode::new(part("code").context("no code")?);
    let secret = verifier.secret().clone();
    let answer = client
        .exchange_code(code.clone())?
        .set_pkce_verifier(verifier)
        .request_async(&fetch)
        .await?;
    println!("did code + PKCE");

    let alg = match task("ID_ALG").as_str() {
        "ES256" => CoreJwsSigningAlgorithm::EcdsaP256Sha256,
        _ => CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    };
    let verifier = client.id_token_verifier().set_allowed_algs([alg]);
    let id = answer.id_token().context("no ID token")?;
    let claims = id.claims(&verifier, &nonce)?;
    let expected = claims.access_token_hash().context("no at_hash")?;
    let actual = AccessTokenHash::from_token(
        answer.access_token(),
        id.signing_alg()?,
        id.signing_key(&verifier)?,
    )?;
    ensure!(*expected == actual, "another at_hash");
    println!("did ID token with at_hash");

    let subject = Some(claims.subject().clone());
    let person: CoreUserInfoClaims = client
        .user_info(answer.access_token().clone(), subject)?
        .request_async(&fetch)
        .await?;
    ensure!(
        person.email().is_some() && person.email_verified() == Some(true),
        "no proven address"
    );
    println!("did userinfo");

    let again = client
        .exchange_code(code)?
        .set_pkce_verifier(PkceCodeVerifier::new(secret));
    match again.request_async(&fetch).await {
        Err(RequestTokenError::ServerResponse(refusal))
            if *refusal.error() == CoreErrorResponseType::InvalidGrant => {}
        other => bail!("a code twice: {other:?}"),
    }
    println!("did invalid_grant for a code twice");
    println!("access_token {}", answer.access_token().secret());
    println!("id_token {id}");
    Ok(())
}

/// Sends the person to an address; gives the one that they came back to.
fn visit(url: &Url) -> Result<Url> {
    println!("visit {url}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(Url::parse(line.trim())?)
}

async fn send(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, reqwest::Error> {
    let answer = http.execute(request.try_into()?).await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = HttpResponse::new(answer.bytes().await?.to_vec());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The version that was built, out of the lock file.
fn version(name: &str) -> Result<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let at = lock
        .find(&format!("name = \"{name}\"\n"))
        .context("not in the lock file")?;
    lock[at..].split('"').nth(3).context("no version")
}
