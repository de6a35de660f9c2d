//! Which spellings large providers deliver to one mailbox (OA-10). For budgets only: identity compares
//! canonical addresses, since a provider may change its rules.
//!
//! Each rule names its source, read on 2026-11-30: the provider's own page or code, unless it says
//! otherwise. What has no source is not folded, except for one default: what follows a plus is a tag
//! (RFC 5233), everywhere. A name with a plus of its own is rare, and then shares no more than budgets.

/// How one provider reads an address.
struct Provider {
    /// All domains whose mailboxes are the same; the first stands for them.
    domains: &'static [&'static str],
    /// The characters that do not count.
    ignored: &'static str,
    /// A character that stands for another one.
    alike: Option<(char, char)>,
    /// Whether `tag@name.domain` is a spelling of `name@domain`.
    subdomains: bool,
}

const PLAIN: Provider = Provider {
    domains: &[],
    ignored: "",
    alike: None,
    subdomains: false,
};

/// The table. Its domains are also those of large providers, which have no budget by domain.
const PROVIDERS: &[Provider] = &[
    // https://support.google.com/mail/answer/7436150: "Dots don't matter in Gmail addresses".
    // googlemail.com, for which no page of Google's was found: https://github.com/validatorjs/validator.js,
    // src/lib/normalizeEmail.js, gmail_convert_googlemaildotcom.
    Provider {
        domains: &["gmail.com", "googlemail.com"],
        ignored: ".",
        ..PLAIN
    },
    // https://github.com/ProtonMail/WebClients, src/helpers/string.js, removeEmailAlias: dots, hyphens and
    // underscores do not count. https://proton.me/support/addresses-and-aliases: one account has its
    // name at these domains.
    Provider {
        domains: &["proton.me", "protonmail.com", "protonmail.ch", "pm.me"],
        ignored: ".-_",
        ..PLAIN
    },
    // https://support.apple.com/en-us/118230: an account has its name at one, two or all three.
    Provider {
        domains: &["icloud.com", "me.com", "mac.com"],
        ..PLAIN
    },
    // https://www.fastmail.help/hc/en-us/articles/360060591053: `tag@name.domain`. Names at its domains
    // are different mailboxes.
    Provider {
        domains: &["fastmail.com"],
        subdomains: true,
        ..PLAIN
    },
    Provider {
        domains: &["fastmail.fm"],
        subdomains: true,
        ..PLAIN
    },
    // https://yandex.com/support/passport/authorization/registration.html: `john.2009` is `john-2009`; both
    // are other names than `john2009`. https://yandex.com/support/id/authorization/email.html: an account
    // has its name at all domains of Yandex.
    Provider {
        domains: &["yandex.ru", "yandex.com", "ya.ru", "yandex.kz", "yandex.by"],
        alike: Some(('.', '-')),
        ..PLAIN
    },
];

/// Families of domains of a large provider, by the label before the country: `hotmail.fr`, `yahoo.co.uk`.
const FAMILIES: &[&str] = &["hotmail", "outlook", "live", YAHOO];

/// The family whose disposable addresses are a base name, a hyphen and a keyword. The base name is chosen
/// apart from the account's name, so it is no spelling of that one.
/// <http://help.yahoo.com/help/uk/bt/tutorials/mail/addressguard2.html>; the hyphen is in Yahoo's patent
/// application, <https://patents.justia.com/patent/20060041621>.
const YAHOO: &str = "yahoo";

/// Other large providers.
const OTHER_LARGE: &[&str] = &[
    "aol.com",
    "bluewin.ch",
    "free.fr",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "hey.com",
    "laposte.net",
    "libero.it",
    "mail.ru",
    "msn.com",
    "naver.com",
    "orange.fr",
    "posteo.de",
    "qq.com",
    "rocketmail.com",
    "sfr.fr",
    "t-online.de",
    "tuta.com",
    "tutanota.com",
    "wanadoo.fr",
    "web.de",
    "ymail.com",
    "zoho.com",
    "163.com",
];

/// Returns the form of a canonical address that all spellings of its mailbox share.
pub(super) fn fold(local: &str, domain: &str) -> String {
    let bare = without_tag(local);
    if let Some(provider) = PROVIDERS
        .iter()
        .find(|provider| provider.domains.contains(&domain))
    {
        return fold_at(provider, bare, domain);
    }
    if let Some((name, provider)) = subdomain_of(domain) {
        return fold_at(provider, name, domain);
    }
    match bare.split_once('-') {
        // The hyphen stays: no account's name has one.
        Some((base, _)) if !base.is_empty() && family_of(domain) == Some(YAHOO) => {
            format!("{base}-@{domain}")
        }
        _ => format!("{bare}@{domain}"),
    }
}

