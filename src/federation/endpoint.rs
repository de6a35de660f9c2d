//! The endpoints of browsers: each parses a request, runs a step, and hands the value that the step
//! returns to [`respond`].

use poem::{
    Body, Request, Response, handler,
    http::{HeaderValue, Method, StatusCode, header},
    web::{Data, Path},
};
use uuid::Uuid;

use super::{
    app as app_flow,
    error::{FederationError, RefusalCode},
    flow::{
        self,
        callback::{self, CallbackParams},
        start::StartForm,
        state::{self, Intent, UpstreamFlow},
    },
    linking::{
        confirm::{self, CONFIRM_FORM},
        disconnect, pending,
        settle::UpstreamLogin,
    },
    provider::Providers,
    respond::respond,
    step::{ReturnTo, Step, StepError},
};
use crate::{
    app::App,
    config::providers::ResponseMode,
    login::{
        PageError, RequestContext,
        first_party::TokenIssuer,
        form::PostedForm,
        page_error,
        provider_buttons::{SIGN_IN_FORM, connect_form, disconnect_form, sign_in_form_context},
    },
    web::params::Params,
};

/// `POST /login/upstream/{provider}`: a provider's button (UP-05).
#[handler]
pub(crate) async fn start(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["txn", "intent", "email", "form_token"])?;
        let form = StartForm {
            provider: &id,
            intent: check_start_form(app, request, &context, &params, &id)?,
            email: params.optional_within("email", 1016)?,
        };
        let step = flow::start::start(app, providers, &context, &form).await;
        respond(app, &context, step).await
    })
    .await
}

/// CF-01, CF-02: whether the form is ours, and what it is for.
fn check_start_form(
    app: &App,
    request: &Request,
    context: &RequestContext,
    params: &Params,
    id: &str,
) -> Result<Intent, PageError> {
    match params.optional("intent")? {
        Some("link") => {
            context.check_session_form(app, request, params, &connect_form(id))?;
            Ok(Intent::Link)
        }
        Some(_) => Err(PageError::InvalidForm),
        None => {
            let txn = params.optional_within("txn", 43)?;
            let form = PostedForm {
                params,
                name: SIGN_IN_FORM,
                context: &sign_in_form_context(id, txn),
                allow_null_origin: false,
            };
            context.check_form(app, request, &form)?;
            Ok(Intent::Login {
                txn: txn.map(str::to_owned),
            })
        }
    }
}

/// `GET /upstream/{provider}/callback`: a response in the query.
#[handler]
pub(crate) async fn callback_get(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
) -> Response {
    let response = page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let callback = Callback::new(app, providers, &context, &id);
        let step = match callback.query_params(request) {
            Ok(params) => callback.complete(&params).await,
            Err(error) => Err(callback.refused_before_flow(error)),
        };
        respond(app, &context, step).await
    })
    .await;
    with_allow(response, request.method())
}

/// `POST /upstream/{provider}/callback`: a response that the provider's own site posts (CB-03).
#[handler]
pub(crate) async fn callback_post(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    let response = page_error::respond(app, request, async {
        let context = RequestContext::without_cookies(app, request);
        let callback = Callback::new(app, providers, &context, &id);
        let step = match callback.posted_params(request, body).await {
            Ok(params) => callback.store(&params).await,
            Err(error) => Err(callback.refused_before_flow(error)),
        };
        respond(app, &context, step).await
    })
    .await;
    with_allow(response, request.method())
}

/// `GET /upstream/{provider}/callback/resume`: our own GET after such a POST, with the cookies.
#[handler]
pub(crate) async fn callback_resume(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
) -> Response {
    let response = page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let callback = Callback::new(app, providers, &context, &id);
        let step = match callback.resumed_params(request).await {
            Ok(params) => callback.complete(&params).await,
            Err(error) => Err(callback.refused_before_flow(error)),
        };
        respond(app, &context, step).await
    })
    .await;
    with_allow(response, request.method())
}

/// RFC 9110 §15.5.6: a 405 names the methods by which other providers respond.
fn with_allow(mut response: Response, method: &Method) -> Response {
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = match *method {
            Method::HEAD => "GET, POST",
            Method::GET => "POST",
            _ => "GET",
        };
        let allow = HeaderValue::from_static(allow);
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// A request to the callback of a provider.
struct Callback<'a> {
    app: &'a App,
    providers: &'a Providers,
    context: &'a RequestContext,
    provider: &'a str,
}

impl<'a> Callback<'a> {
    const fn new(
        app: &'a App,
        providers: &'a Providers,
        context: &'a RequestContext,
        provider: &'a str,
    ) -> Self {
        Self {
            app,
            providers,
            context,
            provider,
        }
    }

    fn query_params(&self, request: &Request) -> Result<CallbackParams, FederationError> {
        self.check_method(request.method(), ResponseMode::Query)?;
        let malformed = |detail| FederationError::new(RefusalCode::StateMalformed, detail);
        let query = request.uri().query().unwrap_or_default();
        if query.len() > callback::MAX_RESPONSE {
            return Err(malformed("the query is too long"));
        }
        let params = Params::from_query(request).map_err(|_| malformed("the query"))?;
        CallbackParams::parse(&params)
    }

    async fn posted_params(
        &self,
        request: &Request,
        body: Body,
    ) -> Result<CallbackParams, FederationError> {
        self.check_method(request.method(), ResponseMode::FormPost)?;
        let params = Params::read_form(request, body).await.map_err(|error| {
            FederationError::new(RefusalCode::StateMalformed, error.to_string())
        })?;
        CallbackParams::parse(&params)
    }

