//! Whole sign-ins by email, as a browser without scripts does them.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{
    closed_loop::Caller,
    connection::{Connection, Response},
    figures::Outcome,
    provider::{Provider, REDIRECT, parameter, path_of},
    worker::{expect, send, unexpected},
};
use crate::smtp::Sink;

/// How long an email may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most redirects between the code and the client.
const STEPS: usize = 8;

/// What the browser sends with each request.
const BROWSER: [(&str, &str); 5] = [
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ("Accept-Language", "en"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Dest", "document"),
];

/// Whose addresses sign in.
#[derive(Clone, Copy, Debug)]
pub enum People {
    /// Each sign-in is the first one of a new address.
    New,
    /// Accounts that are there, `known-1@example.test` to this number, spread over all of them.
    Known(u32),
}

impl People {
    /// The address of the sign-in with this number.
    #[must_use]
    pub fn address(self, number: u32) -> String {
        match self {
            Self::New => format!("new-{number}@example.test"),
            Self::Known(count) => {
                let spread = u64::from(number) * 7_919 % u64::from(count.max(1));
                known_address(spread + 1)
            }
        }
    }
}

/// The address of a generated account, numbered from 1.
#[must_use]
pub fn known_address(number: u64) -> String {
    format!("known-{number}@example.test")
}

/// Numbers sign-ins over all callers of this process, so that each has a network of its own.
fn next_number() -> u32 {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// A browser of its own for each operation.
#[derive(Debug)]
pub struct EmailSignIn {
    connection: Connection,
    provider: Arc<Provider>,
    sink: Arc<Sink>,
    people: People,
    ends_at: EndsAt,
    /// The browser that requests emails again and again, and its page.
    kept: Option<(Visit, Response)>,
}

/// Where an operation ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndsAt {
    /// The client has its tokens.
    Tokens,
    /// A new browser has requested an email.
    Request,
    /// One and the same browser has requested an email to another address.
    RequestAgain,
}

/// One browser.
#[derive(Debug)]
struct Visit {
    from: String,
    cookies: BTreeMap<String, String>,
}

impl EmailSignIn {
    /// Signs in from the client's request to its tokens.
    #[must_use]
    pub const fn new(
        provider: Arc<Provider>,
        connection: Connection,
        sink: Arc<Sink>,
        people: People,
    ) -> Self {
        Self {
            connection,
            provider,
            sink,
            people,
            ends_at: EndsAt::Tokens,
            kept: None,
        }
    }

    /// Opens the sign-in page and requests an email, no more.
    #[must_use]
    pub const fn only_requests(mut self) -> Self {
        self.ends_at = EndsAt::Request;
        self
    }

    /// Opens the sign-in page once, and requests emails to ever new addresses.
    #[must_use]
    pub const fn only_requests_again(mut self) -> Self {
        self.ends_at = EndsAt::RequestAgain;
        self
    }

    async fn step(&mut self) -> Result<(), Outcome> {
        let number = next_number();
        let address = self.people.address(number);
        match self.ends_at {
            EndsAt::Tokens => self.sign_in(Visit::new(number), &address).await,
            EndsAt::Request => {
                let mut visit = Visit::new(number);
                let page = self.get(&mut visit, "/login", "none").await?;
                let sent = self.request_email(&mut visit, &page, &address).await;
                sent.map(drop)
            }
            EndsAt::RequestAgain => {
                let (mut visit, page) = match self.kept.take() {
                    Some(kept) => kept,
                    None => {
                        let mut visit = Visit::new(number);
                        let page = self.get(&mut visit, "/login", "none").await?;
                        (visit, page)
                    }
                };
                let sent = self.request_email(&mut visit, &page, &address).await;
                self.kept = Some((visit, page));
                sent.map(drop)
            }
        }
    }

    async fn sign_in(&mut self, mut visit: Visit, address: &str) -> Result<(), Outcome> {
        let (begin, verifier) = self.provider.authorization_request();
        let redirect = self.get(&mut visit, &begin, "cross-site").await?;
        let page = self.follow(&mut visit, redirect).await?.page()?;
        let sent = self.request_email(&mut visit, &page, address).await?;
        let page = self.follow(&mut visit, sent).await?.page()?;
        let mail = self.sink.take(address, PATIENCE).await;
        let mail = mail.ok_or_else(|| Outcome::Failed("no email within 30 s".to_owned()))?;
        let response = self.enter_code(&mut visit, &page, &mail.code()).await?;
        let back = self.follow(&mut visit, response).await?.client()?;
        let code = parameter(&back, "code");
        let code = code.ok_or_else(|| Outcome::Failed(format!("no code in {back}")))?;
        self.exchange(&code, &verifier).await
    }

    async fn request_email(
        &mut self,
        visit: &mut Visit,
        page: &Response,
        address: &str,
    ) -> Result<Response, Outcome> {
        let hidden = self.fields(page, "sign-in")?;
        let mut fields: Vec<(&str, &str)> = pairs(&hidden);
        fields.push(("email", address));
        let sent = self.post(visit, "/login/email", &fields).await?;
        if sent.status == 303 {
            return Ok(sent);
        }
        Err(unexpected("/login/email", &sent))
    }

    async fn enter_code(
        &mut self,
        visit: &mut Visit,
        page: &Response,
        code: &str,
    ) -> Result<Response, Outcome> {
        let hidden = self.fields(page, "code")?;
        let mut fields: Vec<(&str, &str)> = pairs(&hidden);
        fields.push(("code", code));
        self.post(visit, "/login/code", &fields).await
    }

    async fn exchange(&mut self, code: &str, verifier: &str) -> Result<(), Outcome> {
        let basic = self.provider.client.basic();
        let fields = [
            ("grant_type", "authorization_code"),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
            ("code", code),
        ];
        let path = &self.provider.endpoints.token;
        let headers = [("Authorization", basic.as_str())];
        let request = self.provider.target.post(path, &headers, &fields);
        let response = send(&mut self.connection, &request).await?;
        expect("token", response, "\"id_token\"").map(drop)
    }

    /// Goes on by redirects and by pages that lead on by themselves.
    async fn follow(
        &mut self,
        visit: &mut Visit,
        mut response: Response,
    ) -> Result<Landing, Outcome> {
        for _ in 0..STEPS {
            match next_of(&response) {
                None => return Ok(Landing::Page(response)),
                Some(to) if to.starts_with(REDIRECT) => return Ok(Landing::Client(to)),
                Some(to) => response = self.get(visit, &path_of(&to), "same-origin").await?,
            }
        }
        Err(Outcome::Failed("no end of redirects".to_owned()))
    }

    async fn get(
        &mut self,
        visit: &mut Visit,
        path: &str,
        site: &str,
    ) -> Result<Response, Outcome> {
        let cookies = visit.cookie_header();
        let headers = visit.headers(&cookies, site);
        let request = self.provider.target.get(path, &headers);
        let response = send(&mut self.connection, &request).await?;
        visit.keep(&response);
        match response.status {
            200 | 302 | 303 => Ok(response),
            _ => Err(unexpected(
                path.split('?').next().unwrap_or(path),
                &response,
            )),
        }
    }

    async fn post(
        &mut self,
        visit: &mut Visit,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Response, Outcome> {
        let cookies = visit.cookie_header();
        let mut headers = visit.headers(&cookies, "same-origin");
        headers.push(("Origin", &self.provider.issuer));
        let request = self.provider.target.post(path, &headers, fields);
        let response = send(&mut self.connection, &request).await?;
        visit.keep(&response);
        Ok(response)
    }

    fn fields(&self, page: &Response, form: &str) -> Result<Vec<(String, String)>, Outcome> {
        let text = page.text();
        hidden_fields(&text, form).ok_or_else(|| unexpected(&format!("no form {form}"), page))
    }
}

impl Caller for EmailSignIn {
    async fn operate(&mut self) -> Outcome {
        self.step().await.err().unwrap_or(Outcome::Done)
    }
}

/// Where a sequence of redirects ends.
enum Landing {
    Page(Response),
    /// The client's address, with what comes back to it.
    Client(String),
}

impl Landing {
    fn page(self) -> Result<Response, Outcome> {
        match self {
            Self::Page(page) => Ok(page),
            Self::Client(to) => Err(Outcome::Failed(format!("back at the client: {to}"))),
        }
    }

    fn client(self) -> Result<String, Outcome> {
        match self {
            Self::Page(page) => Err(unexpected("no way back to the client", &page)),
            Self::Client(to) => Ok(to),
        }
    }
}

/// Where a redirect or a `<meta http-equiv="refresh">` leads (CW-03).
fn next_of(response: &Response) -> Option<String> {
    if let Some(location) = &response.location {
        return Some(location.clone());
    }
    let text = response.text();
    let (_, rest) = text.split_once("<meta http-equiv=\"refresh\" content=\"0;url=")?;
    let (to, _) = rest.split_once('"')?;
    Some(to.replace("&amp;", "&").replace("&#38;", "&"))
}

impl Visit {
    /// Returns a browser at a network address of its own, far from that of the browser before.
    fn new(number: u32) -> Self {
        let spread = number.wrapping_mul(2_654_435_761) >> 8;
        Self {
            from: Ipv4Addr::from(0x0a00_0000 | spread).to_string(),
            cookies: BTreeMap::new(),
        }
    }

    fn cookie_header(&self) -> String {
        let cookies = self.cookies.iter();
        let pairs: Vec<String> = cookies
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }

    fn headers<'a>(&'a self, cookies: &'a str, site: &'a str) -> Vec<(&'a str, &'a str)> {
        let mut headers = BROWSER.to_vec();
        headers.push(("Sec-Fetch-Site", site));
        headers.push(("X-Forwarded-For", &self.from));
        if !cookies.is_empty() {
            headers.push(("Cookie", cookies));
        }
        headers
    }

    fn keep(&mut self, response: &Response) {
        for (name, value) in &response.cookies {
            match value {
                Some(value) => self.cookies.insert(name.clone(), value.clone()),
                None => self.cookies.remove(name),
            };
        }
    }
}

fn pairs(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// The hidden fields of the form with this id. Their values, which are tokens and identifiers, have nothing escaped.
fn hidden_fields(page: &str, form: &str) -> Option<Vec<(String, String)>> {
    let (_, rest) = page.split_once(&format!("<form id=\"{form}\""))?;
    let (inside, _) = rest.split_once("</form>")?;
    let fields = inside.split("<input type=\"hidden\" name=\"").skip(1);
    let fields = fields.filter_map(|field| {
        let (name, rest) = field.split_once("\" value=\"")?;
        let (value, _) = rest.split_once('"')?;
        Some((name.to_owned(), value.to_owned()))
    });
    Some(fields.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hidden_fields_of_one_form_are_read() {
        let page = "<form id=\"a\"><input type=\"hidden\" name=\"form_token\" value=\"1\"></form>\
                    <form id=\"b\" method=\"post\"><input type=\"hidden\" name=\"form_token\" value=\"2\">\
                    <input id=\"email\" type=\"text\" name=\"email\" value=\"\">\
                    <input type=\"hidden\" name=\"txn\" value=\"3\"></form>";
        let fields = hidden_fields(page, "b").unwrap();
        assert_eq!(pairs(&fields), [("form_token", "2"), ("txn", "3")]);
        assert_eq!(hidden_fields(page, "c"), None);
    }

    #[test]
    fn pages_that_lead_on_are_followed_as_redirects_are() {
        let response = |location: Option<&str>, body: &str| Response {
            location: location.map(str::to_owned),
            body: body.into(),
            ..Response::default()
        };
        assert_eq!(next_of(&response(Some("/a"), "")).as_deref(), Some("/a"));
        let page = "<meta http-equiv=\"refresh\" content=\"0;url=/b?c=1&#38;d=2\">";
        assert_eq!(
            next_of(&response(None, page)).as_deref(),
            Some("/b?c=1&d=2")
        );
        assert_eq!(next_of(&response(None, "<p>")), None);
    }

    #[test]
    fn known_people_are_spread_over_all_accounts() {
        let people = People::Known(10_000);
        let addresses: std::collections::BTreeSet<String> =
            (0..10_000).map(|number| people.address(number)).collect();
        assert_eq!(addresses.len(), 10_000);
        assert!(addresses.contains("known-1@example.test"));
        assert!(addresses.contains("known-10000@example.test"));
        assert_eq!(People::New.address(7), "new-7@example.test");
    }
}
