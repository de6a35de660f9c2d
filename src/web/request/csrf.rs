//! Protection of forms against requests from other sites: the origin of the request (CF-01), and a
//! token that only a page for this browser, this form and this context holds (CF-02). A form needs
//! both.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use poem::{
    Request,
    http::{HeaderName, HeaderValue, Method, header},
};

use crate::{
    secret::{Hash, Mac},
    web::base_path::BasePath,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns whether a state-changing request comes from a page of ours (CF-01).
///
/// `Sec-Fetch-Site`, if sent, must be `same-origin` (`none` is a typed address, which never posts).
/// `Origin`, if sent, must be that of `public_url`. One of them must be there; an older browser that
/// sends neither names the page by `Referer`, which no page of another site can forge and which must
/// be below the path of `public_url`. With `allow_null`,
/// `Origin: null` passes beside `Sec-Fetch-Site: same-origin`: browsers send it from a page with
/// `Referrer-Policy: no-referrer`, which is the link page alone. A sandboxed frame sends it as
/// `cross-site`.
#[must_use]
pub fn is_from_own_page(request: &Request, public_url: &str, allow_null: bool) -> bool {
    let Ok(fetch_site) = single_header(request, &SEC_FETCH_SITE) else {
        return false;
    };
    let Ok(origin) = single_header(request, &header::ORIGIN) else {
        return false;
    };
    let is_same_origin = match fetch_site {
        Some(fetch_site) if fetch_site == "same-origin" => true,
        Some(_) => return false,
        None => false,
    };
    match origin {
        Some(origin) if origin == "null" => allow_null && is_same_origin,
        Some(origin) => is_origin_of(origin, public_url),
        None => is_same_origin || own_referrer(request, public_url).is_some(),
    }
}

/// Returns whether the browser does not say which page a form comes from: an older one, or one that
/// keeps it to itself. Nothing of another site is seen then, and nothing of ours is proved.
#[must_use]
pub fn names_no_page(request: &Request) -> bool {
    let origin = request.headers().get(header::ORIGIN);
    !request.headers().contains_key(SEC_FETCH_SITE)
        && origin.is_none_or(|origin| origin == "null")
        && !request.headers().contains_key(header::REFERER)
}

/// Returns the page of ours that a request is about, as a path inside the service: of a GET its own,
/// of a form the page that holds it, if the browser names it.
#[must_use]
pub fn page_of(request: &Request, public_url: &str) -> Option<String> {
    if *request.method() == Method::GET {
        return own_path(request);
    }
    let page = own_referrer(request, public_url)?;
    let base = BasePath::of_url(public_url);
    let query = page.query().map(|query| format!("?{query}"));
    let path = format!("{}{}", base.inside(page.path())?, query.unwrap_or_default());
    is_path(&path).then_some(path)
}

/// Returns the path inside the service and the query of a request, if a link may have them.
#[must_use]
pub fn own_path(request: &Request) -> Option<String> {
    let path = request.uri().path_and_query()?.as_str();
    is_path(path).then(|| path.to_owned())
}

/// Browsers read two slashes as the beginning of another host.
fn is_path(path: &str) -> bool {
    path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\")
}

/// Returns the page of ours that the browser names as the one that a request comes from.
fn own_referrer(request: &Request, public_url: &str) -> Option<url::Url> {
    let referrer = single_header(request, &header::REFERER).ok()??;
    let page = url::Url::parse(referrer.to_str().ok()?).ok()?;
    let own = url::Url::parse(public_url).ok()?;
    let is_ours =
        page.origin() == own.origin() && BasePath::of_url(public_url).inside(page.path()).is_some();
    is_ours.then_some(page)
}

/// Returns the value of a header that must not be repeated.
fn single_header<'a>(
    request: &'a Request,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, ()> {
    let mut values = request.headers().get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        Err(())
    } else {
        Ok(first)
    }
}

fn is_origin_of(origin: &HeaderValue, public_url: &str) -> bool {
    url::Url::parse(public_url).is_ok_and(|url| *origin == url.origin().ascii_serialization())
}

/// Returns the token for a hidden field: a MAC over the browser's cookie, the form and its context
/// (CF-02).
///
/// `secret_hash` is the hash of `sid` or, before sign-in, `pre`. `form` is the form's fixed name.
/// `context` is the flow, transaction or row that the form acts on, or empty.
#[must_use]
pub fn form_token(mac: &Mac, secret_hash: &Hash, form: &str, context: &str) -> String {
    let tag = mac.tag(&[secret_hash.as_bytes(), form.as_bytes(), context.as_bytes()]);
    URL_SAFE_NO_PAD.encode(tag.as_bytes())
}

