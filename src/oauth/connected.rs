//! `/account/access`: which applications reach somebody's account, and how to end that (RF-9).
//!
//! An application is there if the person has allowed it something, or if something that it was given still counts.
//! Removing it forgets the one and ends the other, in one unit of work: no refresh and no userinfo works any more, and no code
//! on its way of a client that needs consent. A first-party client needs none: a code that it has just got still gives tokens
//! within its minute, as a new sign-in there would. Access tokens that are out run out by themselves.

use std::collections::BTreeMap;

use askama::Template;
use poem::{Body, Request, Response, handler, web::Data};

use super::{
    claims_request::wanted,
    consent_store::{self, Consent},
    grant_store::{self, Grant},
    scope,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    client,
    clock::Time,
    login::{
        context::{RequestContext, see_other},
        page_error::{self, PageError},
    },
    session::{self, CurrentSession},
    web::{
        page::{PageContent, render_page},
        params::Params,
        text::Localizer,
    },
};

/// Where it is.
pub const PATH: &str = "/account/access";

/// `GET /account/access`.
#[derive(Template)]
#[template(path = "oauth/connected.html", config = ".askama.toml")]
pub struct Connected<'a> {
    /// Its language.
    pub localizer: &'a Localizer,
    /// The applications, by name.
    pub rows: &'a [Row],
}

/// One application in the list.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its identifier.
    pub client_id: String,
    /// What people call it.
    pub name: String,
    /// What it may do: scopes that people have words for.
    pub scopes: Vec<&'static str>,
    /// Since when, spelled out.
    pub since: String,
    /// When it last came for tokens or was allowed something, spelled out.
    pub used: String,
    /// Form token of its `remove-access` form.
    pub form_token: String,
}

impl Connected<'_> {
    fn scopes(&self, row: &Row) -> String {
        let words = row
            .scopes
            .iter()
            .map(|scope| self.localizer.text(&format!("consent-scope-{scope}")));
        words.collect::<Vec<_>>().join(" · ")
    }

    fn when(&self, row: &Row) -> String {
        self.localizer.text_with(
            "access-when",
            &[("since", row.since.clone()), ("used", row.used.clone())],
        )
    }

    fn remove_label(&self, row: &Row) -> String {
        self.localizer
            .text_with("access-remove-label", &[("client", row.name.clone())])
    }
}

impl PageContent for Connected<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("access-title")
    }
    fn is_wide(&self) -> bool {
        true
    }
}

/// The list.
#[handler]
pub(crate) async fn connected(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let Some(current) = &context.current else {
            return Ok(see_other("/login"));
        };
        let rows = rows(app, &context, current).await?;
        Ok(render_page(
            &Connected {
                localizer: &context.localizer,
                rows: &rows,
            },
            context.page_options,
        ))
    })
    .await
}

/// What is known of one application.
#[derive(Debug)]
struct Reach {
    scopes: String,
    since: Time,
    used: Time,
}

impl Reach {
    fn of_consent(consent: &Consent) -> Self {
        Self {
            scopes: consent.scope.clone(),
            since: consent.created_at,
            used: consent.updated_at,
        }
    }

    fn of_grant(grant: &Grant) -> Self {
        let scopes = wanted(&grant.scope, &grant.claims);
        Self {
            scopes,
            since: grant.created_at,
            used: grant.rotated_at.unwrap_or(grant.created_at),
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            scopes: format!("{} {}", self.scopes, other.scopes),
            since: self.since.min(other.since),
            used: self.used.max(other.used),
        }
    }
}

async fn rows(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
) -> Result<Vec<Row>, PageError> {
    let (db, now, user) = (app.db.read(), app.clock().now(), &current.user);
    let sessions = session::list_live(db, user, now, &context.config.session).await?;
    let sessions: Vec<_> = sessions.into_iter().map(|session| session.id).collect();
    let consents = consent_store::list(db, user).await?;
    let grants = grant_store::list(db, user, &sessions, now).await?;
    let consents = consents
        .iter()
        .map(|consent| (&consent.client_id, Reach::of_consent(consent)));
    let grants = grants
        .iter()
        .map(|grant| (&grant.client_id, Reach::of_grant(grant)));
    let mut clients: BTreeMap<&String, Reach> = BTreeMap::new();
    for (client, reach) in consents.chain(grants) {
        let reach = match clients.remove(client) {
            Some(known) => known.with(reach),
            None => reach,
        };
        clients.insert(client, reach);
    }
    let mut rows: Vec<Row> = clients
        .into_iter()
        .map(|(client, reach)| row(app, context, client, &reach))
        .collect();
    rows.sort_by(|a, b| (&a.name, &a.client_id).cmp(&(&b.name, &b.client_id)));
    Ok(rows)
}

fn row(app: &App, context: &RequestContext, client_id: &str, reach: &Reach) -> Row {
    let client = client::find(&context.config, client_id);
    Row {
        client_id: client_id.to_owned(),
        // One that is registered no longer is still told, and can be removed.
        name: client
            .map_or(client_id, |client| client.name.as_str())
            .to_owned(),
        scopes: scope::SUPPORTED
            .into_iter()
            .filter(|name| scope::has(&reach.scopes, name))
            .collect(),
        since: context.localizer.date_time(reach.since),
        used: context.localizer.date_time(reach.used),
        form_token: context.session_form_token(app, &form(client_id)),
    }
}

/// The name of the form that removes one application: its token is good for no other.
fn form(client_id: &str) -> String {
    format!("remove-access {client_id}")
}

/// `POST /account/access/remove`.
#[handler]
pub(crate) async fn remove(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["client_id", "form_token"])?;
        let client_id = params.required("client_id", 255)?;
        let current = context.check_session_form(app, request, &params, &form(client_id))?;
        end(app, &context, current, client_id).await?;
        Ok(see_other(PATH))
    })
    .await
}

/// The consent goes first: whoever redeems a code meanwhile holds its row, and then the grant is there to be ended.
async fn end(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    client_id: &str,
) -> Result<(), PageError> {
    let tx = app.db.begin().await?;
    let user = current.user.id;
    let withdrawn = consent_store::withdraw(&tx, user, client_id).await?;
    let ended = grant_store::revoke_all(&tx, user, client_id).await?;
    if withdrawn || ended > 0 {
        Event::new(Kind::AccessWithdrawn)
            .user(user)
            .session(current.session.id)
            .client(Some(client_id))
            .caller(&context.caller.network, &context.caller.request_id)
            .record(&tx)
            .await?;
    }
    Ok(tx.commit().await?)
}
