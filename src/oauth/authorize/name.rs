//! `/login/name`: a user who has no name gives one, once, because the client needs it
//! (`require_name`, OC-6). The name is the user's from then on, for every client.

use askama::Template;
use poem::{Body, Request, Response, handler, web::Data};

use super::{
    consent::{form_context, read_handle},
    next::{NextStep, next_step},
    request::AuthorizationRequest,
    step,
};
use crate::{
    app::App,
    audit::{Event, Kind},
    login::{
        client_home::with_client,
        context::{RequestContext, see_other},
        form::PostedForm,
        lookup::follow_sign_in,
        page::ContinuePage,
        page_error::{self, PageError},
        pending::{PendingRequest, RESUME_PATH},
        resume::lead_on_without_request,
    },
    secret::Plain,
    session::CurrentSession,
    user::{self, NameError},
    web::{
        filters,
        locale::Localizer,
        page::{PageContent, render_page},
        params::Params,
    },
};

/// The name of the form.
const FORM: &str = "name";

/// A request whose user has to give a name.
struct NameQuestion<'a> {
    handle: &'a Plain,
    request: AuthorizationRequest<'a>,
    current: &'a CurrentSession,
}

/// `GET /login/name`.
#[handler]
pub(crate) async fn show(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let handle = read_handle(&Params::from_query(request)?)?;
        let pending = match step::find_pending(app, &context, &handle).await {
            Err(PageError::SignInExpired) => return lead_on_without_request(&context, request),
            pending => pending?,
        };
        context.follow(app, &pending);
        match find_question(app, &context, &handle, &pending).await? {
            Some(question) => Ok(render(app, &context, &question, "", None)),
            None => Ok(see_other(&resume_path(&handle, &pending))),
        }
    })
    .await
}

/// `POST /login/name`.
#[handler]
pub(crate) async fn submit(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["txn", "name", "form_token"])?;
        follow_sign_in(app, &mut context, &params).await;
        let handle = read_handle(&params)?;
        let current = context.current.as_ref().ok_or(PageError::InvalidForm)?;
        let form = PostedForm {
            params: &params,
            name: FORM,
            context: &form_context(&handle.to_text(), current),
            allow_null_origin: false,
        };
        context.check_form(app, request, &form)?;
        let pending = match step::find_pending(app, &context, &handle).await {
            Err(PageError::SignInExpired) => return lead_on_without_request(&context, request),
            pending => pending?,
        };
        let resume = resume_path(&handle, &pending);
        if let Some(question) = find_question(app, &context, &handle, &pending).await? {
            let entered = params.optional("name")?.unwrap_or_default();
            match user::parse_name(entered) {
                Ok(name) => save(app, &context, question.current, &name).await?,
                Err(error) => return Ok(render(app, &context, &question, entered, Some(error))),
            }
        }
        let page = ContinuePage {
            localizer: &context.localizer,
            href: &resume,
        };
        let site = context.page_options_for_client(Some(&pending.client_id));
        Ok(render_page(&page, site))
    })
    .await
}

fn resume_path(handle: &Plain, pending: &PendingRequest) -> String {
    let path = format!("{RESUME_PATH}?txn={}", handle.to_text());
    with_client(&path, Some(&pending.client_id))
}

/// Returns the question if the request waits for nothing but a name. Otherwise the request continues
/// where its next step is decided anew.
async fn find_question<'a>(
    app: &App,
    context: &'a RequestContext,
    handle: &'a Plain,
    pending: &PendingRequest,
) -> Result<Option<NameQuestion<'a>>, PageError> {
    let request = step::restore(pending, context)?;
    let current = context.current.as_ref();
    let has_consent = step::has_consent(app, context, &request).await?;
    let next = next_step(&request, current, has_consent, app.clock().now());
    let (NextStep::AskName, Some(current)) = (next, current) else {
        return Ok(None);
    };
    Ok(Some(NameQuestion {
        handle,
        request,
        current,
    }))
}

async fn save(
    app: &App,
    context: &RequestContext,
    current: &CurrentSession,
    name: &str,
) -> Result<(), PageError> {
    let tx = app.db.begin().await?;
    user::set_name(&tx, current.user.id, Some(name)).await?;
    Event::new(Kind::UserNameSet)
        .user(current.user.id)
        .session(current.session.id)
        .caller(&context.caller.network, &context.caller.request_id)
        .record(&tx)
        .await?;
    Ok(tx.commit().await?)
}

fn render(
    app: &App,
    context: &RequestContext,
    question: &NameQuestion<'_>,
    entered: &str,
    error: Option<NameError>,
) -> Response {
    let client = &question.request.client;
    let txn = question.handle.to_text();
    let page = NamePage {
        localizer: &context.localizer,
        client: &client.name,
        entered,
        error: error.map(|error| error_text(&context.localizer, error)),
        txn: &txn,
        client_query: &with_client("", Some(&client.client_id)),
        form_token: &context.form_token(app, FORM, &form_context(&txn, question.current)),
        form_token_cancel: &context.form_token(app, "cancel", &txn),
    };
    let site = context.page_options_for_client(Some(&client.client_id));
    context.with_pre_login_cookie(render_page(&page, site))
}

fn error_text(localizer: &Localizer, error: NameError) -> String {
    match error {
        NameError::Empty => localizer.text("name-error-empty"),
        NameError::Invisible => localizer.text("name-error-invisible"),
        NameError::Character => localizer.text("name-error-character"),
        NameError::TooLong => {
            localizer.text_with("name-error-long", &[("most", user::MAX_NAME.to_string())])
        }
    }
}

/// Asks for a name.
#[derive(Template)]
#[template(path = "oauth/authorize/name.html", config = ".askama.toml")]
struct NamePage<'a> {
    localizer: &'a Localizer,
    /// The name of the client.
    client: &'a str,
    entered: &'a str,
    error: Option<String>,
    /// The handle of the pending request.
    txn: &'a str,
    /// The query that names the client to the endpoints of the forms.
    client_query: &'a str,
    form_token: &'a str,
    form_token_cancel: &'a str,
}

impl NamePage<'_> {
    fn client_text(&self, key: &str) -> String {
        self.localizer
            .html(key, &[("client", self.client.to_owned())])
    }
}

impl PageContent for NamePage<'_> {
    fn localizer(&self) -> &Localizer {
        self.localizer
    }
    fn title(&self) -> String {
        self.localizer.text("name-title")
    }
    fn status(&self) -> poem::http::StatusCode {
        match self.error {
            Some(_) => poem::http::StatusCode::UNPROCESSABLE_ENTITY,
            None => poem::http::StatusCode::OK,
        }
    }
}
