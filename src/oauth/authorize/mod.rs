//! The authorization endpoint (RFC 6749 §4.1.1, OIDC Core §3.1.2): `GET`, `POST /oauth2/authorize`, and where a request
//! is taken up again after a sign-in.

pub mod next;
pub mod request;
pub mod respond;

use poem::{Body, Request, Response, handler, web::Data};

use self::{
    next::{Next, next},
    request::{AuthorizeRequest, Rejected},
};
use crate::{
    app::App,
    login::{
        pending::{self, Pending},
        trouble::{self, Trouble},
        visit::{Visit, see_other},
    },
    secret::Plain,
    web::{error::Failure, params::Params},
};

/// The longest request that we take in a URL.
const MAX_QUERY: usize = 8192;

/// `GET /oauth2/authorize`.
#[handler]
pub async fn authorize(Data(app): Data<&App>, request: &Request) -> Response {
    trouble::page(app, request, async {
        let visit = Visit::of(app, request, "").await?;
        let params = Params::from_query(request)?;
        match AuthorizeRequest::parse(&params, &visit.config, app.clock().now()) {
            Ok(asked) => proceed(app, &visit, asked).await,
            Err(Rejected::Page(parameter)) => Err(Trouble::Request(parameter)),
            Err(Rejected::Redirect(back, error)) => Ok(respond::error(app, &back, error)),
        }
    })
    .await
}

/// `POST /oauth2/authorize`: a cross-site POST brings no Lax cookie, so it goes on as our own GET (AZ-1).
#[handler]
pub async fn authorize_post(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    trouble::page(app, request, async {
        let params = Params::read_form(request, body).await?;
        let query = params.to_query();
        if query.len() > MAX_QUERY {
            return Err(Trouble::Request("the request is too long"));
        }
        Ok(see_other(&format!("/oauth2/authorize?{query}")))
    })
    .await
}

/// `GET /oauth2/authorize/resume`: the person has signed in; the request that waited goes on, once.
#[handler]
pub async fn resume(Data(app): Data<&App>, request: &Request) -> Response {
    trouble::page(app, request, async {
        let visit = Visit::of(app, request, "").await?;
        let params = Params::from_query(request)?;
        let handle = Plain::parse(params.needed("txn", 43)?).ok_or(Trouble::Expired)?;
        let taken = pending::take(&app.tickets, &handle, visit.asker()).await?;
        let pending = taken.ok_or(Trouble::Expired)?;
        let stored = serde_json::from_str(&pending.request).map_err(Failure::internal)?;
        // The configuration may have changed since: what is no longer registered is no longer answered.
        let asked = AuthorizeRequest::restore(stored, &visit.config).ok_or(Trouble::Request("redirect_uri"))?;
        proceed(app, &visit, asked).await
    })
    .await
}

async fn proceed(app: &App, visit: &Visit, asked: AuthorizeRequest<'_>) -> Result<Response, Trouble> {
    let now = app.clock().now();
    match next(&asked, visit.current.as_ref(), now) {
        Next::Code(current) => Ok(visit.answer(respond::code(app, visit, &asked, current).await?)),
        Next::Refuse(error) => Ok(visit.answer(respond::error(app, &asked.redirect, error))),
        Next::SignIn { fresh } => {
            let pending = Pending {
                client_id: asked.client.client_id.clone(),
                client_name: asked.client.name.clone(),
                fresh,
                login_hint: asked.stored.login_hint.clone(),
                ui_locales: asked.stored.ui_locales.clone(),
                request: serde_json::to_string(&asked.stored).map_err(Failure::internal)?,
            };
            let handle = pending::park(&app.tickets, visit.pre.hash(), visit.session_id(), &pending).await?;
            Ok(visit.answer(see_other(&format!("/login?txn={}", handle.to_text()))))
        }
    }
}
