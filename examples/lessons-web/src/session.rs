//! A user who is signed in, and the tokens that this client holds for them.
//!
//! The access token lives for minutes, the refresh token changes with every use: it is kept **here, on the server, in
//! memory**, one for each session, and never reaches the browser. A script that was injected into a page can then use
//! the session while the page is open, but takes no token away. One process holds the token behind one lock, so that no
//! two requests use the same one, which Entree would have to take for theft. A client on several machines keeps it in
//! its own database, sealed, and locks the row. After a restart users sign in again: by one redirect, without a page,
//! as long as Entree's session lasts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use poem::http::StatusCode;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::{
    App,
    id_token::{self, Proof},
};

/// A token response (RFC 6749 §5.1).
#[derive(Deserialize)]
pub(crate) struct TokenResponse {
    access_token: String,
    token_type: String,
    id_token: Option<String>,
    refresh_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

/// An error response (RFC 6749 §5.2).
#[derive(Deserialize)]
struct TokenError {
    error: String,
}

/// The tokens of a session.
struct Tokens {
    access: String,
    refresh: Option<String>,
    /// The newest ID token, by which Entree knows whom to sign out.
    id: String,
    /// When the access token expires.
    until: Instant,
}

/// The session of a user. Clones share the tokens.
#[derive(Clone)]
pub(crate) struct Session {
    /// The user.
    pub(crate) sub: String,
    /// The session at Entree from which this one began.
    pub(crate) sid: Option<String>,
    tokens: Arc<Mutex<Tokens>>,
}

/// Why there is no access token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The grant has ended: the user signed out elsewhere or was locked out, or it was unused for too long.
    #[error("the visit is over")]
    Over,
    /// Entree is unavailable, and the last token has expired.
    #[error(transparent)]
    Away(#[from] anyhow::Error),
}

impl Session {
    /// Starts a session with the tokens of a code exchange.
    pub(crate) fn begin(proof: Proof, answer: TokenResponse) -> Self {
        let id = answer.id_token.unwrap_or_default();
        let tokens = Tokens {
            access: answer.access_token,
            refresh: answer.refresh_token,
            id,
            until: until(answer.expires_in),
        };
        Self {
            sub: proof.sub,
            sid: proof.sid,
            tokens: Arc::new(Mutex::new(tokens)),
        }
    }

    /// Returns an access token, which is refreshed before it expires. While Entree is unavailable the last one is used.
    ///
    /// # Errors
    /// [`SessionError`]
    pub(crate) async fn access_token(&self, app: &App) -> Result<String, SessionError> {
        let mut tokens = self.tokens.lock().await;
        let now = Instant::now();
        if now + app.refresh_margin >= tokens.until
            && let Err(lost) = self.refresh(app, &mut tokens).await
        {
            let SessionError::Away(cause) = &lost else {
                return Err(lost);
            };
            if now >= tokens.until {
                return Err(lost);
            }
            tracing::info!(%cause, "not refreshed; the token is still good");
        }
        Ok(tokens.access.clone())
    }

    /// Returns another access token than `refused`, which the API did not accept, or which lacks a role that the user
    /// has been given since. Of several requests at once only the first one refreshes.
    ///
    /// # Errors
    /// [`SessionError`]
    pub(crate) async fn renewed(&self, app: &App, refused: &str) -> Result<String, SessionError> {
        let mut tokens = self.tokens.lock().await;
        if tokens.access == refused {
            self.refresh(app, &mut tokens).await?;
        }
        Ok(tokens.access.clone())
    }

    /// Returns the hint for signing out (RP-Initiated Logout 1.0 §2).
    pub(crate) async fn id_token(&self) -> String {
        self.tokens.lock().await.id.clone()
    }

