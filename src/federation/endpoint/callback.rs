//! `/upstream/{provider}/callback`: a browser returns from a provider (CB-01 to CB-10).

use poem::{
    Body, Request, Response, handler,
    http::{HeaderValue, Method, StatusCode, header},
    web::{Data, Path},
};

use crate::{
    app::App,
    config::providers::ResponseMode,
    federation::{
        app as app_flow,
        error::{FederationError, RefusalCode},
        flow::{
            callback::{self, CallbackParams},
            provider_post::{self, ProviderPost},
            state::{self, Intent, Unclaimed, UpstreamFlow},
        },
        linking::{
            pending::wait,
            settle::{LinkContext, LinkOutcome, UpstreamLogin, settle},
        },
        provider::Providers,
        respond::respond,
        step::{Continuation, ReturnTo, Step, StepError},
    },
    login::{
        PageError, RequestContext, client_home::with_client, lookup::find_pending, page_error,
        pending_link::PendingLink,
    },
    web::params::Params,
};

/// `GET /upstream/{provider}/callback`: a response in the query.
#[handler]
pub(crate) async fn get(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
) -> Response {
    let response = page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let mut callback = Callback::new(app, providers, &mut context, &id);
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
pub(crate) async fn post(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
    body: Body,
) -> Response {
    let response = page_error::respond(app, request, async {
        let mut context = RequestContext::without_cookies(app, request);
        let callback = Callback::new(app, providers, &mut context, &id);
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
pub(crate) async fn resume(
    Data(app): Data<&App>,
    Data(providers): Data<&Providers>,
    Path(id): Path<String>,
    request: &Request,
) -> Response {
    let response = page_error::respond(app, request, async {
        let mut context = RequestContext::load(app, request, "").await?;
        let mut callback = Callback::new(app, providers, &mut context, &id);
        let step = match callback.resumed(request).await {
            Ok(ProviderPost::First(params)) => callback.complete(&params).await,
            Ok(ProviderPost::Again { state }) => Err(callback.repeated(&state).await),
            Err(error) => Err(callback.refused_before_flow(error)),
        };
        respond(app, &context, step).await
    })
    .await;
    with_allow(response, request.method())
}

/// A request to the callback of a provider.
struct Callback<'a> {
    app: &'a App,
    providers: &'a Providers,
    context: &'a mut RequestContext,
    provider: &'a str,
}

impl<'a> Callback<'a> {
    fn new(
        app: &'a App,
        providers: &'a Providers,
        context: &'a mut RequestContext,
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

    async fn resumed(&self, request: &Request) -> Result<ProviderPost, FederationError> {
        self.check_method(&Method::POST, ResponseMode::FormPost)?;
        let params = Params::from_query(request).unwrap_or_default();
        let handle = params.optional_within("h", 43).unwrap_or_default();
        provider_post::claim(&self.app.tickets, handle).await
    }

    /// CB-01: whether this provider responds by this method in this mode. A HEAD, which link previews
    /// send, spends nothing.
    fn check_method(&self, method: &Method, mode: ResponseMode) -> Result<(), FederationError> {
        match self.providers.uses_form_post(self.provider) {
            None => Err(RefusalCode::ProviderDisabled.into()),
            Some(form_post)
                if form_post == (mode == ResponseMode::FormPost) && *method != Method::HEAD =>
            {
                Ok(())
            }
            Some(_) => Err(FederationError::new(RefusalCode::Method, method.as_str())),
        }
    }

    /// CB-04 to CB-10: claims the flow, identifies the user and completes the flow. A claimed flow
    /// is spent, whatever follows.
    async fn complete(&mut self, params: &CallbackParams) -> Result<Step, StepError> {
        let flow = state::claim(&self.app.tickets, &params.state)
            .await
            .map_err(|unclaimed| self.unclaimed(unclaimed))?;
        if let Intent::Login { txn } = &flow.intent
            && let Ok(Some(pending)) = find_pending(self.app, self.context, txn.as_deref()).await
        {
            self.context.follow(self.app, &pending);
        }
        let login = self
            .identify(&flow, params)
            .await
            .map_err(|error| self.refused(&flow, error))?;
        let step = match &flow.intent {
            Intent::App(request) => {
                app_flow::complete::complete(self.app, self.context, request, &login).await
            }
            Intent::Login { .. } | Intent::Link => {
                complete_in_browser(self.app, self.context, &flow, &login).await
            }
        };
        step.map_err(|error| interrupted(error, &flow))
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

    /// Stores a provider's post and leads the browser to our own GET.
    async fn store(&self, params: &CallbackParams) -> Result<Step, StepError> {
        let tickets = &self.app.tickets;
        state::check_known(tickets, &params.state)
            .await
            .map_err(|error| self.refused_before_flow(error))?;
        if let Some(wait) =
            provider_post::wait_before_store(self.app, self.context, &params.state).await
        {
            return Err(PageError::TooManyRequests(wait).into());
        }
        let tickets = self.app.tickets.charged_to(self.context.payer());
        let handle = provider_post::store(&tickets, params)
            .await
            .map_err(|error| self.refused_before_flow(error))?;
        let (id, handle) = (self.provider, handle.to_text());
        Ok(Step::Redirect {
            path: format!("/upstream/{id}/callback/resume?h={handle}"),
        })
    }

    fn refused_before_flow(&self, error: FederationError) -> StepError {
        StepError::refused_without_flow(error, self.provider, ReturnTo::SIGN_IN)
    }

    /// A provider's post whose redirect comes again has no code, and leaves the flow to the first.
    async fn repeated(&self, state: &str) -> StepError {
        self.unclaimed(state::find_without_claim(&self.app.tickets, state).await)
    }

    /// A response that comes twice, by Back or a reload, leads its own browser to the client's
    /// request (OC-8).
    fn unclaimed(&self, unclaimed: Unclaimed) -> StepError {
        let return_to = match &unclaimed {
            Unclaimed::Used(Some(flow)) if self.may_learn_of(flow) => flow.return_to(),
            _ => ReturnTo::SIGN_IN,
        };
        StepError::refused_without_flow(unclaimed.into_error(), self.provider, return_to)
    }

    /// Another browser, or the path of another provider, learns nothing of the flow. A browser that
    /// has lost all its cookies gets the way to the client and no more: only a browser that began
    /// here, or its provider, knows the state (OC-8).
    fn refused(&self, flow: &UpstreamFlow, error: FederationError) -> StepError {
        let return_to = match &flow.intent {
            Intent::App(request) if flow.record.provider == self.provider => {
                let config = &self.context.config;
                app_flow::code::return_to(config, request, &self.app.public_url, error.code)
            }
            _ if self.may_learn_of(flow) => flow.return_to(),
            Intent::Login { .. }
                if flow.record.provider == self.provider && !self.context.has_cookies() =>
            {
                ReturnTo::SignIn {
                    txn: None,
                    client_id: flow.client_id.clone(),
                }
            }
            _ => ReturnTo::SIGN_IN,
        };
        StepError::refused(error, self.provider, return_to)
    }

    fn may_learn_of(&self, flow: &UpstreamFlow) -> bool {
        flow.record.provider == self.provider && flow.is_of_browser(self.context)
    }
}

/// CB-10: settles whose account it is: a browser is signed in, or the account waits for something.
async fn complete_in_browser(
    app: &App,
    context: &RequestContext,
    flow: &UpstreamFlow,
    login: &UpstreamLogin,
) -> Result<Step, StepError> {
    let connecting = flow.intent == Intent::Link;
    let link_context = LinkContext {
        connecting,
        ..LinkContext::in_browser(context)
    };
    match settle(app, login, link_context).await? {
        LinkOutcome::SignedIn(session) => Ok(Step::SignedIn(
            session,
            Continuation::load(app, context, flow.txn()).await?,
        )),
        LinkOutcome::OwnAccount => Ok(Step::OwnAccount {
            provider: login.account.provider.clone(),
        }),
        LinkOutcome::Waits(requirement) => {
            let link = PendingLink {
                session: flow.session.filter(|_| connecting),
                txn: flow.txn().map(str::to_owned),
                client_id: flow.client_id.clone(),
                ..login.to_pending(requirement, app, &context.config, &context.localizer)
            };
            Ok(wait(app, context, &link).await?)
        }
        LinkOutcome::Refused(error) => Err(StepError::refused(
            error,
            &login.account.provider,
            flow.return_to(),
        )),
    }
}

/// OD-12: the flow is spent, so that the same callback would be refused: the user tries again where
/// the flow began, with the client's request.
fn interrupted(error: StepError, flow: &UpstreamFlow) -> StepError {
    let path = match &flow.intent {
        Intent::Login { txn: Some(txn) } => {
            with_client(&format!("/login?txn={txn}"), flow.client_id.as_deref())
        }
        Intent::Login { txn: None } => "/login".to_owned(),
        Intent::Link => "/account".to_owned(),
        Intent::App(_) => return error,
    };
    match error {
        StepError::Page(PageError::Infra(error)) => {
            StepError::Page(PageError::Interrupted(error, path))
        }
        error => error,
    }
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
