//! The endpoints: each makes an honest response, then applies the faults that the test has injected.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest;
use serde_json::{Value, json};

use super::{
    Book, CLIENT_ID, CLIENT_SECRET, Granted, PERSON, Shape,
    fault::{Fault, Place},
    http::{Pace, Reply, Request},
    keys::{encode, is_signed_secret},
};

/// Parameters that are secret on their way through.
const SECRET: [&str; 4] = ["state", "nonce", "code", "code_verifier"];

impl Book {
    /// Notes the request and answers it.
    pub(super) fn answer(&mut self, request: &Request) -> Reply {
        let place = place(&request.path);
        for (name, value) in request.query_pairs().into_iter().chain(request.form()) {
            if SECRET.contains(&name.as_str()) && !value.is_empty() {
                self.secrets.insert(value);
            }
        }
        self.requests.push((place, request.clone()));
        let scripted = self.faults.iter().find_map(|fault| match fault {
            Fault::Reply(at, reply) if *at == place => Some(reply.clone()),
            _ => None,
        });
        if let Some(reply) = scripted {
            return reply;
        }
        let mut reply = self.honest(place, request);
        if !self.late.is_zero() {
            reply.pace = Pace::After(self.late);
        }
        for fault in &self.faults {
            if let Fault::Head(at, name, value) = fault
                && *at == place
            {
                reply = reply.with(name, value);
                if *name == "etag" && request.header("if-none-match") == Some(value) {
                    (reply.status, reply.body) = (304, Vec::new());
                }
            }
        }
        reply
    }

    fn honest(&mut self, place: Place, request: &Request) -> Reply {
        match place {
            Place::Discovery => self.json(place, self.metadata()),
            Place::Jwks => self.json(place, self.keys.jwks()),
            Place::Authorize => self.authorize(request),
            Place::Token => self.token(request),
            Place::Userinfo => self.userinfo(request),
            Place::Emails => self.emails(request),
            Place::Elsewhere => Reply::new(404, "text/plain", "nothing here"),
        }
    }