/// Returns whether a domain belongs to a large provider: its users have nothing in common.
pub(super) fn is_large_provider(domain: &str) -> bool {
    let in_table = |provider: &Provider| provider.domains.contains(&domain);
    PROVIDERS.iter().any(in_table)
        || OTHER_LARGE.contains(&domain)
        || family_of(domain).is_some()
        || subdomain_of(domain).is_some()
}

fn fold_at(provider: &Provider, bare: &str, domain: &str) -> String {
    let same = |c: char| match provider.alike {
        Some((from, to)) if c == from => to,
        _ => c,
    };
    let mut name: String = bare
        .chars()
        .filter(|c| !provider.ignored.contains(*c))
        .map(same)
        .collect();
    if name.is_empty() {
        bare.clone_into(&mut name);
    }
    format!("{name}@{}", provider.domains.first().unwrap_or(&domain))
}

/// Returns the local part before its tag. A tag alone is no tag.
fn without_tag(local: &str) -> &str {
    match local.split_once('+') {
        Some((bare, _)) if !bare.is_empty() => bare,
        _ => local,
    }
}

/// Returns the name in `tag@name.domain`, and the provider that delivers it to `name@domain`.
fn subdomain_of(domain: &str) -> Option<(&str, &'static Provider)> {
    let (name, parent) = domain.split_once('.')?;
    let provider = PROVIDERS
        .iter()
        .find(|provider| provider.subdomains && provider.domains.contains(&parent))?;
    Some((name, provider))
}

/// Returns the family of a domain, if it is one of a provider's country domains.
fn family_of(domain: &str) -> Option<&'static str> {
    let (name, country) = domain.split_once('.')?;
    let is_country = country
        .split('.')
        .all(|label| label.len() == 2 || label == "com")
        && country.split('.').count() <= 2;
    let family = FAMILIES.iter().find(|family| **family == name)?;
    is_country.then_some(*family)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(address: &str) -> String {
        let (local, domain) = address.split_once('@').expect("an address");
        fold(local, domain)
    }

    #[test]
    fn oa_10_the_spellings_of_one_mailbox_are_one() {
        for (mailbox, spellings) in [
            (
                "annasmith@proton.me",
                &[
                    "anna.smith@proton.me",
                    "anna-smith@protonmail.com",
                    "anna_smith+x@pm.me",
                    "a.n.n.a.s.m.i.t.h@protonmail.ch",
                ][..],
            ),
            (
                "annasmith@gmail.com",
                &["Anna.Smith@gmail.com", "anna.smith+x@googlemail.com"],
            ),
            ("anna@icloud.com", &["anna+x@me.com", "anna@mac.com"]),
            (
                "anna@fastmail.com",
                &["anna+x@fastmail.com", "shop@anna.fastmail.com"],
            ),
            ("anna.s@outlook.com", &["anna.s+x@outlook.com"]),
            ("anna.s@hotmail.fr", &["anna.s+x@hotmail.fr"]),
            ("anna_s@yahoo.co.uk", &["anna_s+x@yahoo.co.uk"]),
            (
                "base-@yahoo.com",
                &["base-shop@yahoo.com", "base-club@yahoo.com"],
            ),
            (
                "anna-s@yandex.ru",
                &["anna.s@ya.ru", "anna-s@yandex.com", "anna.s+x@yandex.by"],
            ),
            ("anna@school.example", &["anna+x@school.example"]),
        ] {
            for spelling in spellings {
                assert_eq!(folded(&spelling.to_lowercase()), mailbox, "{spelling}");
            }
        }
    }

    #[test]
    fn oa_10_mailboxes_of_two_users_stay_two() {
        for (one, other) in [
            ("anna.s@outlook.com", "annas@outlook.com"),
            ("anna@outlook.com", "anna@hotmail.com"),
            ("anna-s@school.example", "annas@school.example"),
            ("anna.s@yandex.ru", "annas@yandex.ru"),
            ("anna@yahoo.com", "anna-shop@yahoo.com"),
            ("anna@fastmail.com", "anna@fastmail.fm"),
            ("anna.s@icloud.com", "annas@icloud.com"),
            ("anna-s@hotmail.fr", "anna-t@hotmail.fr"),
            ("anna@yahoo.evil.example", "anna-x@yahoo.evil.example"),
            ("anna@a.school.example", "anna@b.school.example"),
            ("..@proton.me", "--@proton.me"),
        ] {
            assert_ne!(folded(one), folded(other));
        }
    }

    #[test]
    fn oa_10_large_providers_are_known_by_their_domains() {
        for domain in [
            "gmail.com",
            "hotmail.fr",
            "yahoo.co.uk",
            "gmx.ch",
            "x.fastmail.com",
        ] {
            assert!(is_large_provider(domain), "{domain}");
        }
        for domain in ["school.example", "yahoo.evil.example", "mygmail.com"] {
            assert!(!is_large_provider(domain), "{domain}");
        }
    }
}
