//! `/oauth2/device_authorization` (RFC 8628 §3.1, §3.2): a device starts a sign-in.

use poem::{Body, IntoResponse as _, Request, Response, handler, http::StatusCode, web::Data};
use serde_json::{Value, json};

use super::store::{self, Decision, DeviceRequest};
use crate::{
    app::App,
    config::GrantType,
    oauth::{
        client_auth::authenticate_client,
        error::{EndpointError, json_response},
        exchange_rules, resource,
    },
    secret::public_id,
    telemetry::metrics,
    web::{caller::Caller, params::Params, problem::Problem},
};

/// The parameters that must not be repeated or malformed.
const KNOWN: [&str; 5] = [
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "scope",
];

/// Where the user enters the code.
const PAGE_PATH: &str = "/device";

/// How many seconds a device waits between two polls.
const INTERVAL: u64 = 5;

/// `POST /oauth2/device_authorization`.
#[handler]
pub(crate) async fn start(Data(app): Data<&App>, request: &Request, body: Body) -> Response {
    let caller = Caller::from_request(request);
    let params = match Params::read_form(request, body).await {
        Ok(params) => params,
        Err(error) => return EndpointError::from(error).into_response(&caller),
    };
    if !app.config.get().device.enabled {
        let problem = Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing here.");
        return problem.into_response();
    }
    match accept(app, request, &params, &caller).await {
        Ok(codes) => json_response(StatusCode::OK, &codes),
        Err(error) => error.into_response(&caller),
    }
}

/// Returns the codes. There is no `verification_uri_complete`: see ADR 0036.
async fn accept(
    app: &App,
    request: &Request,
    params: &Params,
    caller: &Caller,
) -> Result<Value, EndpointError> {
    params.check_all(&KNOWN)?;
    let config = app.config.get();
    let request = authenticate_client(app, &config, request, params, caller).await?;
    request.check_grant_type(GrantType::DeviceCode)?;
    let client = request.client;
    let requested = params.optional_within("scope", 1024)?.unwrap_or_default();
    let resources = resource::requested(params, &config, client, &app.public_url)?;
    let scope = exchange_rules::requestable(&config, client, resources.as_deref(), requested);
    let now = app.clock().now();
    let device = DeviceRequest {
        client_id: client.client_id.clone(),
        scope,
        resources,
        grant_id: public_id(),
        started_at: now,
        expires_at: now + store::LIFETIME,
        network: caller.network.clone(),
        decision: Decision::Pending,
    };
    let codes = store::store(&request, &device).await?;
    metrics::device("started");
    Ok(json!({
        "device_code": codes.device_code.to_text(),
        "user_code": codes.user_code.shown(),
        "verification_uri": format!("{}{PAGE_PATH}", app.public_url),
        "expires_in": store::LIFETIME.as_secs(),
        "interval": INTERVAL,
    }))
}
