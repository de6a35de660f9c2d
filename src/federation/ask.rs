//! `/login/identity`: whether to connect an account at a provider (cases B, E, G), or to leave somebody else's session for
//! it (case A). GET shows; only the form changes anything, and each link is settled once (LK-06), and not at all once its
//! provider may not speak for it any more.

use poem::{Body, Request, Response, handler, web::Data};
use uuid::Uuid;

use super::{
    arrive::{go_on, request_of, signed_in, wait},
    link::{Came, Settled, Where, settle},
    pages::{Ask, Next, Place, refuse},
    refused::{Code, Refused},
};
use crate::{
    app::App,
    db::Tx,
    login::{
        Trouble, Visit,
        finish::{connect, tell},
        flow::{self, Flow, State},
        page::Continue,
        pending_link::{self, PendingLink, Wants},
        provider,
        resume::{continue_path, link_of},
        trouble,
        visit::{Form, see_other},
    },
    mail::outbox::LetterKind,
    secret::Plain,
    session::{self, Current},
    user::{self, identity},
    web::{page::show, params::Params},
};

/// Where the link that is asked about waits.
enum Waits {
    /// In the ticket store, under this handle: the person comes from the provider.
    Ticket(Plain, PendingLink),
    /// In the row of a flow that was proven by mail in this browser.
    Flow(Box<Flow>, PendingLink),
}

