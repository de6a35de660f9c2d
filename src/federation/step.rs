//! The values that the steps of an upstream sign-in return: a [`Step`], or a [`StepError`].
//!
//! `linking`, `flow` and `app` decide and store. They draw no page, set no cookie and record no
//! refusal: `respond` renders every value once.

use super::error::FederationError;
use crate::{
    app::App,
    login::{
        PageError, RequestContext, client_home::with_client, finish::SignedIn,
        lookup::find_pending, repeated::RepeatableSecrets,
    },
    secret::Plain,
};

/// The result of a step that was not refused.
#[derive(Debug)]
pub enum Step {
    /// The browser leaves for the provider.
    LeaveForProvider {
        provider: String,
        authorization_url: String,
        client_id: Option<String>,
    },
    /// The user is signed in: the browser gets the cookies of the session and continues.
    SignedIn(Box<SignedIn>, Continuation),
    /// The user was signed in by the same form a moment ago: the browser gets the same cookies.
    SignedInAgain(RepeatedSignIn, Continuation),
    /// The browser continues, and its session stays as it is.
    Continue(Continuation),
    /// An account was connected: the session continues under a fresh secret.
    Connected(RotatedSession, Continuation),
    /// The link waits for what the page at this path asks for.
    Wait { path: String },
    /// The user confirms or declines a pending link.
    ConfirmLink(Box<LinkQuestion>),
    /// The account is connected to this user already, and nothing has changed.
    OwnAccount { provider: String },
    /// The app gets its code at `url` once the user presses a button.
    OpenApp { client_name: String, url: String },
    /// An account was disconnected, and the session stays.
    Disconnected,
    /// The session ended together with the account that it came from.
    SignedOut,
    /// The browser goes to another path of ours.
    Redirect { path: String },
}

/// Where a browser continues after a step.
#[derive(Debug)]
pub enum Continuation {
    Account,
    /// A page leads to `url` by itself: a redirect would extend a chain that began with a form
    /// elsewhere, and browsers hold its `form-action` against the client (CW-02).
    Page {
        url: String,
        client_id: Option<String>,
    },
}

impl Continuation {
    /// Returns the client's request behind `txn`, or the account page if no client waits.
    pub async fn load(
        app: &App,
        context: &RequestContext,
        txn: Option<&str>,
    ) -> Result<Self, PageError> {
        let Some(txn) = txn else {
            return Ok(Self::Account);
        };
        let pending = find_pending(app, context, Some(txn)).await?;
        // The protocol module tells the client about a request that has expired.
        let resumed_by = pending
            .as_ref()
            .map(|pending| pending.resumed_by)
            .unwrap_or_default();
        let client_id = pending.and_then(|pending| pending.client().map(str::to_owned));
        let path = format!("{}?txn={txn}", resumed_by.resume_path());
        Ok(Self::Page {
            url: with_client(&path, client_id.as_deref()),
            client_id,
        })
    }
}

/// A session whose cookie gets a new secret.
#[derive(Debug)]
pub struct RotatedSession {
    pub secret: Plain,
    pub remembered: bool,
}

/// A sign-in whose form came twice.
#[derive(Debug)]
pub struct RepeatedSignIn {
    pub secrets: RepeatableSecrets,
    pub remembered: bool,
}

/// The question about a pending link, as the page shows it.
#[derive(Debug)]
pub struct LinkQuestion {
    pub provider_name: String,
    /// The address or name by which the user recognises the account; empty if none is known.
    pub account: String,
    /// The address of the user who is signed in.
    pub email: String,
    /// The account belongs to another user, and the question is whether to sign out.
    pub switch: bool,
    /// LC-G: the user has another account of this provider already.
    pub second: bool,
    /// The name of the form field that identifies the link.
    pub field: &'static str,
    pub value: String,
    pub client_id: Option<String>,
}

/// Why a step ended without a [`Step`].
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error("{}", .0.error)]
    Refused(RefusedStep),
    /// This browser has no pending link of that name, or the link was used or has expired.
    #[error("no such pending link")]
    NoPendingLink,
    /// A failure that every page of the service shows in the same way.
    #[error("{0:?}")]
    Page(PageError),
}

impl StepError {
    /// A refusal of a request that belongs to a flow, or to a user who is signed in.
    pub fn refused(error: impl Into<FederationError>, provider: &str, return_to: ReturnTo) -> Self {
        Self::Refused(RefusedStep {
            error: error.into(),
            provider: provider.to_owned(),
            return_to,
            has_flow: true,
        })
    }

    /// A refusal of a request that belongs to no flow of ours: any stranger can cause it.
    pub fn refused_without_flow(
        error: impl Into<FederationError>,
        provider: &str,
        return_to: ReturnTo,
    ) -> Self {
        Self::Refused(RefusedStep {
            error: error.into(),
            provider: provider.to_owned(),
            return_to,
            has_flow: false,
        })
    }
}

impl<E: Into<PageError>> From<E> for StepError {
    fn from(error: E) -> Self {
        Self::Page(error.into())
    }
}

/// A refusal, with what its page needs.
#[derive(Debug)]
pub struct RefusedStep {
    pub error: FederationError,
    /// The provider's id, as the path has it.
    pub provider: String,
    pub return_to: ReturnTo,
    /// Whether a flow of ours was refused. Without one, and without a session, the refusal has no
    /// row in the audit log (ST-17).
    pub has_flow: bool,
}

/// Where the user goes from the page of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReturnTo {
    /// UE-02: the sign-in page, with the client's request that still waits. A client whose request
    /// is not known here any more is named alone.
    SignIn {
        txn: Option<String>,
        client_id: Option<String>,
    },
    Account,
    /// The rest of a sign-in by email that succeeded, at this path.
    Continue(String),
    /// The app, at this URL with an error that it understands.
    App(String),
}

impl ReturnTo {
    /// The sign-in page, of no client.
    pub const SIGN_IN: Self = Self::SignIn {
        txn: None,
        client_id: None,
    };
}
