//! How a person sends a request again that an outage interrupted (OD-12): a link to the same page, or
//! a form with what was posted.

use std::fmt;

use hyper::body::Bytes;
use poem::{
    Request,
    http::{Method, header},
};

use super::{csrf, params};

/// The paths that take forms of other sites, which they read without a cookie (CF-04).
const TAKE_FOREIGN_FORMS: [&str; 2] = ["/oauth2/authorize", "/oauth2/logout"];

/// The largest form that a page offers again: what `/oauth2/authorize` takes, as it was sent.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// How a person sends a request again.
#[derive(Clone, PartialEq, Eq)]
pub enum TryAgain {
    /// The same address: the page does not repeat it, as it may have a provider's code (UE-03).
    SameAddress,
    /// A form of ours. Its fields may be codes and tokens.
    Form {
        action: String,
        fields: Vec<(String, String)>,
    },
}

impl fmt::Debug for TryAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::SameAddress => "SameAddress",
            Self::Form { .. } => "Form(…)",
        };
        f.write_str(name)
    }
}

/// A request for people that may be sent again. The layers put it into the request.
#[derive(Clone)]
pub struct Repeatable {
    path: String,
    /// The body of a form, as it was sent. It is not copied.
    form: Option<Bytes>,
}

impl fmt::Debug for Repeatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Repeatable(…)")
    }
}

impl Repeatable {
    /// Returns the request if a page of ours may send it again. A form of another site may only go
    /// where such forms are taken: from our page it would come with cookies (CF-01).
    #[must_use]
    pub fn read(request: &Request, body: &Bytes, public_url: &str) -> Option<Self> {
        let path = csrf::own_path(request)?;
        if *request.method() == Method::GET {
            return Some(Self { path, form: None });
        }
        let is_expected = csrf::is_from_own_page(request, public_url, true)
            || takes_foreign_forms(request.uri().path());
        let content_type = request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
        let is_kept = *request.method() == Method::POST
            && is_expected
            && params::is_form(Some(content_type))
            && body.len() <= MAX_FORM_BYTES;
        let form = Some(body.clone());
        is_kept.then_some(Self { path, form })
    }

    /// Returns how the person sends the request again.
    #[must_use]
    pub fn again(&self) -> TryAgain {
        let path = self.path.clone();
        match &self.form {
            None => TryAgain::SameAddress,
            Some(form) => TryAgain::Form {
                action: path,
                fields: form_urlencoded::parse(form).into_owned().collect(),
            },
        }
    }
}

impl TryAgain {
    /// Returns how the person sends this request again, if the layers found that it may be.
    #[must_use]
    pub fn of(request: &Request) -> Option<Self> {
        Some(request.data::<Repeatable>()?.again())
    }
}

fn takes_foreign_forms(path: &str) -> bool {
    let is_callback = path.starts_with("/upstream/") && path.ends_with("/callback");
    is_callback || TAKE_FOREIGN_FORMS.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC_URL: &str = "https://id.example";

    fn again(method: Method, path: &str, site: &str, body: &str) -> Option<TryAgain> {
        let request = Request::builder()
            .method(method)
            .uri_str(path)
            .header("sec-fetch-site", site)
            .content_type("application/x-www-form-urlencoded")
            .finish();
        Some(Repeatable::read(&request, &Bytes::from(body.to_owned()), PUBLIC_URL)?.again())
    }

    #[test]
    fn od_12_a_page_is_a_link_and_a_form_keeps_its_fields() {
        let link = again(Method::GET, "/login?txn=1&client=a", "cross-site", "");
        assert_eq!(link, Some(TryAgain::SameAddress));
        let form = again(
            Method::POST,
            "/login/email?client=a",
            "same-origin",
            "email=jo%40a.example&txn=1&txn=2",
        );
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = TryAgain::Form {
            action: "/login/email?client=a".into(),
            fields: vec![
                pair("email", "jo@a.example"),
                pair("txn", "1"),
                pair("txn", "2"),
            ],
        };
        assert_eq!(form, Some(expected));
    }

    #[test]
    fn od_12_cf_01_a_form_of_another_site_gains_no_cookies() {
        for (path, is_offered) in [
            ("/oauth2/authorize", true),
            ("/oauth2/logout", true),
            ("/upstream/google/callback", true),
            ("/oauth2/logout/confirm", false),
            ("/login/email", false),
            ("/consent", false),
            ("/account/sign-out", false),
        ] {
            let offered = again(Method::POST, path, "cross-site", "a=b").is_some();
            assert_eq!(offered, is_offered, "{path}");
            assert!(again(Method::POST, path, "same-origin", "a=b").is_some());
        }
        assert!(again(Method::GET, "//evil.example/", "none", "").is_none());
        assert!(again(Method::DELETE, "/login", "same-origin", "").is_none());
        let long = "a".repeat(MAX_FORM_BYTES + 1);
        assert!(again(Method::POST, "/login/email", "same-origin", &long).is_none());
    }
}