impl Waits {
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
async fn waits(app: &App, visit: &Visit, params: &Params) -> Result<Waits, Trouble> {
    let found = match (
        params.one_within("link", 43)?,
        params.one_within("flow", 36)?,
    ) {
        (Some(handle), None) => in_ticket(app, visit, handle).await?,
        (None, Some(id)) => in_flow(app, visit, id).await?,
        _ => None,
    };
    match found {
        Some(found) => Ok(found),
        None => Err(pending_link::refused(app, visit).await?),
    }
}

async fn in_ticket(app: &App, visit: &Visit, handle: &str) -> Result<Option<Waits>, Trouble> {
    let Some(handle) = Plain::parse(handle) else {
        return Ok(None);
    };
    let link = pending_link::look(&app.tickets, &handle, visit.asker(), app.clock().now()).await?;
    Ok(link
        .filter(|link| link.wants != Wants::Proof)
        .map(|link| Waits::Ticket(handle, link)))
}

async fn in_flow(app: &App, visit: &Visit, id: &str) -> Result<Option<Waits>, Trouble> {
    let Ok(id) = Uuid::try_parse(id) else {
        return Ok(None);
    };
    let Some(flow) = flow::by_id(app.db.read(), id).await? else {
        return Ok(None);
    };
    let mine = flow.state == State::Consumed
        && flow.session_id.is_some()
        && flow.session_id == visit.session_id();
    let link = link_of(&flow)?.filter(|_| mine && flow.link_settled_at.is_none());
    Ok(link.map(|link| Waits::Flow(Box::new(flow), link)))
}

/// `GET /login/identity`.
#[handler]
pub async fn show_question(Data(app): Data<&App>, request: &Request) -> Response {
    trouble::page(app, request, async {
        let visit = Visit::of(app, request, "").await?;
        let waits = waits(app, &visit, &Params::from_query(request)?).await?;
        let Some(current) = &visit.current else {
            return Ok(see_other("/login"));
        };
        let link = waits.link();
        if provider::speaks_for(&visit.config, &link.arrived).is_none() {
            return match &waits {
                // Nothing is asked there either.
                Waits::Flow(flow, _) => Ok(see_other(&continue_path(flow.id))),
                Waits::Ticket(..) => {
                    refused(app, &visit, &Code::ProviderDisabled.into(), link).await
                }
            };
        }
        let email = user::address_of(app.db.read(), current.user.id)
            .await?
            .map(|row| row.email)
            .unwrap_or_default();
        let switch = link.wants == Wants::Switch;
        let others = identity::of_user(app.db.read(), current.user.id).await?;
        let (field, value) = waits.about();
        let page = Ask {
            tongue: &visit.tongue,
            provider: &link.provider_name,
            account: link.arrived.label().unwrap_or_default(),
            email: &email,
            switch,
            second: !switch
                && others
                    .iter()
                    .any(|other| other.issuer == link.arrived.issuer),
            form_token: &visit.form_token(app, "identity", &value),
            about: (field, &value),
        };
        let client = match &waits {
            Waits::Flow(flow, _) => flow.client_id.clone(),
            Waits::Ticket(_, link) => request_of(app, &visit, link.txn.as_deref())
                .await?
                .map(|asked| asked.client_id),
        };
        Ok(show(&page, visit.site_of(client.as_deref())))
    })
    .await
}

/// `POST /login/identity`.
#[handler]
pub async fn decide(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    trouble::page(app, request, async {
        let visit = Visit::of(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.known(&["link", "flow", "decision", "form_token"])?;
        let about = params
            .one("link")?
            .or(params.one("flow")?)
            .unwrap_or_default();
        let form = Form {
            params: &params,
            name: "identity",
            context: about,
            allow_null_origin: false,
        };
        visit.check_form(app, request, &form)?;
        let yes = match params.one("decision")? {
            Some("yes") => true,
            Some("no") => false,
            _ => {
                return Err(Trouble::Parameter(
                    "decision".to_owned(),
                    poem::http::StatusCode::BAD_REQUEST,
                ));
            }
        };
        match waits(app, &visit, &params).await? {
            Waits::Ticket(handle, _) => by_ticket(app, &visit, &handle, yes).await,
            Waits::Flow(flow, link) => by_flow(app, &visit, &flow, &link, yes).await,
        }
    })
    .await
}

async fn by_ticket(
    app: &App,
    visit: &Visit,
    handle: &Plain,
    yes: bool,
) -> Result<Response, Trouble> {
    let now = app.clock().now();
    let Some(link) = pending_link::take(&app.tickets, handle, visit.asker(), now).await? else {
        return Err(pending_link::refused(app, visit).await?);
    };
    match (link.wants, yes) {
        // Whoever stays goes on with the client's request as who they are.
        (_, false) => go_on(app, visit, link.txn.as_deref()).await,
        (Wants::Switch, true) => switch(app, visit, &link).await,
        (Wants::Yes, true) => {
            let same = link.session.is_some() && link.session == visit.session_id();
            let Some(current) = visit.current.as_ref().filter(|_| same) else {
                return refused(app, visit, &Code::SessionChanged.into(), &link).await;
            };
            let answer = see_other("/account");
            add(app, visit, current, &link, None, answer).await
        }
        (Wants::Proof, true) => Err(Trouble::Expired),
    }
}

/// They have agreed to leave the session that was here.
async fn switch(app: &App, visit: &Visit, link: &PendingLink) -> Result<Response, Trouble> {
    let came = Came::again(link);
    let at = Where {
        holds: visit.holds(),
        connecting: false,
        switch: true,
        remembered: false,
        locale: &visit.tongue.tag,
        caller: &visit.caller,
    };
    match settle(app, &came, at).await? {
        Settled::SignedIn(done) => {
            // A form's POST leads nowhere by a redirect that might end elsewhere (CW-02).
            signed_in(app, visit, &done, link.txn.as_deref()).await
        }
        Settled::Waits(wants) => {
            let anew = link.clone().anew(app.clock().now()).ok_or(Trouble::Link)?;
            wait(app, visit, &PendingLink { wants, ..anew }).await
        }
        Settled::Own => Ok(see_other("/account")),
        Settled::Refused(refusal) => refused(app, visit, &refusal, link).await,
    }
}

/// E and G: the address was proven in this browser a moment ago; the account goes to whoever has it.
async fn by_flow(
    app: &App,
    visit: &Visit,
    flow: &Flow,
    link: &PendingLink,
    yes: bool,
) -> Result<Response, Trouble> {
    let Some(current) = &visit.current else {
        return Err(Trouble::Stale);
    };
    let site = visit.site_of(flow.client_id.as_deref());
    let on = || {
        show(
            &Continue {
                tongue: &visit.tongue,
                href: &continue_path(flow.id),
            },
            site,
        )
    };
    if yes && provider::speaks_for(&visit.config, &link.arrived).is_none() {
        // The question is not asked again, so that the rest of the sign-in goes on.
        let place = Place {
            provider: &link.arrived.provider,
            next: Next::On(continue_path(flow.id)),
        };
        return refuse(app, visit, &Code::ProviderDisabled.into(), &place).await;
    }
    if yes {
        return add(app, visit, current, link, Some(flow), on()).await;
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
    visit: &Visit,
    current: &Current,
    link: &PendingLink,
    flow: Option<&Flow>,
    answer: Response,
) -> Result<Response, Trouble> {
    let tx = app.db.begin().await?;
    // Read again: since the request came the session may have ended, or somebody reclaimed the account.
    let now = session::by_id(tx.conn(), current.session.id, tx.now, &visit.config.session).await?;
    let refusal = match &now {
        _ if provider::speaks_for(&app.config.get(), &link.arrived).is_none() => {
            Some(Code::ProviderDisabled)
        }
        Some(now) if session::is_fresh(&now.session, tx.now) => None,
        Some(_) => Some(Code::LinkStaleAuth),
        None => Some(Code::SessionChanged),
    };
    let (Some(current), None) = (&now, refusal) else {
        drop(tx);
        return refused(
            app,
            visit,
            &refusal.unwrap_or(Code::SessionChanged).into(),
            link,
        )
        .await;
    };
    if let Some(flow) = flow
        && !flow::settle_link(&tx, flow.id).await?
    {
        drop(tx);
        return Err(pending_link::refused(app, visit).await?);
    }
    if connect(&tx, &current.user, &link.arrived, &visit.caller)
        .await?
        .is_none()
    {
        // Committed: a link that was answered is settled.
        tx.commit().await?;
        return refused(app, visit, &Code::LinkTaken.into(), link).await;
    }
    let Some(sid) = session::rotate(&tx, current.session.id).await? else {
        return Err(Trouble::Stale);
    };
    told(
        &tx,
        current,
        &visit.tongue.tag,
        &link.arrived.provider,
        LetterKind::ProviderConnected,
    )
    .await?;
    tx.commit().await?;
    app.outbox.notify_one();
    Ok(visit.answer_rotated(answer, &sid, current.session.remembered))
}

/// Tells the owner by mail what happened to their account (LK-07).
///
/// # Errors
/// The database's own.
pub async fn told(
    tx: &Tx,
    current: &Current,
    locale: &str,
    provider: &str,
    kind: LetterKind,
) -> Result<(), Trouble> {
    let Some(address) = user::address_of(tx.conn(), current.user.id).await? else {
        return Ok(());
    };
    Ok(tell(
        tx,
        kind,
        &address.canonical,
        locale,
        Some(provider.to_owned()),
    )
    .await?)
}

async fn refused(
    app: &App,
    visit: &Visit,
    refusal: &Refused,
    link: &PendingLink,
) -> Result<Response, Trouble> {
    // Who came to sign in has, perhaps, a client's request that waits; who came to connect something has their account.
    let next = if link.wants == Wants::Switch {
        Next::SignIn(link.txn.as_deref())
    } else {
        Next::Account
    };
    let place = Place {
        provider: &link.arrived.provider,
        next,
    };
    refuse(app, visit, refusal, &place).await
}
