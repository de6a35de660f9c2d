//! `/account/access`: the applications that have access to the user's account, and how to remove
//! that access (RF-9).
//!
//! An application is listed if the user has allowed it something or if one of its grants is live.
//! Removing it withdraws the consent and ends the grants in one transaction: no refresh and no
//! userinfo request works any more, and neither does a pending code of a client that needs consent.
//! A first-party client needs none: a code that it has just received still gives tokens within its
//! minute, as a new sign-in there would. Issued access tokens end when they expire.

use std::collections::BTreeMap;

use askama::Template;
use poem::{Body, Request, Response, handler, web::Data};

use super::{
    consent_store::{self, Consent},
    grant_store::{self, Grant},
    scope,
    scope_words::{ResourceWords, ScopeWords},
    user_claims::consent_scopes,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    client,
    clock::Time,
    error::InfraError,
    login::{
        context::{RequestContext, see_other},
        done::Done,
        page_error,
    },
    session::{self, CurrentSession},
    web::{
        filters,
        locale::Localizer,
        page::{PageContent, render_page},
        params::Params,
    },
};

const PATH: &str = "/account/access";

/// `GET /account/access`.
#[handler]
pub(crate) async fn connected(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let Some(current) = &context.current else {
            return Ok(see_other("/login"));
        };
        let done = Done::of_page(PATH, app, &context);
        let page = ConnectedPage {
            localizer: &context.localizer,
            notice: done.map(|done| done.text(&context.localizer)),
            rows: &load_rows(app, &context, current).await?,
        };
        Ok(context.without_done(render_page(&page, &context.page_options)))
    })
    .await
}

/// What one application may do, and since when.
#[derive(Debug)]
struct Access {
    scopes: String,
    since: Time,
    last_used: Time,
}

impl Access {
    fn from_consent(consent: &Consent) -> Self {
        Self {
            scopes: consent.scope.clone(),
            since: consent.created_at,
            last_used: consent.updated_at,
        }
    }

    fn from_grant(grant: &Grant) -> Self {
        Self {
            scopes: consent_scopes(&grant.scope, &grant.claims),
            since: grant.created_at,
            last_used: grant.rotated_at.unwrap_or(grant.created_at),
        }
    }

    fn merge(self, other: Self) -> Self {
        Self {
            scopes: format!("{} {}", self.scopes, other.scopes),
            since: self.since.min(other.since),
            last_used: self.last_used.max(other.last_used),
        }
    }
}

async fn load_rows(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
) -> Result<Vec<Row>, InfraError> {
    let (db, now, user) = (app.db.read(), app.clock().now(), &current.user);
    let sessions = session::list_live(db, user, now, &context.config.session).await?;
    let sessions: Vec<_> = sessions.into_iter().map(|session| session.id).collect();
    let consents = consent_store::list(db, user).await?;
    let grants = grant_store::list_live(db, user, &sessions, now).await?;
    let from_consents = consents
        .iter()
        .map(|consent| (&consent.client_id, Access::from_consent(consent)));
    let from_grants = grants
        .iter()
        .map(|grant| (&grant.client_id, Access::from_grant(grant)));
    let mut clients: BTreeMap<&String, Access> = BTreeMap::new();
    for (client_id, access) in from_consents.chain(from_grants) {
        let access = match clients.remove(client_id) {
            Some(known) => known.merge(access),
            None => access,
        };
        clients.insert(client_id, access);
    }
    let mut rows: Vec<Row> = clients
        .into_iter()
        .map(|(client_id, access)| row(app, context, client_id, &access))
        .collect();
    rows.sort_by(|a, b| (&a.name, &a.client_id).cmp(&(&b.name, &b.client_id)));
    Ok(rows)
}

fn row(app: &App, context: &RequestContext, client_id: &str, access: &Access) -> Row {
    let (config, localizer) = (&context.config, &context.localizer);
    let client = client::find(config, client_id);
    let about_user = scope::SUPPORTED.into_iter();
    let about_user = about_user.filter(|name| scope::has(&access.scopes, name));
    let names = access.scopes.split_ascii_whitespace();
    let of_resources = names.filter(|name| config.resources.of_scope(name).is_some());
    let shown = scope::without_repetitions(about_user.chain(of_resources));
    Row {
        client_id: client_id.to_owned(),
        // A client that is registered no longer is still listed, and can be removed.
        name: client
            .map_or(client_id, |client| client.name.as_str())
            .to_owned(),
        words: ScopeWords::load(config, localizer, shown.into_iter()),
        since: localizer.date_time(access.since),
        used: localizer.date_time(access.last_used),
        form_token: context.session_form_token(app, &form_name(client_id)),
    }
}

/// The name of the form that removes one application; its token is valid for no other.
fn form_name(client_id: &str) -> String {
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
        let form = form_name(client_id);
        let current = context.check_session_form(app, request, &params, &form)?;
        remove_access(app, &context, current, client_id).await?;
        Ok(Done::AccessRemoved.redirect(app, &context))
    })
    .await
}

/// Withdraws the consent first: an exchange that redeems a code meanwhile has locked its row, and
/// then the new grant is there to be ended.
async fn remove_access(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    client_id: &str,
) -> Result<(), InfraError> {
    let tx = app.db.begin().await?;
    let user = current.user.id;
    let is_withdrawn = consent_store::withdraw(&tx, user, client_id).await?;
    let revoked = grant_store::revoke_all(&tx, user, client_id).await?;
    if is_withdrawn || revoked > 0 {
        Event::new(Kind::AccessWithdrawn)
            .user(user)
            .session(current.session.id)
            .client(Some(client_id))
            .caller(&context.caller.network, &context.caller.request_id)
            .record(&tx)
            .await?;
    }
    tx.commit().await
}

/// Lists the applications by name.
#[derive(Template)]
#[template(path = "oauth/connected.html", config = ".askama.toml")]
pub(crate) struct ConnectedPage<'a> {
    pub(crate) localizer: &'a Localizer,
    /// What was done a moment ago.
    pub(crate) notice: Option<String>,
    pub(crate) rows: &'a [Row],
}

/// One application in the list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) client_id: String,
    pub(crate) name: String,
    /// The scopes about the user, and those of APIs of `[[resources]]`.
    pub(crate) words: ScopeWords,
    /// A date in the user's language.
    pub(crate) since: String,
    /// A date in the user's language.
    pub(crate) used: String,
    pub(crate) form_token: String,
}

fn join(words: &[String]) -> String {
    words.join(" · ")
}

impl ConnectedPage<'_> {
    fn general(&self, row: &Row) -> String {
        join(&row.words.general)
    }

    fn resource(&self, resource: &ResourceWords) -> String {
        let arguments = [
            ("resource", resource.name.clone()),
            ("scopes", join(&resource.scopes)),
        ];
        self.localizer.text_with("access-resource", &arguments)
    }

    fn when(&self, row: &Row) -> String {
        let arguments = [("since", row.since.clone()), ("used", row.used.clone())];
        self.localizer.text_with("access-when", &arguments)
    }

    fn remove_label(&self, row: &Row) -> String {
        self.localizer
            .text_with("access-remove-label", &[("client", row.name.clone())])
    }
}

impl PageContent for ConnectedPage<'_> {
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
