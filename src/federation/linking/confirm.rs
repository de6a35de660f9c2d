//! `/login/identity`: whether to connect an account at a provider (cases B, E, G), or to leave somebody else's session for
//! it (case A). GET shows; only the form changes anything, and each link is settled once (LK-06), and not at all once its
//! provider may not speak for it any more.

use askama::Template;
use poem::{Body, Request, Response, handler, web::Data};
use uuid::Uuid;

use super::settle::{LinkContext, LinkOutcome, UpstreamLogin, settle};
use crate::{
    app::App,
    db::Tx,
    federation::{
        error::{FederationError, RefusalCode},
        flow::complete::{go_on, signed_in, wait},
        refusal::{Next, Place, refuse},
    },
    login::{
        PageError, RequestContext,
        context::see_other,
        finish::link_account,
        flow::{self, Flow, FlowState},
        flow_payload::pending_link_in,
        form::PostedForm,
        lookup::{find_pending, refuse_pending_link},
        notify::notify,
        page::ContinuePage,
        page_error,
        pending_link::{self, LinkRequirement, PendingLink},
        resume::continue_path,
    },
    mail::outbox::EmailKind,
    secret::Plain,
    session::{self, CurrentSession},
    user::{self, identity},
    web::{
        page::{PageContent, render_page},
        params::Params,
        text::Localizer,
    },
};

/// `GET /login/identity`: whether to connect an account, or to leave somebody else's session for it.
#[derive(Template)]
#[template(path = "federation/linking/confirm.html", config = ".askama.toml")]
pub struct Ask<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// What people call the provider.
    pub provider: &'a str,
    /// How the person recognises the account there; empty if nothing is known of it.
    pub account: &'a str,
    /// Who is signed in.
    pub email: &'a str,
    /// The account is somebody else's: the question is whether to sign out.
    pub switch: bool,
    /// The user has another account of this provider already (case G).
    pub second: bool,
    /// Form token.
    pub form_token: &'a str,
    /// What the form is about: the field's name, and its value.
    pub about: (&'static str, &'a str),
}

impl Ask<'_> {
    fn text(&self, key: &str) -> String {
        self.localizer
            .text_with(key, &[("provider", self.provider.to_owned())])
    }

    fn lede(&self) -> String {
        let known = [
            ("provider", self.provider.to_owned()),
            ("account", self.account.to_owned()),
            ("email", self.email.to_owned()),
        ];
        let key = match (self.switch, self.account) {
            (true, _) => "identity-switch-lede",
            (false, "") => "identity-lede-nameless",
            (false, _) => "identity-lede",
        };
        self.localizer.html(key, &known)
    }
}

impl PageContent for Ask<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.text(if self.switch {
            "identity-switch-title"
        } else {
            "identity-title"
        })
    }
}

/// Where the link that is asked about waits.
enum PendingLinkSource {
    /// In the ticket store, under this handle: the person comes from the provider.
    Ticket(Plain, PendingLink),
    /// In the row of a flow that was proven by mail in this browser.
    Flow(Box<Flow>, PendingLink),
}

impl PendingLinkSource {
    const fn link(&self) -> &PendingLink {
        match self {
            Self::Ticket(_, link) | Self::Flow(_, link) => link,
        }
    }

    /// The form's field that names it.
    fn about(&self) -> (&'static str, String) {
        match self {
            Self::Ticket(handle, _) => ("link", handle.to_text()),
            Self::Flow(flow, _) => ("flow", flow.id.to_string()),
        }
    }
}

/// The link that the parameters name, if it waits for somebody in this browser.
async fn waits(
    app: &App,
    context: &RequestContext,
    params: &Params,
) -> Result<PendingLinkSource, PageError> {
    let found = match (
        params.optional_within("link", 43)?,
        params.optional_within("flow", 36)?,
    ) {
        (Some(handle), None) => in_ticket(app, context, handle).await?,
        (None, Some(id)) => in_flow(app, context, id).await?,
        _ => None,
    };
    match found {
        Some(found) => Ok(found),
        None => Err(refuse_pending_link(app, context).await?),
    }
}

async fn in_ticket(
    app: &App,
    context: &RequestContext,
    handle: &str,
) -> Result<Option<PendingLinkSource>, PageError> {
    let Some(handle) = Plain::parse(handle) else {
        return Ok(None);
    };
    let link = pending_link::peek(
        &app.tickets,
        &handle,
        context.requester(),
        app.clock().now(),
    )
    .await?;
    Ok(link
        .filter(|link| link.requirement != LinkRequirement::VerifiedEmail)
        .map(|link| PendingLinkSource::Ticket(handle, link)))
}