    /// Revokes the refresh token (RFC 7009), which this client will not use any more. The sign-out goes on while Entree
    /// is unavailable.
    pub(crate) async fn give_back(&self, app: &App) {
        let Some(token) = self.tokens.lock().await.refresh.take() else {
            return;
        };
        let given = async {
            let endpoint = app
                .issuer
                .metadata()
                .await?
                .revocation_endpoint
                .as_ref()
                .context("no such endpoint")?;
            let form = [("token", token.as_str()), ("client_id", &app.client_id)];
            app.issuer
                .post(endpoint)
                .form(&form)
                .send()
                .await?
                .error_for_status()?;
            anyhow::Ok(())
        };
        if let Err(cause) = given.await {
            tracing::info!(%cause, "the refresh token was not given back; it ends with Entree's session");
        }
    }

    /// Refreshes the tokens (RFC 6749 §6). The old refresh token is kept until the response has the next one: the same
    /// request again within a minute returns that one.
    async fn refresh(&self, app: &App, tokens: &mut Tokens) -> Result<(), SessionError> {
        let Some(refresh) = &tokens.refresh else {
            return Err(SessionError::Over);
        };
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.as_str()),
            ("client_id", &app.client_id),
        ];
        let answer = match request_tokens(app, &form).await {
            Ok(answer) => answer,
            Err(TokenRequestError::Refused(error)) if error == "invalid_grant" => {
                return Err(SessionError::Over);
            }
            Err(TokenRequestError::Refused(error)) => {
                return Err(anyhow::anyhow!("refresh: {error}").into());
            }
            Err(TokenRequestError::Unavailable(error)) => return Err(error.into()),
        };
        // This comes first: the old one is used up, whatever follows.
        if answer.refresh_token.is_some() {
            tokens.refresh = answer.refresh_token;
        }
        if let Some(id) = &answer.id_token {
            // OpenID Connect Core §12.2: the token is about the same user, or the grant is another's.
            let expected = id_token::Expected {
                client_id: &app.client_id,
                nonce: None,
                now: lessons_api::now(),
            };
            let proof = id_token::verify(&app.issuer, &app.keys, id, &expected)
                .await
                .context("ID token")?;
            if proof.sub != self.sub {
                return Err(SessionError::Over);
            }
        }
        tokens.until = until(answer.expires_in);
        tokens.access = answer.access_token;
        if let Some(id) = answer.id_token {
            tokens.id = id;
        }
        Ok(())
    }
}

impl TokenResponse {
    pub(crate) fn id_token(&self) -> &str {
        self.id_token.as_deref().unwrap_or_default()
    }
}

fn until(expires_in: Option<u64>) -> Instant {
    Instant::now() + Duration::from_secs(expires_in.unwrap_or(300).min(3600))
}

/// Why the token endpoint gave no tokens.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenRequestError {
    /// The error code of the response (RFC 6749 §5.2).
    #[error("{0}")]
    Refused(String),
    /// The provider is away, or its response is neither tokens nor such an error.
    #[error(transparent)]
    Unavailable(#[from] anyhow::Error),
}

/// Sends a form to the token endpoint and returns the tokens. The client is public: the form holds all that
/// it authenticates with.
///
/// # Errors
/// [`TokenRequestError`]
pub(crate) async fn request_tokens(
    app: &App,
    form: &[(&str, &str)],
) -> Result<TokenResponse, TokenRequestError> {
    let response = post_form(app, form).await?;
    if response.status() == StatusCode::BAD_REQUEST {
        let refusal: TokenError = response.json().await.map_err(anyhow::Error::from)?;
        return Err(TokenRequestError::Refused(refusal.error));
    }
    Ok(read_tokens(response).await?)
}

async fn post_form(app: &App, form: &[(&str, &str)]) -> anyhow::Result<reqwest::Response> {
    let endpoint = &app.issuer.metadata().await?.token_endpoint;
    Ok(app.issuer.post(endpoint).form(form).send().await?)
}

async fn read_tokens(response: reqwest::Response) -> anyhow::Result<TokenResponse> {
    let tokens: TokenResponse = response.error_for_status()?.json().await?;
    anyhow::ensure!(
        tokens.token_type.eq_ignore_ascii_case("bearer"),
        "a token type that we do not know"
    );
    Ok(tokens)
}
