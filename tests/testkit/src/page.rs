//! A page as a person or a script sees it: address, status, forms, links.

use reqwest::{StatusCode, header::HeaderMap};
use scraper::{ElementRef, Html, Selector};
use url::Url;

/// An answer to a browser.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its address.
    pub url: Url,
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

/// A form of a page, with the fields a browser would send as it stands.
#[derive(Clone, Debug)]
pub struct Form {
    /// Its `id`.
    pub id: String,
    /// Where it goes, absolute.
    pub action: Url,
    /// True for POST.
    pub post: bool,
    /// Fields that have a name and would be sent: hidden, typed, checked.
    pub fields: Vec<(String, String)>,
    /// Every field that can be filled in, with its value for a check box.
    pub open: Vec<(String, String)>,
}

impl Page {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Where a redirect points, absolute.
    #[must_use]
    pub fn location(&self) -> Option<Url> {
        if !self.status.is_redirection() {
            return None;
        }
        self.url.join(self.header("location")?).ok()
    }

    /// Where `<meta http-equiv=refresh>` points at once, absolute.
    #[must_use]
    pub fn refresh(&self) -> Option<Url> {
        let content = self.attribute("meta[http-equiv=refresh i]", "content")?;
        let (after, target) = content.split_once(';')?;
        let target = target.trim();
        let at = if target
            .get(..4)
            .is_some_and(|head| head.eq_ignore_ascii_case("url="))
        {
            &target[4..]
        } else {
            target
        };
        (after.trim() == "0").then(|| self.url.join(at.trim_matches(['\'', '"'])).ok())?
    }

    /// The first attribute of that name of the first element that fits.
    #[must_use]
    pub fn attribute(&self, selector: &str, name: &str) -> Option<String> {
        let html = Html::parse_document(&self.body);
        html.select(&select(selector))
            .next()?
            .value()
            .attr(name)
            .map(str::to_owned)
    }

    /// The text of the first element that fits, white space folded.
    #[must_use]
    pub fn text_of(&self, selector: &str) -> Option<String> {
        let html = Html::parse_document(&self.body);
        html.select(&select(selector)).next().map(text)
    }

    /// All text of the page.
    #[must_use]
    pub fn text(&self) -> String {
        self.text_of("body").unwrap_or_default()
    }

    /// True if an element fits.
    #[must_use]
    pub fn has(&self, selector: &str) -> bool {
        Html::parse_document(&self.body)
            .select(&select(selector))
            .next()
            .is_some()
    }

    /// What the page says went wrong (`#error`).
    #[must_use]
    pub fn error(&self) -> Option<String> {
        self.text_of("#error")
    }

    /// Every link, absolute, of the page's own origin.
    #[must_use]
    pub fn links(&self) -> Vec<Url> {
        let html = Html::parse_document(&self.body);
        let anchors = select("a[href]");
        let targets = html
            .select(&anchors)
            .filter_map(|a| self.url.join(a.value().attr("href")?).ok());
        targets
            .filter(|url| url.origin() == self.url.origin())
            .collect()
    }

    /// Every form that fits.
    #[must_use]
    pub fn forms(&self, selector: &str) -> Vec<Form> {
        let html = Html::parse_document(&self.body);
        html.select(&select(selector))
            .map(|form| read_form(&self.url, form))
            .collect()
    }

    /// The form of that id.
    ///
    /// # Panics
    /// The page has none; shows what it has.
    #[must_use]
    pub fn form(&self, id: &str) -> Form {
        let forms = self.forms(&format!("form#{id}"));
        forms
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("no form `{id}` on {}", self.summary()))
    }

    /// Address, status and text, for messages of failing tests. Queries are left out.
    #[must_use]
    pub fn summary(&self) -> String {
        let text: String = if self.has("body *") {
            self.text()
        } else {
            self.body.clone()
        }
        .chars()
        .take(400)
        .collect();
        let forms: Vec<_> = self.forms("form").into_iter().map(|form| form.id).collect();
        format!(
            "{} {} forms {forms:?} says {text:?}",
            self.status,
            self.url.path()
        )
    }
}

fn read_form(page: &Url, form: ElementRef<'_>) -> Form {
    let action = form.value().attr("action").unwrap_or_default();
    let mut read = Form {
        id: form.value().attr("id").unwrap_or_default().to_owned(),
        action: page.join(action).expect("an address"),
        post: form
            .value()
            .attr("method")
            .is_some_and(|method| method.eq_ignore_ascii_case("post")),
        fields: Vec::new(),
        open: Vec::new(),
    };
    for field in form.select(&select("input[name], textarea[name], select[name]")) {
        let attr = |name| field.value().attr(name);
        let name = attr("name").unwrap_or_default().to_owned();
        let kind = attr("type").unwrap_or("text").to_ascii_lowercase();
        let checkable = kind == "checkbox" || kind == "radio";
        let value = attr("value")
            .unwrap_or(if checkable { "on" } else { "" })
            .to_owned();
        if attr("disabled").is_some()
            || matches!(
                kind.as_str(),
                "submit" | "button" | "reset" | "image" | "file"
            )
        {
            continue;
        }
        if kind != "hidden" {
            read.open.push((name.clone(), value.clone()));
        }
        if !checkable || attr("checked").is_some() {
            read.fields.push((name, value));
        }
    }
    // A button with a name is sent when it is pressed; forms here have one button each.
    for button in form.select(&select("button[name]")).take(1) {
        let attr = |name| button.value().attr(name).unwrap_or_default().to_owned();
        read.fields.push((attr("name"), attr("value")));
    }
    read
}

fn text(element: ElementRef<'_>) -> String {
    element
        .text()
        .collect::<Vec<_>>()
        .join(" ")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

fn select(selector: &str) -> Selector {
    Selector::parse(selector).unwrap_or_else(|error| panic!("selector {selector}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_gives_what_a_browser_would_send() {
        let page = Page {
            url: Url::parse("http://127.0.0.1:1/login?x=1").unwrap(),
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: "<meta http-equiv=Refresh content=\"0; url=/account\"><form id=f method=post action=/a>\
                   <input type=hidden name=t value='1&amp;2'><input name=email><input type=checkbox name=c value=1>\
                   <input type=checkbox name=d value=1 checked><button>Go</button></form><p id=error> no <b>way</b>"
                .to_owned(),
        };
        let form = page.form("f");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            form.fields,
            [pair("t", "1&2"), pair("email", ""), pair("d", "1")]
        );
        assert!(form.post && form.action.as_str() == "http://127.0.0.1:1/a");
        assert_eq!(page.error().as_deref(), Some("no way"));
        assert_eq!(page.refresh().unwrap().path(), "/account");
    }
}