/// Returns whether `token` is that of exactly this cookie, form and context, in constant time.
#[must_use]
pub fn verify_form_token(
    mac: &Mac,
    secret_hash: &Hash,
    form: &str,
    context: &str,
    token: &str,
) -> bool {
    let tag = URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| Hash::from_column(&bytes));
    tag.is_some_and(|tag| {
        mac.verify(
            &[secret_hash.as_bytes(), form.as_bytes(), context.as_bytes()],
            &tag,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{MasterKeys, Plain};

    const PUBLIC_URL: &str = "https://id.example";

    fn check(site: Option<&str>, origin: Option<&str>, allow_null: bool) -> bool {
        let mut builder = Request::builder();
        for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
            if let Some(value) = value {
                builder = builder.header(name, value);
            }
        }
        is_from_own_page(&builder.finish(), PUBLIC_URL, allow_null)
    }

    #[test]
    fn cf_01_only_our_own_pages_may_post() {
        assert!(check(Some("same-origin"), Some(PUBLIC_URL), false));
        assert!(check(Some("same-origin"), None, false));
        assert!(
            check(None, Some(PUBLIC_URL), false),
            "a browser without Sec-Fetch-PageOptions"
        );
        assert!(!check(None, None, false), "neither header");
    }

    #[test]
    fn cf_01_a_foreign_site_is_refused_whatever_origin_says() {
        for site in [
            "cross-site",
            "same-site",
            "none",
            "SAME-ORIGIN",
            "",
            "same-origin, same-origin",
        ] {
            assert!(!check(Some(site), Some(PUBLIC_URL), true), "{site}");
            assert!(!check(Some(site), None, true), "{site}");
        }
        for origin in [
            "https://evil.example",
            "http://id.example",
            "https://id.example:8443",
            "https://id.example/",
            "https://id.example.evil.example",
            "https://sub.id.example",
            "",
        ] {
            assert!(!check(None, Some(origin), true), "{origin}");
            assert!(!check(Some("same-origin"), Some(origin), true), "{origin}");
        }
    }

    #[test]
    fn oc_8_an_older_browser_names_our_page_by_its_referrer() {
        let from = |referrer: &str, site: Option<&str>| {
            let request = Request::builder().method(Method::POST);
            let request = request.header("referer", referrer);
            let request = match site {
                Some(site) => request.header("sec-fetch-site", site),
                None => request,
            };
            let request = request.finish();
            (
                is_from_own_page(&request, PUBLIC_URL, false),
                page_of(&request, PUBLIC_URL),
            )
        };
        let own = Some("/login?txn=1".to_owned());
        let page = "https://id.example/login?txn=1";
        assert_eq!(from(page, None), (true, own.clone()));
        assert_eq!(from(page, Some("cross-site")), (false, own));
        for other in [
            "https://evil.example/login",
            "http://id.example/login",
            "https://id.example.evil.example/",
            "https://id.example@evil.example/",
            "",
            "/login",
        ] {
            assert_eq!(from(other, None), (false, None), "{other}");
        }
        let two_slashes = "https://id.example//evil.example/";
        assert_eq!(from(two_slashes, None), (true, None));
    }

    /// Another program on our host is no page of ours.
    #[test]
    fn ob_6_a_referrer_is_below_our_path_and_a_page_begins_at_the_root() {
        let from = |referrer: &str| {
            let request = Request::builder().method(Method::POST);
            let request = request.header("referer", referrer).finish();
            let public_url = "https://id.example/auth";
            (
                is_from_own_page(&request, public_url, false),
                page_of(&request, public_url),
            )
        };
        let page = Some("/login?txn=1".to_owned());
        assert_eq!(from("https://id.example/auth/login?txn=1"), (true, page));
        for other in [
            "https://id.example/login",
            "https://id.example/other/login",
            "https://id.example/authx/login",
            "https://id.example/auth/../other/login",
        ] {
            assert_eq!(from(other), (false, None), "{other}");
        }
    }

    #[test]
    fn cf_01_a_repeated_header_is_refused() {
        let request = Request::builder()
            .header("origin", PUBLIC_URL)
            .header("origin", PUBLIC_URL)
            .header("sec-fetch-site", "same-origin");
        assert!(!is_from_own_page(&request.finish(), PUBLIC_URL, true));
    }

    #[test]
    fn cf_03_c2_origin_null_needs_same_origin_and_a_page_that_sends_it() {
        assert!(check(Some("same-origin"), Some("null"), true));
        assert!(!check(Some("same-origin"), Some("null"), false));
        assert!(
            !check(Some("cross-site"), Some("null"), true),
            "a sandboxed frame"
        );
        assert!(!check(None, Some("null"), true));
    }

    #[test]
    fn cf_01_the_issuer_may_have_a_path_or_a_default_port() {
        let request = || Request::builder().header("origin", PUBLIC_URL).finish();
        assert!(is_from_own_page(
            &request(),
            "https://id.example/realm",
            false
        ));
        assert!(is_from_own_page(
            &request(),
            "https://id.example:443",
            false
        ));
    }

    #[test]
    fn cf_02_a_token_is_good_for_one_cookie_one_form_one_context() {
        let mac = MasterKeys::new([1; 32], []).mac("form token v1");
        let (mine, other) = (Plain::generate().hash(), Plain::generate().hash());
        let token = form_token(&mac, &mine, "sign-in", "flow-1");
        assert!(verify_form_token(&mac, &mine, "sign-in", "flow-1", &token));
        assert!(
            !verify_form_token(&mac, &other, "sign-in", "flow-1", &token),
            "other cookie's"
        );
        assert!(
            !verify_form_token(&mac, &mine, "code", "flow-1", &token),
            "other form's"
        );
        assert!(
            !verify_form_token(&mac, &mine, "sign-in", "flow-2", &token),
            "other flow's"
        );
        assert!(
            !verify_form_token(&mac, &mine, "sign-inf", "low-1", &token),
            "parts do not run together"
        );
        for none in ["", "x", &token[1..], &format!("{token}="), &"A".repeat(43)] {
            assert!(
                !verify_form_token(&mac, &mine, "sign-in", "flow-1", none),
                "{none}"
            );
        }
    }

    #[test]
    fn cf_02_a_token_outlives_a_change_of_master_key() {
        let (old, hash) = (MasterKeys::new([1; 32], []), Plain::generate().hash());
        let token = form_token(&old.mac("l"), &hash, "f", "");
        let both = MasterKeys::new([2; 32], [[1; 32]]).mac("l");
        assert!(verify_form_token(&both, &hash, "f", "", &token));
        assert!(!verify_form_token(
            &MasterKeys::new([2; 32], []).mac("l"),
            &hash,
            "f",
            "",
            &token
        ));
    }
}
