//! The cookies: `sid` (signed in), `pre` (the browser before sign-in), `dev` (a device that signed in
//! before), each with 32 random bytes, `entry` (what a refused form held), and `done` (what was done a
//! moment ago). All have the attributes of BS-01.
//!
//! They are written and read here because the framework's cookie encodes its value as JSON and sets
//! no attributes, and its deletion leaves out Secure and Path, so that browsers ignore it (BS-03).

use std::time::Duration;

use poem::{
    Request,
    error::ResponseError,
    http::{HeaderValue, StatusCode, header},
};

use crate::{secret::Plain, web::base_path::BasePath};

/// The kinds of cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieKind {
    /// Signed in.
    Sid,
    /// The browser before sign-in. Sign-in flows are bound to it.
    Pre,
    /// A device that has signed in before.
    Dev,
    /// What a refused form held, for the page after its redirect. It is no secret to the browser.
    Entry,
    /// What was done, for the page after its redirect.
    Done,
}

/// Two values of one cookie in one request: 400 (BS-06). A sibling host could have set one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the browser sent two different cookies of one name; delete the cookies of this site and try again"
)]
pub struct CookieError;

impl ResponseError for CookieError {
    fn status(&self) -> StatusCode {
        StatusCode::BAD_REQUEST
    }
}

/// The names and attributes in use.
#[derive(Clone, Debug)]
pub struct Cookies {
    secure: bool,
    /// The cookies' path, and a part of their names: a service below another one's path gets the
    /// cookies of both (OB-6).
    base_path: BasePath,
    /// The port of `public_url`, if it names one: cookies are shared among the ports of a host, and
    /// two services on one host must not take each other's (OC-8).
    port: Option<u16>,
}

impl Cookies {
    /// Names have a prefix and cookies are Secure unless `public_url` is http, which the
    /// configuration allows on loopback only (BS-01).
    #[must_use]
    pub fn new(public_url: &str) -> Self {
        Self {
            secure: !public_url.starts_with("http://"),
            base_path: BasePath::of_url(public_url),
            port: url::Url::parse(public_url).ok().and_then(|url| url.port()),
        }
    }

    /// Returns the name of a cookie. Browsers take `__Host-` with the path `/` alone.
    #[must_use]
    pub fn name(&self, kind: CookieKind) -> String {
        let prefix = match (self.secure, self.base_path.is_root()) {
            (true, true) => "__Host-Http-",
            (true, false) => "__Secure-",
            (false, _) => "",
        };
        let word = match kind {
            CookieKind::Sid => "sid",
            CookieKind::Pre => "pre",
            CookieKind::Dev => "dev",
            CookieKind::Entry => "entry",
            CookieKind::Done => "done",
        };
        let port = self.port.map(|port| format!("-{port}")).unwrap_or_default();
        let path = self.base_path.as_str().replace('/', "-");
        format!("{prefix}{word}{port}{path}")
    }

    /// Reads a cookie. A malformed one counts as absent.
    ///
    /// # Errors
    /// If the request holds two different values of it.
    pub fn read(&self, request: &Request, kind: CookieKind) -> Result<Option<Plain>, CookieError> {
        Ok(self.read_text(request, kind)?.and_then(Plain::parse))
    }

    /// Reads a cookie that holds text. One beyond UTF-8 counts as absent.
    ///
    /// # Errors
    /// If the request holds two different values of it.
    pub fn read_text<'a>(
        &self,
        request: &'a Request,
        kind: CookieKind,
    ) -> Result<Option<&'a str>, CookieError> {
        let name = self.name(kind);
        let mut value: Option<&[u8]> = None;
        for pair in request
            .headers()
            .get_all(header::COOKIE)
            .iter()
            .flat_map(pairs)
        {
            let Some(next) = pair
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
            else {
                continue;
            };
            if value.is_some_and(|first| first != next) {
                return Err(CookieError);
            }
            value = Some(next);
        }
        Ok(value.and_then(|value| std::str::from_utf8(value).ok()))
    }

    /// Returns a Set-Cookie value. Without `max_age` the cookie ends with the browser session.
    #[must_use]
    pub fn set(&self, kind: CookieKind, value: &Plain, max_age: Option<Duration>) -> HeaderValue {
        self.set_cookie(kind, &value.to_text(), max_age.map(|age| age.as_secs()))
    }

    /// Returns a Set-Cookie value for text of base64url, dots and hyphens.
    #[must_use]
    pub fn set_text(&self, kind: CookieKind, value: &str, max_age: Duration) -> HeaderValue {
        self.set_cookie(kind, value, Some(max_age.as_secs()))
    }

    /// Returns a Set-Cookie value that deletes the cookie: the same name and attributes with
    /// Max-Age=0 (BS-03).
    #[must_use]
    pub fn delete(&self, kind: CookieKind) -> HeaderValue {
        self.set_cookie(kind, "", Some(0))
    }

    fn set_cookie(&self, kind: CookieKind, value: &str, max_age: Option<u64>) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let age = max_age
            .map(|age| format!("; Max-Age={age}"))
            .unwrap_or_default();
        let path = match self.base_path.as_str() {
            "" => "/",
            path => path,
        };
        let line = format!(
            "{}={value}; Path={path}{secure}; HttpOnly; SameSite=Lax{age}",
            self.name(kind)
        );
        // Names and values are fixed words and base64url, which a header can hold.
        let mut line = HeaderValue::try_from(line).unwrap_or_else(|_| HeaderValue::from_static(""));
        line.set_sensitive(true);
        line
    }
}