    async fn resumed_params(&self, request: &Request) -> Result<CallbackParams, FederationError> {
        self.check_method(&Method::POST, ResponseMode::FormPost)?;
        let params = Params::from_query(request).unwrap_or_default();
        let handle = params.optional_within("h", 43).unwrap_or_default();
        callback::claim_posted(&self.app.tickets, handle).await
    }

    fn check_method(&self, method: &Method, mode: ResponseMode) -> Result<(), FederationError> {
        callback::check_method(self.providers, self.provider, method, mode)
    }

    /// CB-04 to CB-10: claims the flow, identifies the user and completes the flow. A claimed flow
    /// is spent, whatever follows.
    async fn complete(&self, params: &CallbackParams) -> Result<Step, StepError> {
        let flow = state::claim(&self.app.tickets, &params.state)
            .await
            .map_err(|error| self.refused_before_flow(error))?;
        let login = self
            .identify(&flow, params)
            .await
            .map_err(|error| self.refused(&flow, error))?;
        match &flow.intent {
            Intent::App(request) => {
                app_flow::complete::complete(self.app, self.context, request, &login).await
            }
            Intent::Login { .. } | Intent::Link => {
                flow::complete::complete(self.app, self.context, &flow, &login).await
            }
        }
    }

    async fn identify(
        &self,
        flow: &UpstreamFlow,
        params: &CallbackParams,
    ) -> Result<UpstreamLogin, FederationError> {
        flow.check(self.provider, self.context, self.app.clock().now())?;
        let response = params.response();
        let identity = self.providers.identify(&flow.record, &response).await?;
        Ok(UpstreamLogin::new(identity))
    }

    /// Stores a posted response and leads the browser to our own GET.
    async fn store(&self, params: &CallbackParams) -> Result<Step, StepError> {
        let tickets = &self.app.tickets;
        state::check_pending(tickets, &params.state)
            .await
            .map_err(|error| self.refused_before_flow(error))?;
        if let Some(wait) = callback::posting_wait(self.app, self.context, &params.state).await {
            return Err(PageError::TooManyRequests(wait).into());
        }
        let handle = callback::store_posted(tickets, params)
            .await
            .map_err(|error| self.refused_before_flow(error))?;
        let (id, handle) = (self.provider, handle.to_text());
        Ok(Step::Redirect {
            path: format!("/upstream/{id}/callback/resume?h={handle}"),
        })
    }

    fn refused_before_flow(&self, error: FederationError) -> StepError {
        StepError::refused(error, self.provider, ReturnTo::SignIn { txn: None })
    }

    /// Another browser, or the path of another provider, learns nothing of the flow.
    fn refused(&self, flow: &UpstreamFlow, error: FederationError) -> StepError {
        if error.code == RefusalCode::BrowserMismatch || flow.record.provider != self.provider {
            return self.refused_before_flow(error);
        }
        let return_to = match &flow.intent {
            Intent::App(request) => {
                let config = &self.context.config;
                app_flow::code::return_to(config, request, &self.app.public_url, error.code)
            }
            intent => intent.return_to(),
        };
        StepError::refused(error, self.provider, return_to)
    }
}

/// `GET /login/app`: an app's request continues after the user has verified an address.
#[handler]
pub(crate) async fn app_resume(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let step = app_flow::complete::resume(app, &context, params.required("txn", 43)?).await;
        respond(app, &context, step).await
    })
    .await
}

/// `GET /login/identity`: the question about a pending link.
#[handler]
pub(crate) async fn link_question(Data(app): Data<&App>, request: &Request) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::from_query(request)?;
        let (handle, flow) = (
            params.optional_within("link", 43)?,
            params.optional_within("flow", 36)?,
        );
        let step = match pending::find(app, &context, handle, flow).await {
            Ok(source) => confirm::question(app, &context, &source).await,
            Err(error) => Err(error),
        };
        respond(app, &context, step).await
    })
    .await
}

/// `POST /login/identity`: the user's answer.
#[handler]
pub(crate) async fn link_decision(
    Data(app): Data<&App>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        params.check_all(&["link", "flow", "decision", "form_token"])?;
        let (handle, flow) = (
            params.optional_within("link", 43)?,
            params.optional_within("flow", 36)?,
        );
        let form = PostedForm {
            params: &params,
            name: CONFIRM_FORM,
            context: handle.or(flow).unwrap_or_default(),
            allow_null_origin: false,
        };
        context.check_form(app, request, &form)?;
        let agreed = match params.optional("decision")? {
            Some("yes") => true,
            Some("no") => false,
            _ => {
                return Err(PageError::InvalidParameter {
                    name: "decision".to_owned(),
                    status: StatusCode::BAD_REQUEST,
                });
            }
        };
        let step = match pending::find(app, &context, handle, flow).await {
            Ok(source) => confirm::decide(app, &context, &source, agreed).await,
            Err(error) => Err(error),
        };
        respond(app, &context, step).await
    })
    .await
}

/// `POST /account/identities/{id}/disconnect`.
#[handler]
pub(crate) async fn disconnect_identity(
    Data(app): Data<&App>,
    Data(tokens): Data<&TokenIssuer>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    page_error::respond(app, request, async {
        let id = Uuid::try_parse(&id).map_err(|_| PageError::NotFound)?;
        let context = RequestContext::load(app, request, "").await?;
        let params = Params::read_form(request, body).await?;
        let current = context.check_session_form(app, request, &params, &disconnect_form(id))?;
        let step = disconnect::disconnect(app, tokens, &context, current, id).await;
        respond(app, &context, step).await
    })
    .await
}