async fn in_flow(
    app: &App,
    context: &RequestContext,
    id: &str,
) -> Result<Option<PendingLinkSource>, PageError> {
    let Ok(id) = Uuid::try_parse(id) else {
        return Ok(None);
    };
    let Some(flow) = flow::find(app.db.read(), id).await? else {
        return Ok(None);
    };
    let mine = flow.state == FlowState::Consumed
        && flow.session_id.is_some()
        && flow.session_id == context.session_id();
    let link = pending_link_in(&flow)?.filter(|_| mine && flow.link_settled_at.is_none());
    Ok(link.map(|link| PendingLinkSource::Flow(Box::new(flow), link)))
}

/// `GET /login/identity`.
#[handler]
pub(crate) async fn show_question(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let waits = waits(app, &context, &Params::from_query(request)?).await?;
        let Some(current) = &context.current else {
            return Ok(see_other("/login"));
        };
        let link = waits.link();
        if identity::is_trusted_issuer(&context.config, &link.account).is_none() {
            return match &waits {
                // Nothing is asked there either.
                PendingLinkSource::Flow(flow, _) => Ok(see_other(&continue_path(flow.id))),
                PendingLinkSource::Ticket(..) => {
                    refused(app, &context, &RefusalCode::ProviderDisabled.into(), link).await
                }
            };
        }
        let email = user::primary_address(app.db.read(), current.user.id)
            .await?
            .map(|row| row.email)
            .unwrap_or_default();
        let switch = link.requirement == LinkRequirement::SwitchConsent;
        let others = identity::list_for_user(app.db.read(), current.user.id).await?;
        let (field, value) = waits.about();
        let page = Ask {
            localizer: &context.localizer,
            provider: &link.provider_name,
            account: link.account.label().unwrap_or_default(),
            email: &email,
            switch,
            second: !switch
                && others
                    .iter()
                    .any(|other| other.issuer == link.account.issuer),
            form_token: &context.form_token(app, "identity", &value),
            about: (field, &value),
        };
        let client = match &waits {
            PendingLinkSource::Flow(flow, _) => flow.client_id.clone(),
            PendingLinkSource::Ticket(_, link) => find_pending(app, &context, link.txn.as_deref())
                .await?
                .map(|asked| asked.client_id),
        };
        Ok(render_page(
            &page,
            context.page_options_for_client(client.as_deref()),
        ))
    })
    .await
}

/// `POST /login/identity`.
#[handler]
pub(crate) async fn decide(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["link", "flow", "decision", "form_token"])?;
        let about = params
            .optional("link")?
            .or(params.optional("flow")?)
            .unwrap_or_default();
        let form = PostedForm {
            params: &params,
            name: "identity",
            context: about,
            allow_null_origin: false,
        };
        context.check_form(app, request, &form)?;
        let yes = match params.optional("decision")? {
            Some("yes") => true,
            Some("no") => false,
            _ => {
                return Err(PageError::InvalidParameter {
                    name: "decision".to_owned(),
                    status: poem::http::StatusCode::BAD_REQUEST,
                });
            }
        };
        match waits(app, &context, &params).await? {
            PendingLinkSource::Ticket(handle, _) => by_ticket(app, &context, &handle, yes).await,
            PendingLinkSource::Flow(flow, link) => by_flow(app, &context, &flow, &link, yes).await,
        }
    })
    .await
}

async fn by_ticket(
    app: &App,
    context: &RequestContext,
    handle: &Plain,
    yes: bool,
) -> Result<Response, PageError> {
    let now = app.clock().now();
    let Some(link) = pending_link::claim(&app.tickets, handle, context.requester(), now).await?
    else {
        return Err(refuse_pending_link(app, context).await?);
    };
    match (link.requirement, yes) {
        // Whoever stays goes on with the client's request as who they are.
        (_, false) => go_on(app, context, link.txn.as_deref()).await,
        (LinkRequirement::SwitchConsent, true) => switch(app, context, &link).await,
        (LinkRequirement::LinkConsent, true) => {
            let same = link.session.is_some() && link.session == context.session_id();
            let Some(current) = context.current.as_ref().filter(|_| same) else {
                return refused(app, context, &RefusalCode::SessionChanged.into(), &link).await;
            };
            let answer = see_other("/account");
            add(app, context, current, &link, None, answer).await
        }
        (LinkRequirement::VerifiedEmail, true) => Err(PageError::SignInExpired),
    }
}