fn pairs(header: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    header
        .as_bytes()
        .split(|byte| *byte == b';')
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTPS: &str = "https://id.example";

    fn with(lines: &[String]) -> Request {
        lines
            .iter()
            .fold(Request::builder(), |builder, line| {
                builder.header("cookie", line)
            })
            .finish()
    }

    fn text(result: Result<Option<Plain>, CookieError>) -> Option<String> {
        result.unwrap().map(|plain| plain.to_text())
    }

    #[test]
    fn bs_01_cookies_carry_every_attribute() {
        let (cookies, secret) = (Cookies::new(HTTPS), Plain::generate());
        let line = cookies.set(CookieKind::Sid, &secret, Some(Duration::from_secs(60)));
        let expected = format!(
            "__Host-Http-sid={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60",
            secret.to_text()
        );
        assert_eq!(line.to_str().unwrap(), expected);
        assert!(
            !cookies
                .set(CookieKind::Pre, &secret, None)
                .to_str()
                .unwrap()
                .contains("Max-Age")
        );
        assert!(
            !format!("{line:?}").contains(&secret.to_text()),
            "never printed"
        );
    }

    #[test]
    fn bs_01_plain_names_on_loopback_http_only() {
        let cookies = Cookies::new("http://127.0.0.1:8080");
        let line = cookies.set(CookieKind::Dev, &Plain::generate(), None);
        assert!(line.to_str().unwrap().starts_with("dev-8080="));
        assert!(!line.to_str().unwrap().contains("Secure"));
        let secret = Plain::generate().to_text();
        assert_eq!(
            text(Cookies::new(HTTPS).read(&with(&[format!("sid={secret}")]), CookieKind::Sid)),
            None
        );
        assert_eq!(
            text(cookies.read(&with(&[format!("sid-8080={secret}")]), CookieKind::Sid)),
            Some(secret)
        );
    }

    #[test]
    fn oc_8_two_services_on_one_host_have_cookies_of_their_own() {
        let name = |url: &str| Cookies::new(url).name(CookieKind::Sid);
        assert_eq!(name("http://localhost:8080"), "sid-8080");
        assert_eq!(name("https://localhost:8443"), "__Host-Http-sid-8443");
        assert_eq!(name("https://id.example:443"), "__Host-Http-sid");
        assert_eq!(name("https://id.example"), "__Host-Http-sid");
    }

    /// `__Host-` demands the path `/`. A service below another one's path gets the cookies of both,
    /// so that the names differ, too.
    #[test]
    fn ob_6_cookies_have_the_path_and_its_name() {
        let line = |url: &str| Cookies::new(url).delete(CookieKind::Sid);
        for (url, expected) in [
            (
                "https://id.example/auth",
                "__Secure-sid-auth=; Path=/auth; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
            ),
            (
                "https://id.example:8443/auth/two",
                "__Secure-sid-8443-auth-two=; Path=/auth/two; Secure; HttpOnly; SameSite=Lax; Max-Age=0",
            ),
            (
                "http://localhost:8080/auth",
                "sid-8080-auth=; Path=/auth; HttpOnly; SameSite=Lax; Max-Age=0",
            ),
        ] {
            assert_eq!(line(url), expected, "{url}");
        }
    }

    #[test]
    fn bs_03_deletion_repeats_the_attributes() {
        assert_eq!(
            Cookies::new(HTTPS)
                .delete(CookieKind::Sid)
                .to_str()
                .unwrap(),
            "__Host-Http-sid=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
        );
    }

    #[test]
    fn bs_06_two_values_of_one_cookie_are_refused() {
        let (a, b) = (Plain::generate().to_text(), Plain::generate().to_text());
        let name = "__Host-Http-sid";
        let cookies = Cookies::new(HTTPS);
        for lines in [
            vec![format!("{name}={a}; x=1; {name}={b}")],
            vec![format!("{name}={a}"), format!("{name}={b}")],
            vec![format!("{name}={a}; {name}=nonsense")],
            vec![format!("{name}=; {name}={a}")],
        ] {
            assert_eq!(
                cookies.read(&with(&lines), CookieKind::Sid).err(),
                Some(CookieError),
                "{lines:?}"
            );
        }
        assert_eq!(
            text(cookies.read(&with(&[format!("{name}={a}; {name}={a}")]), CookieKind::Sid)),
            Some(a)
        );
    }

    #[test]
    fn a_malformed_cookie_is_an_absent_one() {
        let long = "A".repeat(44);
        for value in ["", "x", "\"quoted\"", long.as_str()] {
            let request = with(&[format!("other=1; __Host-Http-sid={value}")]);
            assert_eq!(
                text(Cookies::new(HTTPS).read(&request, CookieKind::Sid)),
                None,
                "{value}"
            );
        }
        let good = Plain::generate().to_text();
        let request = with(&[format!("x__Host-Http-sid={good}; __Host-Http-sidx={good}")]);
        assert_eq!(
            text(Cookies::new(HTTPS).read(&request, CookieKind::Sid)),
            None,
            "only the very name"
        );
    }
}