    /// A JSON answer, as far as it is true.
    fn json(&self, place: Place, mut honest: Value) -> Reply {
        for fault in &self.faults {
            if let Fault::Json(at, change) = fault
                && *at == place
            {
                change(&mut honest);
            }
        }
        Reply::json(200, &honest)
    }

    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.base);
        let mut metadata = json!({
            "issuer": self.issuer,
            "authorization_endpoint": at("/authorize"),
            "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"),
            "jwks_uri": at("/jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "PS256", "HS256", "none"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
        });
        if self.sends_iss {
            metadata["authorization_response_iss_parameter_supported"] = true.into();
        }
        metadata
    }

    fn complain(&mut self, what: &str) {
        self.complaints.push(what.to_owned());
    }

    /// RFC 6749 §4.1.1, RFC 7636 §4.3, OpenID Connect Core §3.1.2.1. The person is known and agrees.
    fn authorize(&mut self, request: &Request) -> Reply {
        let oidc = self.shape == Shape::Oidc;
        let one = |name: &str| request.one(name).unwrap_or_default();
        let scopes = one("scope");
        let wrong = [
            (request.method != "GET", "authorize takes GET"),
            (one("response_type") != "code", "response_type is not code"),
            (one("client_id") != CLIENT_ID, "client_id is another's"),
            (
                !self.redirect_uris.contains(&one("redirect_uri")),
                "redirect_uri is not registered",
            ),
            (
                one("state").len() != 43,
                "state is not 32 bytes of base64url",
            ),
            (
                oidc && one("nonce").len() != 43,
                "nonce is not 32 bytes of base64url",
            ),
            (
                oidc && !scopes.split(' ').any(|scope| scope == "openid"),
                "scope lacks openid",
            ),
            (
                request.query.contains("scope=") && request.query.contains('+'),
                "a blank is written as +",
            ),
            (
                self.pkce && one("code_challenge").len() != 43,
                "code_challenge is not a SHA-256",
            ),
            (
                self.pkce && one("code_challenge_method") != "S256",
                "code_challenge_method is not S256",
            ),
            (
                !self.pkce && request.query.contains("code_challenge"),
                "code_challenge is unknown",
            ),
        ];
        if let Some((_, why)) = wrong.into_iter().find(|(wrong, _)| *wrong) {
            self.complain(why);
            return Reply::new(400, "text/plain", why);
        }
        let code = self.secret();
        let own = request
            .header(PERSON)
            .and_then(|text| serde_json::from_str(text).ok());
        let granted = Granted {
            redirect_uri: one("redirect_uri"),
            challenge: one("code_challenge"),
            nonce: request.one("nonce"),
            person: own.unwrap_or_else(|| self.person.clone()),
            used: false,
        };
        let to = granted.redirect_uri.clone();
        self.codes.insert(code.clone(), granted);
        let mut pairs = vec![
            ("code".to_owned(), code),
            ("state".to_owned(), one("state")),
        ];
        if self.sends_iss {
            pairs.push(("iss".to_owned(), self.issuer.clone()));
        }
        for fault in &self.faults {
            if let Fault::Callback(change) = fault {
                change(&mut pairs);
            }
        }
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&pairs)
            .finish();
        if self.form_post || one("response_mode") == "form_post" {
            return Reply::new(200, "text/plain", format!("{to}\n{query}"));
        }
        Reply::redirect(&format!("{to}?{query}"))
    }

    /// RFC 6749 §4.1.3, §2.3.1; RFC 7636 §4.6.
    fn token(&mut self, request: &Request) -> Reply {
        let (code, verifier) = match self.check_exchange(request) {
            Ok(both) => both,
            Err((status, error, why)) => {
                self.complain(why);
                let status = if self.shape == Shape::GitHub {
                    200
                } else {
                    status
                };
                return Reply::json(status, &json!({"error": error, "error_description": why}));
            }
        };
        let hash = digest::digest(&digest::SHA256, verifier.as_bytes());
        let challenge = if self.pkce {
            encode(hash.as_ref())
        } else {
            String::new()
        };
        let redirect_uri = request.one("redirect_uri").unwrap_or_default();
        let granted = self.codes.get_mut(&code).filter(|granted| !granted.used);
        let granted = match granted {
            Some(granted)
                if granted.redirect_uri == redirect_uri && granted.challenge == challenge =>
            {
                granted.used = true;
                granted.clone()
            }
            _ => {
                self.complain("the code is unknown, used, or another's");
                return Reply::json(
                    400,
                    &json!({"error": "invalid_grant", "error_description": "no such code"}),
                );
            }
        };
        let access_token = self.secret();
        self.access_tokens
            .insert(access_token.clone(), granted.person.clone());
        if self.shape == Shape::GitHub {
            let answer = json!({"access_token": access_token, "token_type": "bearer", "scope": "read:user,user:email"});
            return self.json(Place::Token, answer);
        }
        let id_token = self.id_token(&granted.person, granted.nonce.as_deref(), &access_token);
        self.secrets.insert(id_token.clone());
        let answer = json!({"access_token": access_token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token});
        self.json(Place::Token, answer)
    }

    /// Form and client; gives code and verifier.
    fn check_exchange(
        &self,
        request: &Request,
    ) -> Result<(String, String), (u16, &'static str, &'static str)> {
        let one = |name: &str| {
            request
                .form()
                .into_iter()
                .filter(|(known, _)| known == name)
                .count()
                == 1
        };
        if request.method != "POST" || !request.query.is_empty() {
            return Err((400, "invalid_request", "token takes POST without a query"));
        }
        if request.header("content-type") != Some("application/x-www-form-urlencoded") {
            return Err((400, "invalid_request", "token takes a form"));
        }
        let verifies = request
            .form()
            .iter()
            .any(|(name, _)| name == "code_verifier");
        if !["grant_type", "code", "redirect_uri"].into_iter().all(one) || verifies != self.pkce {
            return Err((400, "invalid_request", "a parameter is missing or repeated"));
        }
        if request.one("grant_type").as_deref() != Some("authorization_code") {
            return Err((
                400,
                "unsupported_grant_type",
                "grant_type is not authorization_code",
            ));
        }
        let in_body = (request.one("client_id"), request.one("client_secret"));
        let good = match (request.header("authorization"), in_body) {
            (Some(header), (id, None)) => {
                self.signer.is_none() && id.is_none_or(|id| id == CLIENT_ID) && is_basic(header)
            }
            (None, (Some(id), Some(secret))) => id == CLIENT_ID && self.is_secret(&secret),
            _ => false,
        };
        if !good {
            return Err((401, "invalid_client", "the client is not authenticated"));
        }
        let verifier = request.one("code_verifier").unwrap_or_default();
        if self.pkce && !(43..=128).contains(&verifier.len()) {
            return Err((400, "invalid_request", "code_verifier has a wrong length"));
        }
        Ok((request.one("code").unwrap_or_default(), verifier))
    }

    fn is_secret(&self, secret: &str) -> bool {
        match &self.signer {
            Some(public) => is_signed_secret(secret, public, CLIENT_ID, self.now()),
            None => secret == CLIENT_SECRET,
        }
    }

    fn bearer(&self, request: &Request) -> Option<Value> {
        let token = request.header("authorization")?.strip_prefix("Bearer ")?;
        self.access_tokens.get(token).cloned()
    }

    /// OpenID Connect Core §5.3; GitHub's `/user`, which also wants to know who asks.
    fn userinfo(&mut self, request: &Request) -> Reply {
        let Some(mut person) = self.bearer(request) else {
            self.complain("userinfo without a token of ours");
            return Reply::json(401, &json!({"message": "Requires authentication"}));
        };
        if self.shape == Shape::GitHub {
            if request.header("user-agent").is_none_or(str::is_empty) {
                self.complain("no user-agent");
                return Reply::new(
                    403,
                    "text/plain",
                    "Request forbidden by administrative rules",
                );
            }
            if let Some(members) = person.as_object_mut() {
                members.remove("emails");
            }
        }
        self.json(Place::Userinfo, person)
    }

    fn emails(&mut self, request: &Request) -> Reply {
        let Some(person) = self.bearer(request) else {
            self.complain("emails without a token of ours");
            return Reply::json(401, &json!({"message": "Requires authentication"}));
        };
        self.json(
            Place::Emails,
            person.get("emails").cloned().unwrap_or_else(|| json!([])),
        )
    }

    fn secret(&mut self) -> String {
        let made = format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        self.secrets.insert(made.clone());
        made
    }
}

fn place(path: &str) -> Place {
    match path {
        _ if path.ends_with("/.well-known/openid-configuration") => Place::Discovery,
        "/jwks" => Place::Jwks,
        "/authorize" | "/login/oauth/authorize" => Place::Authorize,
        "/token" | "/login/oauth/access_token" => Place::Token,
        "/userinfo" | "/user" | "/api/v3/user" => Place::Userinfo,
        "/user/emails" | "/api/v3/user/emails" => Place::Emails,
        _ => Place::Elsewhere,
    }
}

/// RFC 6749 §2.3.1: identifier and secret are form-encoded before they are joined.
fn is_basic(header: &str) -> bool {
    let decoded = header
        .strip_prefix("Basic ")
        .and_then(|value| STANDARD.decode(value).ok());
    let Some(text) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        return false;
    };
    let plain = |text: &str| {
        let pair = format!("v={text}");
        url::form_urlencoded::parse(pair.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    text.split_once(':')
        .is_some_and(|(id, secret)| plain(id) == CLIENT_ID && plain(secret) == CLIENT_SECRET)
}