/// They have agreed to leave the session that was here.
async fn switch(
    app: &App,
    context: &RequestContext,
    link: &PendingLink,
) -> Result<Response, PageError> {
    let came = UpstreamLogin::again(link);
    let at = LinkContext {
        browser_state: context.browser_state(),
        connecting: false,
        switch: true,
        remembered: false,
        locale: &context.localizer.tag,
        caller: &context.caller,
    };
    match settle(app, &came, at).await? {
        LinkOutcome::SignedIn(done) => {
            // A form's POST leads nowhere by a redirect that might end elsewhere (CW-02).
            signed_in(app, context, &done, link.txn.as_deref()).await
        }
        LinkOutcome::Waits(wants) => {
            let anew = link
                .clone()
                .renewed(app.clock().now())
                .ok_or(PageError::PendingLinkGone)?;
            wait(
                app,
                context,
                &PendingLink {
                    requirement: wants,
                    ..anew
                },
            )
            .await
        }
        LinkOutcome::Own => Ok(see_other("/account")),
        LinkOutcome::Refused(refusal) => refused(app, context, &refusal, link).await,
    }
}

/// E and G: the address was proven in this browser a moment ago; the account goes to whoever has it.
async fn by_flow(
    app: &App,
    context: &RequestContext,
    flow: &Flow,
    link: &PendingLink,
    yes: bool,
) -> Result<Response, PageError> {
    let Some(current) = &context.current else {
        return Err(PageError::InvalidForm);
    };
    let site = context.page_options_for_client(flow.client_id.as_deref());
    let on = || {
        render_page(
            &ContinuePage {
                localizer: &context.localizer,
                href: &continue_path(flow.id),
            },
            site,
        )
    };
    if yes && identity::is_trusted_issuer(&context.config, &link.account).is_none() {
        // The question is not asked again, so that the rest of the sign-in goes on.
        let place = Place {
            provider: &link.account.provider,
            next: Next::On(continue_path(flow.id)),
        };
        return refuse(app, context, &RefusalCode::ProviderDisabled.into(), &place).await;
    }
    if yes {
        return add(app, context, current, link, Some(flow), on()).await;
    }
    let tx = app.db.begin().await?;
    flow::settle_link(&tx, flow.id).await?;
    tx.commit().await?;
    Ok(on())
}

/// LK-04: connects it in that user's own session, which is fresh; the cookie's secret changes (BS-04), and the owner is
/// told by mail.
async fn add(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    link: &PendingLink,
    flow: Option<&Flow>,
    answer: Response,
) -> Result<Response, PageError> {
    let tx = app.db.begin().await?;
    // Read again: since the request came the session may have ended, or somebody reclaimed the account.
    let now = session::find_live(
        tx.conn(),
        current.session.id,
        tx.now,
        &context.config.session,
    )
    .await?;
    let refusal = match &now {
        _ if identity::is_trusted_issuer(&app.config.get(), &link.account).is_none() => {
            Some(RefusalCode::ProviderDisabled)
        }
        Some(now) if session::is_fresh(&now.session, tx.now) => None,
        Some(_) => Some(RefusalCode::LinkStaleAuth),
        None => Some(RefusalCode::SessionChanged),
    };
    let (Some(current), None) = (&now, refusal) else {
        drop(tx);
        return refused(
            app,
            context,
            &refusal.unwrap_or(RefusalCode::SessionChanged).into(),
            link,
        )
        .await;
    };
    if let Some(flow) = flow
        && !flow::settle_link(&tx, flow.id).await?
    {
        drop(tx);
        return Err(refuse_pending_link(app, context).await?);
    }
    if link_account(&tx, &current.user, &link.account, &context.caller)
        .await?
        .is_none()
    {
        // Committed: a link that was answered is settled.
        tx.commit().await?;
        return refused(app, context, &RefusalCode::LinkTaken.into(), link).await;
    }
    let Some(sid) = session::rotate(&tx, current.session.id).await? else {
        return Err(PageError::InvalidForm);
    };
    told(
        &tx,
        current,
        &context.localizer.tag,
        &link.account.provider,
        EmailKind::ProviderConnected,
    )
    .await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(context.with_rotated_session(answer, &sid, current.session.remembered))
}

/// Tells the owner by mail what happened to their account (LK-07).
///
/// # Errors
/// The database's own.
pub async fn told(
    tx: &Tx,
    current: &CurrentSession,
    locale: &str,
    provider: &str,
    kind: EmailKind,
) -> Result<(), PageError> {
    let Some(address) = user::primary_address(tx.conn(), current.user.id).await? else {
        return Ok(());
    };
    Ok(notify(tx, kind, &address.canonical, locale, Some(provider)).await?)
}

async fn refused(
    app: &App,
    context: &RequestContext,
    refusal: &FederationError,
    link: &PendingLink,
) -> Result<Response, PageError> {
    // Who came to sign in has, perhaps, a client's request that waits; who came to connect something has their account.
    let next = if link.requirement == LinkRequirement::SwitchConsent {
        Next::SignIn(link.txn.as_deref())
    } else {
        Next::Account
    };
    let place = Place {
        provider: &link.account.provider,
        next,
    };
    refuse(app, context, refusal, &place).await
}
